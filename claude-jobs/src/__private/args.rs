//! `args!`, which only hands its tokens on together with this crate's own path, so that it works
//! whatever name the user's crate gives to this one.

/// A constant layer of claude options, to build workers' options from.
///
/// `args! { key = value, …, ..BASE }` is an expression of type [`Args`](crate::Args): options, each
/// with a literal or a constant expression, over an optional base of the same type. Keys and values
/// are checked as in `#[claude_worker(args = { … })]`; [`options`](crate::options) lists them.
///
/// ```
/// use claude_jobs::{Args, args, claude_worker};
///
/// const CAREFUL: Args = args! { permission_mode = "plan", max_turns = 40, max_budget_usd = 2.0 };
/// const THOROUGH: Args = args! { effort = "high", max_turns = 80, ..CAREFUL };
///
/// /// Reviews a pull request.
/// #[claude_worker(queue = "review", args = { model = "opus", ..THOROUGH })]
/// struct Review;
/// ```
#[macro_export]
macro_rules! args {
    ($($tokens:tt)*) => { $crate::__private::args!(($crate) $($tokens)*) };
}
