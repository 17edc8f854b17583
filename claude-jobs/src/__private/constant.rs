//! A constant of a type that no option takes: one error that says so.
//!
//! `Const(&MODEL).literal()` is a method of the [`Const`] of each type that options take. For another type
//! rustc falls back to the method here (see [`show`](super::show)), whose bound nothing fulfils.

use crate::options::{Const, Literal};

/// Chosen where [`Const`] has no method for the type.
pub trait NotForOptions {
    /// The type of the constant.
    type Constant: ?Sized;

    /// Never compiles.
    fn literal(&self) -> Literal
    where
        Self::Constant: CanBeAnOption;
}

impl<T> NotForOptions for Const<&T> {
    type Constant = T;

    fn literal(&self) -> Literal
    where
        T: CanBeAnOption,
    {
        T::LITERAL
    }
}

/// Nothing implements it.
#[diagnostic::on_unimplemented(
    message = "no option takes a value of type `{Self}`",
    label = "this value",
    note = "an option takes text (`&'static str`), `bool`, a number (`u8` to `u64`, `usize`, `i32`, `i64`, `f64`), a `Duration`, or texts (`&'static [&'static str]`, `[&'static str; N]`)"
)]
pub trait CanBeAnOption {
    /// Never.
    const LITERAL: Literal;
}
