//! [`Tasks`]: the producers or the services of a runtime; [`Breakdown`]: the first of them that ended although
//! nobody had told it to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::panic::{catch_panic, panic_text};
use crate::telemetry::content;

/// Tasks that run until their runtime tells them to end.
pub(super) struct Tasks {
    tasks: JoinSet<()>,
    /// Cancelled when they are to end.
    told: CancellationToken,
    breakdown: Breakdown,
}

impl Tasks {
    /// No task yet; those to come end when `told` is cancelled.
    pub(super) fn new(told: &CancellationToken, breakdown: &Breakdown) -> Self {
        Self { tasks: JoinSet::new(), told: told.clone(), breakdown: breakdown.clone() }
    }

    /// Starts a task, which is given the token that tells it to end. Answers with a token that is cancelled when the
    /// task has ended.
    pub(super) fn spawn<T: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: impl Into<String>,
        task: impl FnOnce(CancellationToken) -> T,
    ) -> CancellationToken {
        self.try_spawn(name, |told| {
            let task = task(told);
            async {
                task.await;
                Ok(())
            }
        })
    }

    /// The same for a task that may fail. Its error is the runtime's.
    pub(super) fn try_spawn<T: Future<Output = Result<()>> + Send + 'static>(
        &mut self,
        name: impl Into<String>,
        task: impl FnOnce(CancellationToken) -> T,
    ) -> CancellationToken {
        let part = name.into();
        let (told, breakdown) = (self.told.clone(), self.breakdown.clone());
        let mut task = Box::pin(task(told.clone()));
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        self.tasks.spawn(async move {
            let broke_down = |problem| Error::BrokeDown { part: part.clone(), problem };
            let error = match catch_panic(task.as_mut()).await {
                Err(panic) => Some(broke_down(format!("panicked: {}", panic_text(panic)))),
                Ok(Err(error)) => Some(error),
                Ok(Ok(())) if !told.is_cancelled() => Some(broke_down("ended too early".to_owned())),
                Ok(Ok(())) => None,
            };
            if let Some(error) = error {
                breakdown.note(&part, error);
            }
            drop(guard);
        });
        ended
    }

    /// Waits until all have ended.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Drops the tasks where they are.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }
}

/// The first task of a runtime that panicked, or ended although nobody had told it to.
#[derive(Clone, Default)]
pub(super) struct Breakdown(Arc<First>);

#[derive(Default)]
struct First {
    error: Mutex<Option<Error>>,
    happened: CancellationToken,
}

impl Breakdown {
    fn note(&self, part: &str, error: Error) {
        tracing::error!(part, error = content(&error), "a part of the runtime broke down: shutting down");
        // Later ones are logged only.
        self.first().get_or_insert(error);
        self.0.happened.cancel();
    }

    /// Resolves once a task has broken down.
    pub(super) async fn happened(&self) {
        self.0.happened.cancelled().await;
    }

    /// What happened, for the runtime's caller.
    pub(super) fn take(&self) -> Option<Error> {
        self.first().take()
    }

    fn first(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> (CancellationToken, Breakdown, Tasks) {
        let (told, breakdown) = (CancellationToken::new(), Breakdown::default());
        let tasks = Tasks::new(&told, &breakdown);
        (told, breakdown, tasks)
    }

    fn message(breakdown: &Breakdown) -> Option<String> {
        breakdown.take().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_ends_when_it_is_told_to_is_no_breakdown() {
        let (told, breakdown, mut tasks) = tasks();
        let ended = tasks.spawn("service `a`", async |told| told.cancelled_owned().await);
        told.cancel();
        tasks.ended().await;
        assert!(ended.is_cancelled());
        assert_eq!(message(&breakdown), None);
    }

    #[tokio::test]
    async fn the_first_that_panics_or_ends_too_early_is_named() {
        let (told, breakdown, mut tasks) = tasks();
        let early = tasks.spawn("service `a`", async |_| {});
        breakdown.happened().await;
        early.cancelled().await;
        tasks.spawn("service `b`", async |_| panic!("later"));
        tasks.ended().await;
        let expected = "the runtime has shut down because its service `a` ended too early; start it again";
        assert_eq!(message(&breakdown).as_deref(), Some(expected));
        assert!(!told.is_cancelled(), "the runtime does that");
    }

    #[tokio::test]
    async fn a_panic_counts_also_after_the_end_was_asked_for() {
        let (told, breakdown, mut tasks) = tasks();
        let waits = async |told: CancellationToken| {
            told.cancelled().await;
            panic!("at the {}", "end");
        };
        tasks.spawn("producer of queue `q`", waits);
        told.cancel();
        tasks.ended().await;
        let expected = "the runtime has shut down because its producer of queue `q` panicked: at the end; start it again";
        assert_eq!(message(&breakdown).as_deref(), Some(expected));
    }
}
