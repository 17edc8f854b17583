//! A rule of the user's, in their database, that refuses what is to be written of one job: all others go on, and this one
//! does so when the rule is gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::{self, database};
use serde_json::json;
use sqlx::{Connection, Executor};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::workers::{Plain, answering, success};

/// A database of either kind, and the user's own hand in it.
enum Base {
    Sqlite(TempDir),
    Postgres(postgres::Database),
}

impl Base {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    fn postgres() -> Self {
        Self::Postgres(database())
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/jobs.db", folder.path().display()),
            Self::Postgres(database) => database.url(),
        }
    }

    /// `{jobs}` and `{log}` are the tables.
    async fn execute(&self, sql: &str) {
        let url = self.url();
        match self {
            Self::Sqlite(_) => {
                let sql = sql.replace("{jobs}", "claude_jobs").replace("{log}", "claude_jobs_log");
                let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("it is there");
                connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
            }
            Self::Postgres(_) => {
                let sql = sql.replace("{jobs}", "claude_jobs.jobs").replace("{log}", "claude_jobs.log");
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it is there");
                connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
            }
        }
        .expect("sound SQL");
    }

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
    let runtime = runtime(&queue, 1, claude).run_until(async {
        until(&queue, "the first runs", |jobs| jobs[0].state == State::Executing).await;
        end.send_replace(true);
        until(&queue, "the others have begun", |jobs| jobs[1].begun == 1 && jobs[2].begun == 1).await;
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
