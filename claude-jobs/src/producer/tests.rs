//! What only shows from inside: claims whose answer was lost, turns that seemed to fail, jobs that were
//! claimed ahead for nothing.

use std::sync::Mutex;

use super::*;
use crate::claude::Request;
use crate::clock::Uptime;
use crate::engine::{ClaimRequest, Filter};
use crate::job::{NewJob, State};
use crate::notice::Notice;
use crate::outcome::{Ending, Report};
use crate::passthrough::Passthrough;
use crate::queue::Queue;
use crate::settlement::Settlement;

/// A queue in memory with so many jobs for the built-in worker.
async fn queue(jobs: usize) -> Queue {
    let queue = Queue::connect("sqlite::memory:").await.expect("a database");
    let queue = queue.register::<Passthrough>().expect("the name is free");
    let job = || {
        let mut job = NewJob::new("claude", serde_json::Value::Null);
        job.args.set("prompt", "x".into());
        job
    };
    queue.insert_many(std::iter::repeat_with(job).take(jobs)).await.expect("an insert");
    queue
}

/// A producer of one slot whose runs last until `go` is cancelled, and who was told it is settled.
async fn producer(
    queue: &Queue,
    go: CancellationToken,
    told: Arc<Mutex<Vec<(JobId, bool)>>>,
) -> (Producer, watch::Receiver<bool>) {
    let mut shared = Shared::of(queue.clone()).await.expect("a node");
    shared.executor.claude = Arc::new(move |_: Request| {
        let go = go.clone();
        async move {
            go.cancelled().await;
            let mut report = Report::new(None);
            report.ending = Ending::Failed("nothing to say".to_owned());
            Ok::<_, crate::claude::RunnerError>(report)
        }
    });
    shared.executor.notify.add(move |notice| {
        if let Notice::Settled { job, is_ours, .. } = notice {
            told.lock().expect("no holder panics").push((job.id, *is_ours));
        }
    });
    let (idle, is_idle) = watch::channel(false);
    (Producer::new(Arc::new(shared), "default".to_owned(), Limits::local(1), idle), is_idle)
}

async fn states(queue: &Queue) -> Vec<State> {
    queue.list(&Filter::default()).await.expect("a read").iter().rev().map(|job| job.state).collect()
}

/// The claim that was carried out, and of which nobody was told.
async fn claim_unheard(producer: &Producer) -> Vec<Job> {
    let shared = &producer.shared;
    let request = ClaimRequest {
        queue: "default",
        node: &shared.node_id(),
        workers: &["claude"],
        limits: Limits::local(9),
        running: 0,
        ahead: 0,
        host: &shared.session_host(),
        at_most: u32::MAX,
        account: "",
        now: shared.queue.now(),
    };
    shared.queue.engine().claim(&request).await.expect("a write").jobs
}

#[tokio::test]
async fn jobs_whose_claim_was_never_answered_are_found_and_run() {
    let (queue, go) = (queue(3).await, CancellationToken::new());
    let told = Arc::default();
    let (mut producer, mut idle) = producer(&queue, go.clone(), Arc::clone(&told)).await;
    assert_eq!(claim_unheard(&producer).await.len(), 3);
    producer.reconciling = Reconciling::after(Duration::ZERO);
    go.cancel();
    let claiming = CancellationToken::new();
    let serving = tokio::spawn(producer.serve(claiming.clone()));
    idle.wait_for(|idle| *idle).await.expect("it serves");
    claiming.cancel();
    serving.await.expect("it ends");
    let mut ours = told.lock().expect("no holder panics").clone();
    ours.sort();
    assert_eq!(ours, [(JobId(1), true), (JobId(2), true), (JobId(3), true)]);
    for job in queue.list(&Filter::default()).await.expect("a read") {
        assert_eq!((job.state, job.attempt), (State::Retryable, 1), "{job:?}");
    }
}

/// A deploy restarts database and program together: what was claimed in that moment is not left to be taken for lost.
#[tokio::test]
async fn jobs_whose_claim_was_never_answered_are_given_back_at_the_end() {
    let queue = queue(3).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    assert_eq!(claim_unheard(&producer).await.len(), 3);
    producer.reconciling = Reconciling::after(Duration::ZERO);
    let claiming = CancellationToken::new();
    claiming.cancel();
    producer.serve(claiming).await;
    for job in queue.list(&Filter::default()).await.expect("a read") {
        assert_eq!((job.state, job.attempts_left()), (State::Available, job.max_attempts), "{job:?}");
    }
}

