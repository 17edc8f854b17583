//! The database is away, full, read-only or locked for a while: no job is lost, the log says what
//! happened without a flood, and the same runtime goes on afterwards.

mod postgres;
mod sqlite;

use std::time::Duration;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::log::Log;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::chaos::{Ground, LEASE};

/// The most lines a second that an outage may cause in one runtime: a few loops that try again, with
/// waits.
const MOST_LINES: usize = 25;

/// A runtime in this process that goes on whatever happens to its database.
struct Serving {
    end: oneshot::Sender<()>,
    running: JoinHandle<claude_jobs::Result<()>>,
}

impl Serving {
    /// With the fake claude of this ground.
    fn start(queue: &Queue, ground: &Ground, concurrency: u32) -> Serving {
        let (end, ended) = oneshot::channel();
        let claude = ClaudeCli::builder().binary(ground.fake.path().display().to_string()).build();
        let runtime = Runtime::builder(queue.clone()).queue("chaos", concurrency).lease(LEASE).claude(claude);
        let signal = async { drop(ended.await) };
        Serving { end, running: tokio::spawn(runtime.run_until(signal)) }
    }

    /// Ends it in order: it was never started again.
    async fn end(self) {
        assert!(!self.running.is_finished(), "the runtime has ended by itself");
        self.end.send(()).expect("it runs");
        let ended = tokio::time::timeout(Duration::from_secs(20), self.running).await;
        ended.expect("it ends in time").expect("it does not panic").expect("it ends well");
    }
}

/// The log names what happened, and is not a flood.
fn check(log: &Log, told: &[&[&str]]) {
    let lines = log.lines().join("\n");
    for words in told {
        assert!(log.tells(words), "no line tells {words:?}:\n{lines}");
    }
    let most = log.most_per_second();
    assert!(most <= MOST_LINES, "{most} lines in a second:\n{lines}");
}
