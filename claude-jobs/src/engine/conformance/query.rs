//! Reads: lists by filter, counts, and whether a queue is busy.

use std::collections::BTreeMap;

use super::Database;
use super::fixture::{
    NODE, OTHER, QUEUE, WORKER, all_jobs, ask, at, claim, due, end, ids, insert, insert_all, keyed, new,
    open, running, settle,
};
use super::random::Random;
use crate::engine::{ClaimRequest, Engine, Filter, QueueChange};
use crate::job::{Job, JobId, JobRow, State};
use crate::settlement::Settlement;

const QUEUES: [&str; 3] = ["a", "b", "B"];
const WORKERS: [&str; 3] = ["W", "w", "W2"];
const TAGS: [&str; 5] = ["red", "Red", "re", "\"red\"", "a,b"];

/// Jobs in all states, queues and workers, with some of the tags.
async fn a_few_hundred_jobs(engine: &dyn Engine, random: &mut Random) -> Vec<Job> {
    let rows: Vec<_> = (0..300)
        .map(|_| JobRow {
            queue: random.pick(&QUEUES).to_owned(),
            worker: random.pick(&WORKERS).to_owned(),
            tags: TAGS.iter().filter(|_| random.once_in(3)).map(|tag| (*tag).to_owned()).collect(),
            ..if random.once_in(4) { due(at(0), at(500)) } else { new(at(0)) }
        })
        .collect();
    insert_all(engine, &rows).await;
    for queue in QUEUES {
        for job in claim(engine, &ClaimRequest { queue, workers: &WORKERS, ..ask(60, at(0)) }).await {
            let target = random.pick(&State::ALL);
            if target != State::Executing {
                let settlement = Settlement { scheduled_at: at(500), ..end(&job, target, at(1)) };
                assert!(settle(engine, settlement, at(1)).await);
            }
        }
    }
    let mut jobs = Vec::with_capacity(rows.len());
    for id in 0.. {
        jobs.extend(engine.job(JobId(id)).await.expect("a read"));
        if jobs.len() == rows.len() {
            break;
        }
    }
    jobs
}

/// Every combination of conditions gives what looking at each job gives, newest first.
pub async fn filters(database: &dyn Database) {
    let engine = open(database).await;
    let mut random = Random::new();
    let jobs = a_few_hundred_jobs(&*engine, &mut random).await;
    for round in 0..400 {
        let filter = Filter {
            state: random.once_in(3).then(|| random.pick(&State::ALL)),
            queue: random.once_in(3).then(|| random.pick(&["a", "b", "B", "none", "%"]).to_owned()),
            worker: random.once_in(3).then(|| random.pick(&["W", "w", "W2", "W_", ""]).to_owned()),
            tag: random
                .once_in(2)
                .then(|| random.pick(&["red", "Red", "re", "\"red\"", "a,b", "b", ""]).to_owned()),
            before: random.once_in(3).then(|| jobs[random.below(jobs.len())].id),
            limit: random.pick(&[0, 1, 7, 100, u32::MAX]),
        };
        let expected: Vec<_> = (jobs.iter().rev())
            .filter(|job| filter.state.is_none_or(|state| job.state == state))
            .filter(|job| filter.queue.as_ref().is_none_or(|queue| job.queue == *queue))
            .filter(|job| filter.worker.as_ref().is_none_or(|worker| job.worker == *worker))
            .filter(|job| filter.tag.as_ref().is_none_or(|tag| job.tags.contains(tag)))
            .filter(|job| filter.before.is_none_or(|before| job.id < before))
            .take(filter.limit as usize)
            .map(|job| job.id)
            .collect();
        assert_eq!(ids(&engine.jobs(&filter).await.expect("a list")), expected, "round {round}: {filter:?}");
    }
}

/// Page by page, all of them, each once.
pub async fn pages(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 95]).await;
    let mut filter = Filter { limit: 10, ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = engine.jobs(&filter).await.expect("a list");
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        seen.extend(ids(&page));
    }
    seen.reverse();
    assert_eq!(seen, ids(&all_jobs(&*engine).await));
}

/// Each queue's jobs in each state, counted; nothing for what there is none of.
pub async fn counts(database: &dyn Database) {
    let engine = open(database).await;
    assert!(engine.counts().await.expect("a count").is_empty());
    let jobs = a_few_hundred_jobs(&*engine, &mut Random::new()).await;
    let mut expected = BTreeMap::new();
    for job in &jobs {
        *expected.entry((job.queue.clone(), job.state.name())).or_insert(0) += 1;
    }
    let counts = engine.counts().await.expect("a count");
    assert_eq!(counts.len(), expected.len(), "each once");
    let counted: BTreeMap<_, _> =
        counts.into_iter().map(|count| ((count.queue, count.state.name()), count.jobs)).collect();
    assert_eq!(counted, expected);
}

