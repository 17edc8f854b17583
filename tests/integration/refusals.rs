//! A rule of the user's, in their database, that refuses what is to be written of one job: all others go on, and this one
//! does so when the rule is gone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::notice::Notice;
use claude_jobs::prelude::*;
use serde_json::json;
use sqlx::Executor;
use tokio::sync::watch;

use crate::base::Base;
use crate::workers::{Obedient, Place, Plain, answering, success};

impl Base {
    /// From now on it refuses what a trigger of that kind finds to be so.
    async fn refuse(&self, change: &str, when: &str) {
        let sql = match self {
            Self::Sqlite(_) => format!(
                "CREATE TRIGGER refuse BEFORE {change} WHEN {when} BEGIN SELECT raise(ABORT, 'not this one'); END"
            ),
            Self::Postgres(_) => format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'not this one'; END $$; \
                 CREATE TRIGGER refuse BEFORE {change} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
            ),
        };
        self.execute(&sql).await;
    }

    /// It takes everything again.
    async fn allow(&self) {
        let sql = match self {
            Self::Sqlite(_) => "DROP TRIGGER refuse",
            Self::Postgres(_) => "DROP FUNCTION refuse() CASCADE",
        };
        self.execute(sql).await;
    }

    /// A queue with so many jobs.
    async fn queue(&self, jobs: usize) -> (Queue, Vec<JobId>) {
        let queue = Queue::connect(&self.url()).await.expect("a new database");
        let jobs = std::iter::repeat_with(|| Plain::new("x").try_into().expect("a job")).take(jobs);
        let inserted = queue.insert_many(jobs.collect::<Vec<claude_jobs::NewJob>>()).await.expect("valid");
        (queue, inserted.iter().map(claude_jobs::Inserted::id).collect())
    }
}

/// Each test once on each database.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(super::Base::sqlite()).await })*
        }
        mod postgres_server {
            $(#[tokio::test] async fn $test() { super::$test(super::Base::postgres()).await })*
        }
    };
}

on_both! {
    a_job_that_cannot_be_rescued_keeps_no_other_from_it
    a_job_that_cannot_end_keeps_no_other_from_running
    a_run_whose_beginning_cannot_be_noted_keeps_no_other_from_it
    an_event_that_cannot_be_written_takes_no_other_along
}

