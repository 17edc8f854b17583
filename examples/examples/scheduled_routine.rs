//! A routine: everything is on the worker, the schedule inserts an empty job. The clock is wound by hand, so
//! that nobody waits for nine in the morning.
//!
//! `cargo run -p claude-jobs-examples --example scheduled_routine` (add `-- --live` for the real claude)

use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs::schedule::Schedule;
use claude_jobs_examples::{Outcome, Stage, answer};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Every working day at nine, by the clocks of Berlin.
#[claude_worker(
    queue = "digests",
    cron = "0 9 * * 1-5",
    timezone = "Europe/Berlin",
    if_busy = "skip",
    prompt = "Summarize what was merged yesterday, in one sentence.",
    args = { permission_mode = "plan", max_turns = 5, max_budget_usd = 0.5 },
)]
struct DailyDigest;

impl Handler for DailyDigest {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        println!("{}  {text}", cx.job().inserted_at.to_zoned(berlin()));
        Ok(Verdict::Complete)
    }
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC)
}

#[tokio::main]
async fn main() -> Outcome {
    // A Thursday, two days before Berlin's clocks go back.
    let clock = Clock::manual("2026-10-22T06:59:50Z".parse()?);
    let stage = Stage::new().await?.with_clock(clock.clone());

    let schedule = Schedule::parse("0 9 * * 1-5", "Europe/Berlin")?;
    let days = async {
        while stage.queue.ticks("DailyDigest", 1).await?.is_empty() {
            pause().await;
        }
        for ticks in 1..=3 {
            // To the next tick, however far it is.
            let due = schedule.after(clock.now()).map_or(Duration::ZERO, |due| until(clock.now(), due));
            clock.advance(due);
            while completed(&stage.queue).await? < ticks {
                pause().await;
            }
        }
        Ok::<_, claude_jobs::Error>(())
    };
    let claude = |_: Request| async { Ok::<_, RunnerError>(answer("Two fixes and a new button.")) };
    stage
        .runtime(claude)
        .queue("digests", 1)
        .run_until(async {
            if let Err(error) = days.await {
                eprintln!("{error}");
            }
        })
        .await?;

    let mut due = Vec::new();
    for tick in stage.queue.ticks("DailyDigest", 10).await? {
        due.push(tick.due.to_zoned(berlin()).strftime("%a %H:%M").to_string());
    }
    println!("\nticks, the latest first: {}", due.join(", "));
    assert_eq!(
        due[..3],
        ["Mon 09:00", "Fri 09:00", "Thu 09:00"],
        "at nine, before and after the clocks change"
    );
    Ok(())
}

async fn completed(queue: &Queue) -> claude_jobs::Result<usize> {
    let mut over = Filter::default();
    over.state = Some(State::Completed);
    Ok(queue.list(&over).await?.len())
}

fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default()
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
