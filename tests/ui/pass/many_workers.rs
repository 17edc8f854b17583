//! Several workers beside each other, a repetition of a macro, many fields, and what documents them.

#![deny(missing_docs)]

use claude_jobs::prelude::*;

macro_rules! workers {
    ($($(#[$meta:meta])* $vis:vis $name:ident in $queue:literal, $turns:expr, { $($field:ident: $ty:ty),* };)*) => {$(
        $(#[$meta])*
        #[claude_worker(queue = $queue, args = { max_turns = $turns, working_dir = concat!("/srv/", $queue) })]
        #[derive(Debug)]
        $vis struct $name { $($field: $ty),* }

        impl Handler for $name {
            async fn handle_error(&self, verdict: Verdict, failure: &Failure, _: &Run, _cx: &mut Ctx) -> Result<Verdict> {
                let _ = failure;
                Ok(verdict)
            }
        }
    )*};
}

workers! {
    /// The first.
    pub First in "a", 1, { one: u8 };
    /// The second.
    pub(crate) Second in "b", 2 + 3, { one: u8, two: Option<Vec<(u8, String)>> };
    /// The third.
    Third in "c", u32::MAX, {};
}

/// With many fields.
#[claude_worker(queue = "q", prompt = "{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}")]
struct Many {
    a: u8, b: u16, c: u32, d: u64, e: i64, f: f64, g: bool, h: char, i: String, j: std::net::IpAddr,
}

fn main() {
    let _ = (First::new(1, "x"), Second::new(1, None, "x"), Third::new("x"));
    let job = Many::new(1, 2, 3, 4, 5, 6.5, true, 'h', "i".into(), [127, 0, 0, 1].into());
    assert_eq!(job.into_new_job().expect("a job").input["j"], "127.0.0.1");
    assert_eq!((First::DEFINITION.queue, Second::DEFINITION.name), ("a", "Second"));
}
