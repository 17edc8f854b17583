//! One job per tick over several nodes, what becomes of missed and busy ticks, and what a changed entry
//! must not do: by a clock that is moved by hand.

use super::*;
use crate::clock::Clock;
use crate::engine::{Filter, TickRow};
use crate::job::{Job, State};
use crate::passthrough::Passthrough;
use crate::unique::Unique;
use crate::worker::Worker;

const START: &str = "2026-06-01T00:00:30Z";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A node over a database file; another node of the same fleet is `of` the same folder.
async fn node(clock: &Clock, folder: &tempfile::TempDir) -> Shared {
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let queue = Queue::connect(&url).await.expect("a database").with_clock(clock.clone());
    let queue = queue.register::<Passthrough>().expect("one of its name");
    Shared::of(queue).await.expect("a write")
}

fn clock() -> Clock {
    Clock::manual(START.parse().expect("a moment"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn job() -> NewJob {
    let mut job = NewJob::new(Passthrough::DEFINITION.name, json!({}));
    job.args.set("prompt", json!("x"));
    job
}

fn unique(unique: Unique) -> NewJob {
    NewJob { unique: Some(unique), ..job() }
}

fn served(node: &Shared, cron: Cron) -> Vec<Entry> {
    served_with(node, cron, job())
}

fn served_with(node: &Shared, cron: Cron, job: NewJob) -> Vec<Entry> {
    entries(&node.queue, vec![(cron, Ok(job))]).expect("a good entry")
}

async fn look(node: &Shared, entries: &mut [Entry]) {
    once(&node.queue, entries).await.expect("a look");
}

async fn jobs(node: &Shared) -> Vec<Job> {
    node.queue.list(&Filter { limit: 5_000, ..Filter::default() }).await.expect("a read")
}

/// The recorded ticks, oldest first, as `hh:mm outcome missed`.
async fn ticks(node: &Shared) -> Vec<String> {
    let mut ticks = node.queue.ticks("e", 5_000).await.expect("a read");
    ticks.reverse();
    let line = |tick: &TickRow| {
        assert_eq!(
            tick.job_id.is_some(),
            matches!(tick.outcome, TickOutcome::Inserted | TickOutcome::Duplicate)
        );
        format!("{} {} {}", &tick.due.to_string()[11..16], tick.outcome.name(), tick.missed)
    };
    ticks.iter().map(line).collect()
}

#[tokio::test]
async fn one_job_per_tick_whichever_nodes_look() {
    let (clock, folder) = (clock(), folder());
    let (one, other) = (node(&clock, &folder).await, node(&clock, &folder).await);
    let mut ours = served(&one, Cron::new("e", "* * * * *"));
    let mut theirs = served(&other, Cron::new("e", "* * * * *"));
    for _ in 0..10 {
        let (left, right) = tokio::join!(once(&one.queue, &mut ours), once(&other.queue, &mut theirs));
        left.and(right).expect("both look");
        clock.advance(MINUTE);
    }
    let jobs = jobs(&one).await;
    assert_eq!(jobs.len(), 9, "the first look only takes note");
    let mut dues: Vec<_> = jobs.iter().map(|job| job.meta["cron"]["due"].to_string()).collect();
    dues.dedup();
    assert_eq!(dues.len(), 9);
    assert_eq!(jobs[8].meta["cron"], json!({ "entry": "e", "due": "2026-06-01T00:01:00Z" }));
    assert_eq!(ticks(&one).await.iter().filter(|line| line.contains("inserted")).count(), 9);
}

#[tokio::test]
async fn the_first_look_of_a_fleet_misses_nothing() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served(&node, Cron::new("e", "* * * * *").missed(Missed::All));
    look(&node, &mut entries).await;
    assert_eq!(ticks(&node).await, ["00:00 first_seen 0"]);
    assert!(jobs(&node).await.is_empty());
}

#[tokio::test]
async fn what_was_missed_while_no_node_ran() {
    let table: [(Missed, usize, &[&str]); 3] = [
        (Missed::Skip, 0, &["00:00 first_seen 0", "03:00 missed 3"]),
        (Missed::One, 1, &["00:00 first_seen 0", "03:00 inserted 2"]),
        (Missed::All, 3, &["00:00 first_seen 0", "01:00 inserted 0", "02:00 inserted 0", "03:00 inserted 0"]),
    ];
    for (missed, count, expected) in table {
        let (clock, folder) = (clock(), folder());
        let cron = Cron::new("e", "@hourly").missed(missed);
        let before = node(&clock, &folder).await;
        look(&before, &mut served(&before, cron.clone())).await;
        clock.advance(3 * HOUR + 5 * MINUTE);
        let after = node(&clock, &folder).await;
        let mut entries = served(&after, cron.clone());
        for _ in 0..2 {
            look(&after, &mut entries).await;
            look(&after, &mut served(&after, cron.clone())).await;
        }
        assert_eq!(ticks(&after).await, expected, "{missed:?}");
        assert_eq!(jobs(&after).await.len(), count, "{missed:?}");
    }
}

#[tokio::test]
async fn a_thousand_missed_ticks_run_at_the_most() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served(&node, Cron::new("e", "* * * * *").missed(Missed::All));
    look(&node, &mut entries).await;
    clock.advance(1_500 * MINUTE);
    look(&node, &mut entries).await;
    assert_eq!(jobs(&node).await.len(), 1_001, "the last one is in time");
    assert_eq!(ticks(&node).await[1], "08:19 missed 499");
}

#[tokio::test]
async fn a_changed_expression_or_zone_does_not_replay_the_past() {
    let (clock, folder) = (clock(), folder());
    let all = |expression: &str| Cron::new("e", expression).missed(Missed::All);
    let node = node(&clock, &folder).await;
    look(&node, &mut served(&node, all("@daily"))).await;
    clock.advance(12 * HOUR);
    look(&node, &mut served(&node, all("@hourly"))).await;
    clock.advance(MINUTE);
    look(&node, &mut served(&node, all("@hourly").time_zone("Asia/Kathmandu"))).await;
    assert!(jobs(&node).await.is_empty());
    clock.advance(HOUR);
    look(&node, &mut served(&node, all("@hourly").time_zone("Asia/Kathmandu"))).await;
    assert_eq!(jobs(&node).await.len(), 1, "from then on it counts");
}

#[tokio::test]
async fn a_tick_is_skipped_while_the_job_of_an_earlier_one_is_not_over() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served(&node, Cron::new("e", "@hourly").if_busy(IfBusy::Skip));
    for _ in 0..4 {
        look(&node, &mut entries).await;
        clock.advance(HOUR);
    }
    let first = jobs(&node).await;
    assert_eq!(first.len(), 1);
    node.queue.cancel(first[0].id).await.expect("it waits");
    look(&node, &mut entries).await;
    let expected =
        ["00:00 first_seen 0", "01:00 inserted 0", "02:00 busy 0", "03:00 busy 0", "04:00 inserted 0"];
    assert_eq!(ticks(&node).await, expected);
}