/// A database that is away does not keep a runtime from ending for a whole lease, where there is nothing to write.
#[tokio::test]
async fn what_was_claimed_is_looked_up_for_a_short_while_only_at_the_end() {
    let queue = queue(0).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    let now = Instant::now();
    for (away_for, is_done) in [(Duration::ZERO, false), (LAST_LOOK / 2, false), (LAST_LOOK, true)] {
        producer.blocked = Some(Blocked { since: now - away_for, until: now, wait: Duration::ZERO });
        let error = Error::Database("it is away".into());
        producer.failed(Batch::default(), Kind::Claim { running: 0, ahead: 0, at_most: 9 }, &error, false);
        assert_eq!(producer.is_done(), is_done, "{away_for:?}");
    }
}

/// Whatever the reason for which nobody knows of it, no job stays executing on a node that does not run it.
#[tokio::test]
async fn what_is_held_is_looked_up_once_per_lease() {
    let (queue, go) = (queue(1).await, CancellationToken::new());
    let (mut producer, _idle) = producer(&queue, go.clone(), Arc::default()).await;
    let lease = producer.shared.terms.lease();
    let left = producer.reconciling.next.duration_since(Instant::now());
    assert!(left <= lease && left > lease - POLL, "{left:?}");
    assert_eq!(claim_unheard(&producer).await.len(), 1);
    producer.reconciling.next = Instant::now();
    go.cancel();
    let claiming = CancellationToken::new();
    let serving = tokio::spawn(producer.serve(claiming.clone()));
    while states(&queue).await != [State::Retryable] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    claiming.cancel();
    serving.await.expect("it ends");
}

#[tokio::test]
async fn after_an_answer_was_lost_one_looks_less_and_less_often() {
    let queue = queue(0).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    producer.reconciling = Reconciling::after(Duration::ZERO);
    let waits: Vec<_> = (0..6)
        .map(|_| {
            producer.adopt(Vec::new());
            producer.reconciling.wait.as_secs()
        })
        .collect();
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}

