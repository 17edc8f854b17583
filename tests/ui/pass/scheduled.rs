//! Workers with a schedule: the defaults, every key, and a prompt that comes from a base.

use claude_jobs::definition::OnLost;
use claude_jobs::prelude::*;
use claude_jobs::schedule::{IfBusy, Missed};

#[claude_worker(queue = "digests", cron = "@daily", prompt = "Summarize yesterday's CI failures.")]
struct Digest;

#[claude_worker(
    queue = "digests",
    cron = "0 9 * * 1-5",
    timezone = "Europe/Berlin",
    missed = "one",
    if_busy = "skip",
    on_lost = "retry",
    concurrency_key = "working_dir",
    args = { prompt = "Summarize.", working_dir = "/repo" },
)]
struct Report {}

const BASE: Args = args! { prompt = "Summarize." };

#[claude_worker(queue = "digests", cron = "@hourly", pinned_args = { ..BASE })]
struct FromBase;

#[claude_worker(queue = "issues", on_lost = "hold", concurrency_key = "repository")]
struct Implement {
    repository: String,
}

fn main() {
    let cron = Digest::DEFINITION.cron.expect("a schedule");
    assert_eq!((cron.expression, cron.time_zone), ("@daily", "UTC"));
    assert_eq!((cron.missed, cron.if_busy), (Missed::Skip, IfBusy::Queue));
    assert_eq!(Digest::DEFINITION.on_lost, OnLost::Resume);

    let cron = Report::DEFINITION.cron.expect("a schedule");
    assert_eq!((cron.expression, cron.time_zone), ("0 9 * * 1-5", "Europe/Berlin"));
    assert_eq!((cron.missed, cron.if_busy), (Missed::One, IfBusy::Skip));
    assert_eq!(Report::DEFINITION.on_lost, OnLost::Retry);
    assert_eq!(Report::DEFINITION.concurrency_key, Some("working_dir"));

    assert!(FromBase::DEFINITION.cron.is_some());
    assert_eq!(Implement::DEFINITION.concurrency_key, Some("repository"));
    assert!(Implement::DEFINITION.cron.is_none());
    let _ = (Digest::new(), Report::new(), FromBase::new("x"), Implement::new("x".into(), "y"));
}