/// Who is not there has no job, no ledger and no errors: no error.
pub async fn nobody(database: &dyn Database) {
    let engine = open(database).await;
    for id in [JobId(0), JobId(1), JobId(-1), JobId(i64::MAX), JobId(i64::MIN)] {
        assert!(engine.job(id).await.expect("a read").is_none());
        assert!(engine.runs(id).await.expect("a read").is_empty());
        assert!(engine.errors(id).await.expect("a read").is_empty());
    }
}

async fn busy(engine: &dyn Engine) -> bool {
    super::fixture::is_busy(engine, &[QUEUE, "second"], &[WORKER, "Second"], at(0)).await
}

/// A job makes a queue busy while it runs, on any node, and as soon as it could be claimed.
pub async fn is_busy(database: &dyn Database) {
    let engine = open(database).await;
    assert!(!busy(&*engine).await, "nothing there");
    let table: [(&str, JobRow, bool); 8] = [
        ("available", new(at(0)), true),
        ("available, with a key", keyed("a", at(0)), true),
        (
            "of the second queue and worker",
            JobRow { queue: "second".into(), worker: "Second".into(), ..new(at(0)) },
            true,
        ),
        ("due now", due(at(-9), at(0)), true),
        ("due in a microsecond", due(at(-9), super::fixture::just_after(at(0))), false),
        ("of another queue", JobRow { queue: "third".into(), ..new(at(0)) }, false),
        ("of an unknown worker", JobRow { worker: "Third".into(), ..new(at(0)) }, false),
        ("due, of an unknown worker", JobRow { worker: "Third".into(), ..due(at(-9), at(-1)) }, false),
    ];
    for (what, row, expected) in table {
        let job = insert(&*engine, row).await;
        assert_eq!(busy(&*engine).await, expected, "{what}");
        engine.delete(job.id).await.expect("it does not run");
        assert!(!busy(&*engine).await, "{what}, deleted");
    }
    for target in State::ALL {
        let run = running(&*engine, new(at(0))).await;
        assert!(busy(&*engine).await, "it runs");
        engine.retire(NODE).await.expect("a write");
        assert!(busy(&*engine).await, "it runs, for all we know");
        super::fixture::register(&*engine, NODE).await;
        let settlement = Settlement { scheduled_at: at(1), ..end(&run, target, at(0)) };
        if target != State::Executing {
            assert!(settle(&*engine, settlement, at(0)).await);
            assert_eq!(busy(&*engine).await, target == State::Available, "{target}");
            engine.delete(run.id).await.expect("it does not run");
        } else {
            assert!(settle(&*engine, Settlement { state: State::Completed, ..settlement }, at(0)).await);
        }
    }
    assert!(!super::fixture::is_busy(&*engine, &[], &[], at(0)).await, "nobody asked for");
}

/// What waits in a closed queue does not make it busy; what runs there does.
pub async fn is_busy_in_closed_queues(database: &dyn Database) {
    let engine = open(database).await;
    let first = running(&*engine, new(at(-60))).await;
    assert!(settle(&*engine, end(&first, State::Completed, at(-50)), at(-50)).await);
    let waiting = insert_all(&*engine, &[new(at(0)), due(at(-9), at(0)), keyed("a", at(0))]).await;
    assert!(busy(&*engine).await, "it is open");
    for (change, expected) in [
        (QueueChange::Pause, false),
        (QueueChange::Resume, true),
        (QueueChange::Scale(Some(0)), false),
        (QueueChange::Scale(Some(1)), true),
        (QueueChange::Scale(None), true),
    ] {
        engine.change_queue(QUEUE, change).await.expect("a change");
        assert_eq!(busy(&*engine).await, expected, "{change:?}");
    }
    let run = claim(&*engine, &ClaimRequest { node: OTHER, ..ask(1, at(0)) }).await.remove(0);
    engine.change_queue(QUEUE, QueueChange::Pause).await.expect("a change");
    assert!(busy(&*engine).await, "one runs still");
    assert!(settle(&*engine, end(&run, State::Retryable, at(0)), at(0)).await);
    assert!(!busy(&*engine).await);
    for job in waiting {
        engine.delete(job.id).await.expect("it does not run");
    }
}
