//! Workers whose jobs may run but once, one for each policy of `on_lost`: the same in a test and in the process that it
//! kills.

/// Defines `Resumed`, `Retried`, `Held` and `Dropped`, whose handler is this function of the run and the context.
#[macro_export]
macro_rules! once_by_each_policy {
    ($handled:path) => {
        $crate::once_by_each_policy! {
            $handled;
            Resumed "once.resumed" "resume",
            Retried "once.retried" "retry",
            Held "once.held" "hold",
            Dropped "once.dropped" "cancel",
        }
    };
    ($handled:path; $($name:ident $as:literal $on_lost:literal,)+) => {$(
        #[claude_worker(name = $as, queue = "tests", max_attempts = 1, on_lost = $on_lost, backoff = at_once)]
        struct $name;

        impl Handler for $name {
            async fn handle_result(&self, _: String, run: &Run, cx: &mut Ctx) -> Result<Verdict> {
                $handled(run, cx)
            }
        }
    )+

        fn at_once(_: u32) -> std::time::Duration {
            std::time::Duration::from_millis(1)
        }
    };
}