#[tokio::test]
async fn a_unique_job_that_is_there_already_is_a_duplicate() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served_with(&node, Cron::new("e", "@hourly"), unique(Unique::forever()));
    look(&node, &mut entries).await;
    node.queue.insert(unique(Unique::forever())).await.expect("by hand");
    for _ in 0..2 {
        clock.advance(HOUR);
        look(&node, &mut entries).await;
    }
    assert_eq!(ticks(&node).await, ["00:00 first_seen 0", "01:00 duplicate 0", "02:00 duplicate 0"]);
    assert_eq!(jobs(&node).await.len(), 1);
}

/// The period of a job counts from its insertion, which comes some milliseconds after the tick: not always as many.
#[tokio::test]
async fn a_period_as_long_as_the_interval_loses_no_tick() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served_with(&node, Cron::new("e", "* * * * *"), unique(Unique::within(MINUTE)));
    look(&node, &mut entries).await;
    clock.advance(MINUTE / 2);
    for late in [9, 2, 7, 4, 1, 8].map(Duration::from_millis) {
        clock.advance(late);
        look(&node, &mut entries).await;
        clock.advance(MINUTE - late);
    }
    let inserted = (1..=6).map(|minute| format!("00:0{minute} inserted 0"));
    let expected: Vec<_> = ["00:00 first_seen 0".to_owned()].into_iter().chain(inserted).collect();
    assert_eq!(ticks(&node).await, expected);
}

/// 29 March 2026 has 23 hours in Berlin.
#[tokio::test]
async fn a_daily_job_that_is_unique_for_a_day_runs_after_the_shortest_day() {
    let (clock, folder) = (Clock::manual("2026-03-28T12:00:00Z".parse().expect("a moment")), folder());
    let node = node(&clock, &folder).await;
    let daily = Cron::new("e", "@daily").time_zone("Europe/Berlin");
    let mut entries = served_with(&node, daily, unique(Unique::within(24 * HOUR)));
    look(&node, &mut entries).await;
    for wait in [11 * HOUR, 23 * HOUR] {
        clock.advance(wait);
        look(&node, &mut entries).await;
    }
    assert_eq!(ticks(&node).await, ["12:00 first_seen 0", "23:00 inserted 0", "22:00 inserted 0"]);
}

#[tokio::test]
async fn a_job_inserted_by_hand_is_a_duplicate_of_the_last_tick_for_all_of_the_period() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let job = || unique(Unique::within(90 * MINUTE));
    let mut entries = served_with(&node, Cron::new("e", "@hourly"), job());
    look(&node, &mut entries).await;
    for _ in 0..2 {
        clock.advance(HOUR);
        look(&node, &mut entries).await;
    }
    let by_hand = async || node.queue.insert(job()).await.expect("a write").duplicate;
    assert!(by_hand().await);
    clock.advance(89 * MINUTE);
    assert!(by_hand().await, "the next tick was missed, the period goes on");
    clock.advance(2 * MINUTE);
    assert!(!by_hand().await);
}

