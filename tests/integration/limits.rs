//! How many jobs run at once, and how often one starts: counted by what really ran, on two nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::claude_worker;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;

use crate::workers::{Place, Plain, success};

/// Its runs in one working folder are limited together.
#[claude_worker(queue = "tests", concurrency_key = "working_dir")]
struct InFolder;

/// What ran: when each run started, and how many ran at once at the most, in all and by prompt.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    running: HashMap<String, usize>,
    most: HashMap<String, usize>,
    starts: Vec<Instant>,
}

impl Seen {
    /// A runner that takes this long and writes down what it sees.
    fn runner(&self, takes: Duration) -> impl Claude + 'static {
        let seen = self.clone();
        move |request: Request| {
            let (seen, prompt) = (seen.clone(), request.options.prompt.clone().unwrap_or_default());
            async move {
                seen.changes(&prompt, 1);
                tokio::time::sleep(takes).await;
                seen.changes(&prompt, -1);
                Ok::<_, RunnerError>(success("done"))
            }
        }
    }

    fn changes(&self, prompt: &str, by: isize) {
        let mut log = self.0.lock().expect("no holder panics");
        if by > 0 {
            log.starts.push(Instant::now());
        }
        for what in ["", prompt] {
            let running = log.running.entry(what.to_owned()).or_default();
            *running = running.checked_add_signed(by).expect("what ends has started");
            let running = *running;
            let most = log.most.entry(what.to_owned()).or_default();
            *most = running.max(*most);
        }
    }

    /// How many ran at once at the most; with this prompt, or at all.
    fn most(&self, prompt: &str) -> usize {
        self.0.lock().expect("no holder panics").most.get(prompt).copied().unwrap_or(0)
    }

    fn starts(&self) -> Vec<Instant> {
        self.0.lock().expect("no holder panics").starts.clone()
    }
}

/// Two runtimes, each with its own connections, drain the place together.
async fn drain_by_two(place: &Place, limits: Limits, seen: &Seen, takes: Duration) {
    let node = async || {
        let queue = Queue::connect(&place.url()).await.expect("the database is there");
        let runtime = Runtime::builder(queue).queue("tests", limits).claude(seen.runner(takes));
        runtime.drain().await.expect("it drains");
    };
    tokio::join!(node(), node());
    let left = place.queue.counts().await.expect("a read");
    assert!(left.iter().all(|count| count.state == State::Completed), "{left:?}");
}

#[tokio::test]
async fn so_many_at_once_on_all_nodes_together() {
    let place = Place::new().await;
    let jobs = (0..30).map(|_| Plain::new("x").into_new_job().expect("valid"));
    place.queue.insert_many(jobs).await.expect("inserts");
    let seen = Seen::default();
    drain_by_two(&place, Limits::local(4).global(3), &seen, Duration::from_millis(20)).await;
    assert_eq!((seen.most(""), seen.starts().len()), (3, 30), "never more, and as many");
}

#[tokio::test]
async fn one_at_once_for_each_key_and_the_others_do_not_wait_for_it() {
    let place = Place::new().await;
    // Twenty wait for the first folder before the only ones for the others come.
    let folders = std::iter::repeat_n("/", 20).chain(["/tmp", "/usr", "/var"]);
    for folder in folders {
        InFolder::new(folder).working_dir(folder).insert(&place.queue).await.expect("an insert");
    }
    Plain::new("free").insert(&place.queue).await.expect("an insert");
    let seen = Seen::default();
    drain_by_two(&place, Limits::local(4), &seen, Duration::from_millis(20)).await;
    for folder in ["/", "/tmp", "/usr", "/var", "free"] {
        assert_eq!(seen.most(folder), 1, "{folder}");
    }
    assert!(seen.most("") >= 4, "they ran beside each other: {}", seen.most(""));
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    let fifth = jobs.iter().find(|job| job.id.0 == 5).and_then(|job| job.attempted_at);
    let others = jobs.iter().filter(|job| job.id.0 > 20).filter_map(|job| job.attempted_at).max();
    assert!(others < fifth, "{others:?} before {fifth:?}");
    assert_eq!(jobs[1].concurrency_key.as_deref(), Some("working_dir=/var"));
}

#[tokio::test]
async fn so_many_starts_within_any_period() {
    let place = Place::new().await;
    let jobs = (0..12).map(|_| Plain::new("x").into_new_job().expect("valid"));
    place.queue.insert_many(jobs).await.expect("inserts");
    let seen = Seen::default();
    let period = Duration::from_millis(400);
    drain_by_two(&place, Limits::local(4).rate(3, period), &seen, Duration::ZERO).await;
    let starts = seen.starts();
    assert_eq!(starts.len(), 12);
    // A claim is counted when it is made, the start comes a moment later.
    let slack = Duration::from_millis(100);
    let too_soon = starts.windows(4).filter(|some| some[3] - some[0] + slack < period).count();
    assert_eq!(too_soon, 0, "{starts:?}");
    assert!(starts[11] - starts[0] < period * 12, "and not by polling: {:?}", starts[11] - starts[0]);
}

#[tokio::test]
async fn a_limit_of_nothing_is_refused() {
    let place = Place::new().await;
    let cases = [
        (Limits::local(0), "concurrency of 0"),
        (Limits::local(1).global(0), "a global limit of 0"),
        (Limits::local(1).per_key(0), "a limit per key of 0"),
        (Limits::local(1).rate(0, Duration::from_secs(1)), "a rate of 0"),
        (Limits::local(1).rate(1, Duration::ZERO), "a rate without a period"),
    ];
    for (limits, expected) in cases {
        let result = Runtime::builder(place.queue.clone()).queue("tests", limits).drain().await;
        let error = result.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let long = Plain::new("x").concurrency_key("k".repeat(513)).insert(&place.queue).await;
    assert!(long.expect_err("too long").to_string().contains("give 1 to 512 characters"));
}