/// After a laptop's sleep, say, until the lease is renewed: a run would be ended at once, and its job be claimed and
/// given back for ever.
#[tokio::test]
async fn nothing_is_claimed_while_the_lease_is_over() {
    let (queue, go) = (queue(2).await, CancellationToken::new());
    let (mut producer, mut idle) = producer(&queue, go.clone(), Arc::default()).await;
    go.cancel();
    let shared = Arc::clone(&producer.shared);
    let over = Uptime::since_boot(Duration::ZERO);
    let lease = || shared.node.borrow().lease.clone();
    lease().extend(over);
    // This one was claimed before.
    let claimed = claim_unheard(&producer).await.remove(0);
    assert_eq!(
        producer.shared.queue.engine().held(&shared.node_id(), "default").await.expect("a read").len(),
        2
    );
    producer.adopt(vec![claimed]);
    let claiming = CancellationToken::new();
    let serving = tokio::spawn(producer.serve(claiming.clone()));
    while states(&queue).await[0] != State::Available {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let jobs = queue.list(&Filter::default()).await.expect("a read");
    assert!(jobs.iter().all(|job| job.attempt == 1), "{jobs:?}");
    crate::service::lease::extend_runs(&shared, Uptime::now());
    queue.wakes().wake_all();
    while states(&queue).await[0] != State::Retryable {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    idle.wait_for(|idle| *idle).await.expect("it serves");
    claiming.cancel();
    serving.await.expect("it ends");
}

#[tokio::test]
async fn a_settlement_that_was_written_by_a_turn_that_seemed_to_fail_is_ours() {
    let queue = queue(2).await;
    let told = Arc::default();
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::clone(&told)).await;
    let jobs = claim_unheard(&producer).await;
    let mut failed = Batch::default();
    let mut settlements: Vec<Settlement> = Vec::new();
    for job in jobs {
        let finished = producer.shared.executor.broken(Arc::new(job), "it broke");
        settlements.push(finished.settlement.clone());
        failed.push(finished);
    }
    // The first was written; the second was another's before.
    let engine = queue.engine();
    engine.settle(&settlements[..1], queue.now()).await.expect("a write");
    let mut theirs = settlements[1].clone();
    theirs.run.ending = "lost".to_owned();
    engine.settle(&[theirs], queue.now()).await.expect("a write");

    producer.unsettled.put_back(failed);
    let claiming = CancellationToken::new();
    claiming.cancel();
    producer.serve(claiming).await;
    assert_eq!(*told.lock().expect("no holder panics"), [(JobId(1), true), (JobId(2), false)]);
}

#[tokio::test]
async fn what_was_claimed_ahead_and_finds_no_slot_is_given_back_unharmed() {
    let (queue, go) = (queue(20).await, CancellationToken::new());
    let told = Arc::default();
    let (mut producer, _idle) = producer(&queue, go.clone(), Arc::clone(&told)).await;
    // So far everything was over in no time; now comes a job that is not.
    (0..64).for_each(|_| producer.pace.note(Duration::from_micros(10)));
    let claiming = CancellationToken::new();
    let serving = tokio::spawn(producer.serve(claiming.clone()));
    while told.lock().expect("no holder panics").len() < 19 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    claiming.cancel();
    let mut expected = vec![State::Available; 20];
    expected[0] = State::Executing;
    assert_eq!(states(&queue).await, expected);
    let last = queue.details(JobId(20)).await.expect("a read");
    assert_eq!((last.job.attempt, last.job.attempts_left()), (1, last.job.max_attempts), "it costs nothing");
    let run = &last.runs[0];
    assert_eq!((run.verdict.as_str(), run.ending.as_str()), ("give back", "not started"));
    assert_eq!(run.cost_usd, Some(0.0), "that is known");
    go.cancel();
    serving.await.expect("it ends");
}

#[tokio::test]
async fn of_jobs_that_take_their_time_only_as_many_are_claimed_as_run() {
    let (queue, go) = (queue(5).await, CancellationToken::new());
    let (producer, _idle) = producer(&queue, go.clone(), Arc::default()).await;
    let claiming = CancellationToken::new();
    let serving = tokio::spawn(producer.serve(claiming.clone()));
    while !states(&queue).await.contains(&State::Executing) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    queue.wakes().wake_all();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let executing = states(&queue).await.into_iter().filter(|state| *state == State::Executing).count();
    assert_eq!(executing, 1);
    claiming.cancel();
    go.cancel();
    serving.await.expect("it ends");
}

#[tokio::test]
async fn half_of_what_is_claimed_ahead_is_fetched_while_the_other_half_runs() {
    let queue = queue(1).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    let job = claim_unheard(&producer).await.remove(0);
    (0..64).for_each(|_| producer.pace.note(Duration::from_micros(10)));
    // 500 will start within the horizon, in one slot.
    for (in_hand, expected) in [(0, Some((0, 250))), (250, Some((250, 250))), (252, None), (501, None)] {
        producer.look = true;
        producer.waiting = std::iter::repeat_n((Instant::now(), job.clone()), in_hand).collect();
        let asked = match producer.next_turn(true) {
            Some(Kind::Claim { running, ahead, .. }) => Some((running, ahead)),
            _ => None,
        };
        assert_eq!(asked, expected, "with {in_hand} in hand");
    }
}

/// Else as many as would be claimed ahead would be taken for full slots, and for a sign that no more waits.
#[tokio::test]
async fn while_keyed_jobs_wait_none_is_asked_for_ahead() {
    let queue = queue(0).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    (0..64).for_each(|_| producer.pace.note(Duration::from_micros(10)));
    for (has_keyed, looks_again, ahead) in [(true, true, 0), (true, false, 0), (false, false, 250)] {
        producer.look = false;
        producer.claimed(Claimed { has_keyed, ..Claimed::default() }, 251);
        assert_eq!(producer.look, looks_again, "keyed: {has_keyed}");
        producer.look = true;
        let asked = producer.next_turn(true).map(|kind| kind.asked(producer.slots));
        assert_eq!(asked, Some(1 + ahead));
    }
}

#[tokio::test]
async fn a_job_that_was_claimed_for_the_node_we_no_longer_are_does_not_start() {
    let queue = queue(1).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    let job = claim_unheard(&producer).await.remove(0);
    let anew = crate::node::this_node(producer.shared.terms, producer.shared.session_host(), queue.now());
    producer.shared.node.send_replace(crate::runtime::shared::Registered::new(anew));
    producer.adopt(vec![job]);
    producer.start_runs().await;
    assert!(producer.runs.is_empty() && producer.waiting.is_empty() && producer.ours.is_empty());
}

/// Of a turn in which the database refuses something only the settlements are written, one by one: it says neither how
/// many jobs may run nor which are ours.
#[tokio::test]
async fn a_turn_that_only_settles_says_nothing_of_the_queue() {
    let queue = queue(0).await;
    let (mut producer, _idle) = producer(&queue, CancellationToken::new(), Arc::default()).await;
    producer.limits = Limits::local(4);
    // The queue is scaled down, and an answer was lost.
    (producer.slots, producer.reconciling) = (1, Reconciling::after(Duration::ZERO));
    for kind in [Kind::Claim { running: 0, ahead: 0, at_most: 9 }, Kind::Reconcile] {
        producer.look = false;
        let id = producer.turns.spawn(async { Ok(Taken { settles_only: true, ..Taken::default() }) }).id();
        producer.under_way.insert(id, UnderWay { batch: Arc::default(), asked: 3, kind });
        let ended = producer.turns.join_next_with_id().await.expect("a turn");
        producer.turn_ended(ended, true);
        assert_eq!((producer.slots, producer.reconciling.is_in_doubt()), (1, true), "{kind:?}");
        assert!(producer.look && producer.asks_settings, "{kind:?}: it is still to be asked");
    }
}
