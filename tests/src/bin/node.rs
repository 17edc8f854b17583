//! A node of the chaos tests: `node ORDER`. It serves the queue `chaos` until SIGTERM, and starts over when
//! its database is away at the start, as a service manager would have it.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use claude_jobs::claude::{Claude, ClaudeCli, Footprint, Problem, Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::node::Order;
use jiff::SignedDuration;
use tokio::sync::watch;

/// The prompt tells the fake what to do; the handler does what the answer says.
#[claude_worker(queue = "chaos", backoff = soon)]
struct Chore;

impl Handler for Chore {
    async fn handle_result(&self, answer: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        Ok(match answer.as_str() {
            "retry" if cx.job().counted_attempts() == 1 => Verdict::retry("as ordered"),
            "snooze" if cx.job().snoozes == 0 => Verdict::snooze(Duration::from_millis(300), "as ordered"),
            "stumble" if stumbles(cx) => Err(std::io::Error::other("as ordered"))?,
            _ => Verdict::Complete,
        })
    }
}

/// A machine that runs out of memory while a file is there.
struct Machine {
    cli: ClaudeCli,
    out_of_memory: Option<PathBuf>,
}

#[async_trait]
impl Claude for Machine {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        self.cli.run(request).await
    }

    fn grace(&self) -> Duration {
        self.cli.grace()
    }

    fn session_host(&self) -> String {
        self.cli.session_host()
    }

    fn has_session(&self, session: &str) -> Option<bool> {
        self.cli.has_session(session)
    }

    fn variables(&self) -> BTreeMap<String, String> {
        self.cli.variables()
    }

    async fn probe(&self) -> Result<(), Problem> {
        self.cli.probe().await
    }

    fn account(&self) -> String {
        self.cli.account()
    }

    fn footprint(&self) -> Footprint {
        let mut takes = self.cli.footprint();
        if self.out_of_memory.as_ref().is_some_and(|file| file.exists()) {
            takes.memory_bytes = u64::MAX;
        }
        takes
    }
}

/// One time in five, but never the last time that the handler may be tried.
fn stumbles(cx: &Ctx) -> bool {
    let number = cx.job().id.0.unsigned_abs() * 31 + u64::from(cx.handler_attempt());
    cx.handler_attempt() < 5 && Dice::new(number).once_in(5)
}

fn soon(_attempt: u32) -> Duration {
    Duration::from_millis(200)
}

#[tokio::main]
async fn main() {
    // A test that is killed must not leave us behind, stopped or not.
    let with_parent = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    with_parent.expect("Linux can");
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let order = std::env::args().nth(1).expect("the order is the first argument");
    let order: Order = serde_json::from_str(&order).expect("an order is JSON");
    let (end, ended) = watch::channel(false);
    tokio::spawn(async move {
        shutdown_signal().await;
        end.send_replace(true);
    });
    while !*ended.borrow() {
        if let Err(error) = serve(&order, ended.clone()).await {
            tracing::error!(%error, "the node starts over");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Serves until it is told to end.
async fn serve(order: &Order, mut ended: watch::Receiver<bool>) -> claude_jobs::Result<()> {
    let signal = async move { drop(ended.wait_for(|ended| *ended).await) };
    let clock = Clock::system().ahead_by(SignedDuration::from_secs(order.clock_ahead_s));
    let queue = Queue::connect(&order.url).await?.with_clock(clock);
    let cli = ClaudeCli::builder().binary(order.claude.display().to_string()).build();
    tracing::info!(pid = std::process::id(), "the node serves");
    Runtime::builder(queue)
        .queue("chaos", order.concurrency)
        .lease(Duration::from_secs(order.lease_s))
        .grace(Duration::from_secs(5))
        .claude(Machine { cli, out_of_memory: order.out_of_memory.clone() })
        .run_until(signal)
        .await
}