/// Waits until jobs are as the condition says.
async fn until(queue: &Queue, what: &str, is_so: impl Fn(&[Job]) -> bool) -> Vec<Job> {
    let mut all = Filter::default();
    all.limit = 1_000;
    for _ in 0..1_500 {
        let mut jobs = queue.list(&all).await.expect("a read");
        jobs.reverse();
        if is_so(&jobs) {
            return jobs;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {:#?}", queue.list(&all).await);
}

fn are_over(jobs: &[Job], count: usize) -> bool {
    jobs.iter().filter(|job| job.state == State::Completed).count() == count
}

fn runtime(queue: &Queue, slots: u32, claude: impl Claude + 'static) -> claude_jobs::runtime::RuntimeBuilder {
    Runtime::builder(queue.clone()).queue("tests", slots).claude(claude).lease(Duration::from_secs(12))
}

async fn a_job_that_cannot_be_rescued_keeps_no_other_from_it(base: Base) {
    let (queue, ids) = base.queue(5).await;
    base.execute(
        "UPDATE {jobs} SET state = 'executing', attempt = 1, attempted_at = inserted_at, node = 'dead'",
    )
    .await;
    let bad = ids[1];
    base.refuse("UPDATE ON {jobs}", &format!("new.id = {bad} AND new.state <> 'executing'")).await;
    let runtime = runtime(&queue, 4, answering("success").0).run_until(async {
        let jobs = until(&queue, "the others are rescued and run", |jobs| are_over(jobs, 4)).await;
        assert_eq!((jobs[1].id, jobs[1].state, jobs[1].attempt), (bad, State::Executing, 1));
        base.allow().await;
        until(&queue, "this one, too", |jobs| are_over(jobs, 5)).await;
    });
    runtime.await.expect("it runs");
}

async fn a_job_that_cannot_end_keeps_no_other_from_running(base: Base) {
    let (queue, ids) = base.queue(5).await;
    let bad = ids[1];
    let when = format!("new.id = {bad} AND old.state = 'executing' AND new.state <> 'executing'");
    base.refuse("UPDATE ON {jobs}", &when).await;
    let (claude, runs) = answering("success");
    let runtime = runtime(&queue, 1, claude).run_until(async {
        let jobs = until(&queue, "the others are claimed and run", |jobs| are_over(jobs, 4)).await;
        assert_eq!((jobs[1].id, jobs[1].state), (bad, State::Executing));
        base.allow().await;
        until(&queue, "this one ends as it did", |jobs| are_over(jobs, 5)).await;
    });
    runtime.await.expect("it runs");
    assert_eq!(runs.load(Ordering::SeqCst), 5, "each once");
}

/// A runner that says this, and ends when it is told to.
fn saying(events: Vec<serde_json::Value>, end: &watch::Sender<bool>) -> impl Claude + use<> {
    let end = end.subscribe();
    move |request: Request| {
        let (events, mut end) = (events.clone(), end.clone());
        async move {
            let observer = request.observer.clone().expect("the runtime listens");
            events.iter().for_each(|event| observer(event));
            end.wait_for(|is_over| *is_over).await.expect("the test goes on");
            Ok::<_, RunnerError>(success("done"))
        }
    }
}

async fn a_run_whose_beginning_cannot_be_noted_keeps_no_other_from_it(base: Base) {
    let (queue, ids) = base.queue(3).await;
    base.refuse("UPDATE ON {jobs}", &format!("new.id = {} AND new.begun <> old.begun", ids[0])).await;
    let end = watch::Sender::new(false);
    let claude = saying(vec![json!({"type": "system", "subtype": "init"})], &end);
    let runtime = runtime(&queue, 3, claude).run_until(async {
        // While they run: nothing is noted of a run that is over.
        until(&queue, "the others have begun", |jobs| jobs[1].begun == 1 && jobs[2].begun == 1).await;
        end.send_replace(true);
    });
    runtime.await.expect("it runs");
}

async fn an_event_that_cannot_be_written_takes_no_other_along(base: Base) {
    let (queue, ids) = base.queue(1).await;
    base.refuse("INSERT ON {log}", "new.event LIKE '%number 3%'").await;
    let event = |number: u32| {
        let content = json!([{"type": "text", "text": format!("number {number}")}]);
        json!({"type": "assistant", "message": {"role": "assistant", "content": content}})
    };
    let end = watch::Sender::new(false);
    let claude = saying((1..=5).map(event).collect(), &end);
    let runtime = runtime(&queue, 1, claude).run_until(async {
        let mut said = String::new();
        for _ in 0..1_500 {
            said = format!("{:?}", queue.log(ids[0]).await.expect("a read"));
            if said.contains("number 5") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let found: Vec<_> = (1..=5).filter(|number| said.contains(&format!("number {number}"))).collect();
        assert_eq!(found, [1, 2, 4, 5], "{said}");
        end.send_replace(true);
    });
    runtime.await.expect("it runs");
}

/// A trigger of the user's own that forbids jobs of priority 9.
async fn forbid_the_last(place: &Place) {
    let sql = "CREATE TRIGGER no_last BEFORE INSERT ON claude_jobs WHEN new.priority = 9 \
               BEGIN SELECT RAISE(ABORT, 'not here: ghp_0123456789abcdefABCD'); END";
    place.connection().await.execute(sql).await.expect("a trigger");
}

#[tokio::test]
async fn of_jobs_that_are_inserted_together_a_refused_one_keeps_no_other_out() {
    let place = Place::new().await;
    forbid_the_last(&place).await;
    let inserts = (0..40).map(|number| {
        let priority = if number % 10 == 3 { 9 } else { 0 };
        Plain::new(format!("job {number}")).priority(priority).insert(&place.queue)
    });
    let results = futures_util::future::join_all(inserts).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), number % 10 == 3, "{number}: {result:?}");
    }
    assert_eq!(place.queue.list(&Filter::default()).await.expect("a read").len(), 36);
}

#[tokio::test]
async fn a_follow_on_that_the_database_refuses_cancels_its_job_and_stops_no_other() {
    let place = Place::new().await;
    let bad = Obedient::new("follow last".into()).insert(&place.queue).await.expect("an insert");
    for _ in 0..8 {
        Plain::new("x").insert(&place.queue).await.expect("an insert");
    }
    forbid_the_last(&place).await;
    let (claude, runs) = answering("success");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let runtime =
        Runtime::builder(place.queue.clone()).queue("tests", 4).claude(claude).on_notice(move |notice| {
            if let Notice::Settled { job, settlement, .. } = notice {
                listener.lock().expect("no panic").push((
                    job.id,
                    settlement.state,
                    settlement.follow_ons.len(),
                ));
            }
        });
    runtime.drain().await.expect("it drains");
    let told = told.lock().expect("no panic").clone();
    assert_eq!(
        told.iter().find(|told| told.0 == bad.id()),
        Some(&(bad.id(), State::Cancelled, 0)),
        "what was written"
    );
    let job = place.job(&bad).await;
    let reason = job.reason.as_deref().unwrap_or_default();
    assert!(job.state == State::Cancelled && reason.contains("not here: [secret]"), "{job:?}");
    let ledger = place.queue.details(job.id).await.expect("a read").runs;
    assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "success"), "what was paid for is known");
    let completed = {
        let mut filter = Filter::default();
        filter.state = Some(State::Completed);
        filter
    };
    assert_eq!(place.queue.list(&completed).await.expect("a read").len(), 8);
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 9, "each once");
}