/// A node whose clock is a year ahead records a tick of then: that must not silence the entry for a year,
/// and a clock that is put right must not bring the ticks again.
#[tokio::test]
async fn a_clock_that_goes_back_neither_stops_nor_repeats_an_entry() {
    let (clock, folder) = (clock(), folder());
    let ahead = Clock::manual(crate::clock::later(clock.now(), 365 * 24 * HOUR));
    let wrong = node(&ahead, &folder).await;
    let mut theirs = served(&wrong, Cron::new("e", "@hourly"));
    look(&wrong, &mut theirs).await;
    ahead.advance(HOUR);
    look(&wrong, &mut theirs).await;
    assert_eq!(jobs(&wrong).await.len(), 1);

    let right = node(&clock, &folder).await;
    let mut ours = served(&right, Cron::new("e", "@hourly"));
    look(&right, &mut ours).await;
    clock.advance(HOUR);
    look(&right, &mut ours).await;
    assert_eq!(jobs(&right).await.len(), 2, "it goes by our clock");

    // The clock of the first node is set back to the same hour.
    let set_back = right.queue.clone();
    let wrong = Shared::of(set_back).await.expect("a write");
    look(&wrong, &mut theirs).await;
    look(&wrong, &mut theirs).await;
    assert_eq!(jobs(&right).await.len(), 2);
    clock.advance(HOUR);
    look(&wrong, &mut theirs).await;
    assert_eq!(jobs(&right).await.len(), 3, "it goes on");
}

#[tokio::test]
async fn one_entry_that_fails_does_not_keep_the_others_from_theirs() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served(&node, Cron::new("bad", "@hourly"));
    entries.extend(served(&node, Cron::new("e", "@hourly")));
    look(&node, &mut entries).await;
    clock.advance(HOUR);
    entries[0].job.priority = Some(200);
    once(&node.queue, &mut entries).await.expect_err("the first cannot be inserted");
    assert_eq!(ticks(&node).await, ["00:00 first_seen 0", "01:00 inserted 0"]);
    entries[0].job.priority = None;
    look(&node, &mut entries).await;
    assert_eq!(jobs(&node).await.len(), 2, "the failed tick comes with the next look");
}

#[tokio::test]
async fn bad_entries_are_refused_at_the_start() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let without_prompt = NewJob::new(Passthrough::DEFINITION.name, json!({}));
    let cases = [
        (
            vec![(Cron::new("e", "@hourly"), job()), (Cron::new("e", "@daily"), job())],
            "`e` is configured twice",
        ),
        (vec![(Cron::new("e", "61 * * * *"), job())], "cron entry `e`: `61` is no minute"),
        (vec![(Cron::new("e", "@hourly").time_zone("Berlin"), job())], "did you mean `Europe/Berlin`?"),
        (vec![(Cron::new("a b", "@hourly"), job())], "cron entry `a b`: give 1 to 128 characters"),
        (vec![(Cron::new("e", "@hourly"), without_prompt)], "`prompt` is missing"),
        (vec![(Cron::new("e", "@hourly"), NewJob::new("Nobody", json!({})))], "unknown worker `Nobody`"),
    ];
    for (configured, expected) in cases {
        let configured = configured.into_iter().map(|(cron, job)| (cron, Ok(job))).collect();
        let error = entries(&node.queue, configured).err().expect(expected).to_string();
        assert!(error.contains(expected), "{expected} not in {error}");
    }
}

#[tokio::test]
async fn it_sleeps_until_the_next_tick_and_a_minute_at_the_most() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let daily = served(&node, Cron::new("e", "@daily"));
    assert_eq!(until_next(&daily, clock.now()), LONGEST);
    let mut both = served(&node, Cron::new("f", "* * * * *"));
    both.extend(daily);
    assert_eq!(until_next(&both, clock.now()), Duration::from_secs(30));
}

#[tokio::test]
async fn old_ticks_go_and_the_newest_of_each_entry_stays() {
    let (clock, folder) = (clock(), folder());
    let node = node(&clock, &folder).await;
    let mut entries = served(&node, Cron::new("e", "@hourly"));
    for _ in 0..3 {
        look(&node, &mut entries).await;
        clock.advance(HOUR);
    }
    let pruned = node.queue.engine().prune_ticks(clock.now()).await.expect("a write");
    assert_eq!((pruned, ticks(&node).await), (2, vec!["02:00 inserted 0".to_owned()]));
    assert_eq!(node.queue.engine().prune_ticks(clock.now()).await.expect("a write"), 0);
    let states: Vec<_> = jobs(&node).await.iter().map(|job| job.state).collect();
    assert_eq!(states, [State::Available; 2], "their jobs stay");
}