#[tokio::test]
async fn a_result_that_the_database_refuses_cancels_its_job_and_stops_no_other() {
    let place = Place::new().await;
    let sql = "CREATE TRIGGER no_swearing BEFORE INSERT ON claude_jobs_runs WHEN new.result LIKE '%damn%' \
               BEGIN SELECT RAISE(ABORT, 'mind your words'); END";
    place.connection().await.execute(sql).await.expect("a trigger");
    let bad = Plain::new("swear").insert(&place.queue).await.expect("an insert");
    let good = Plain::new("x").insert(&place.queue).await.expect("an insert");
    let claude = |request: claude_jobs::claude::Request| async move {
        let text = if request.prompt() == "swear" { "damn" } else { "done" };
        Ok::<_, claude_jobs::claude::RunnerError>(crate::workers::success(text))
    };
    place.drain(claude).await;
    let job = place.job(&bad).await;
    let reason = job.reason.as_deref().unwrap_or_default();
    assert!(job.state == State::Cancelled && reason.contains("mind your words"), "{job:?}");
    let ledger = place.queue.details(job.id).await.expect("a read").runs;
    assert_eq!(
        (ledger.len(), ledger[0].cost_usd, &ledger[0].result),
        (1, Some(0.25), &None),
        "what it cost is known"
    );
    assert_eq!(place.job(&good).await.state, State::Completed);
}

/// A rule of the user's that even the words of a failure break keeps neither its own job nor the others from ending.
#[tokio::test]
async fn an_error_that_the_database_refuses_cancels_its_job_and_stops_no_other() {
    let place = Place::new().await;
    let sql = "CREATE TRIGGER no_errors BEFORE INSERT ON claude_jobs_errors \
               BEGIN SELECT RAISE(ABORT, 'no errors here'); END";
    place.connection().await.execute(sql).await.expect("a trigger");
    let bad = Plain::new("fail").insert(&place.queue).await.expect("an insert");
    let good = Plain::new("x").insert(&place.queue).await.expect("an insert");
    let claude = |request: claude_jobs::claude::Request| async move {
        let report = if request.prompt() == "fail" {
            crate::workers::recorded("max_budget")
        } else {
            crate::workers::success("done")
        };
        Ok::<_, claude_jobs::claude::RunnerError>(report)
    };
    let drained = tokio::time::timeout(Duration::from_secs(30), place.drain(claude)).await;
    drained.expect("its queue goes on");
    let details = place.queue.details(bad.id()).await.expect("a read");
    let reason = details.job.reason.as_deref().unwrap_or_default();
    assert!(details.job.state == State::Cancelled && reason.starts_with("settlement refused"), "{details:?}");
    assert_eq!((details.runs.len(), details.runs[0].outcome.as_str()), (1, "max_budget"));
    assert!(details.runs[0].cost_usd.is_some(), "what it cost is known");
    assert_eq!(place.job(&good).await.state, State::Completed);
}
