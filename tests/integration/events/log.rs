//! The log of a run: order, bounds, attempts, what is kept, a database that is away, and no cost where nothing is
//! printed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use claude_jobs::claude::ClaudeCli;
use claude_jobs::event::{EventKind, MOST_EVENTS, Progress, RunLog, Why};
use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::wait_until;
use claude_jobs_tests::script::Take;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::workers::{Obedient, Place, Plain};

const SOON: Duration = Duration::from_secs(30);

/// Runs what is due; the logs are complete when it returns.
async fn drain(queue: &Queue, claude: impl claude_jobs::claude::Claude + 'static, keeps: RunLog) {
    let runtime = Runtime::builder(queue.clone()).queue("tests", 4).claude(claude).run_log(keeps);
    runtime.drain().await.expect("it drains");
}

async fn order(site: Site) {
    let (queue, other) = (site.queue().await, site.queue().await);
    let inserted = Plain::new("hello").insert(&queue).await.expect("valid");
    let call = json!({"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}});
    let answer = json!({"type": "tool_result", "tool_use_id": "t1", "content": "a\nb"});
    let mut events = vec![
        json!({"type": "system", "subtype": "init", "session_id": "s", "model": "sonnet"}),
        json!({"type": "assistant", "message": {"content": [call]}}),
        json!({"type": "stream_event", "event": {}}),
        json!({"type": "user", "message": {"content": [answer]}}),
    ];
    events.extend((0..600).map(|number| says(&format!("{number}"))));
    drain(&queue, printing(events), RunLog::Full).await;
    let log = other.log(inserted.id()).await.expect("a read");
    let numbers: Vec<_> = log.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=603).collect::<Vec<_>>());
    assert_eq!(texts(&log)[..4], ["\"session\"", "\"tool_call\"", "\"tool_result\"", "0"]);
    assert_eq!(texts(&log)[602], "599");
    assert!(log.iter().all(|entry| entry.attempt == 1) && log.is_sorted_by_key(|entry| entry.at));
    // Printed lines and pruning: gone with the job.
    assert_eq!(other.prune(State::Completed, Duration::ZERO).await.expect("a prune"), 1);
    assert!(other.log(inserted.id()).await.expect("a read").is_empty());
}

#[tokio::test]
async fn what_a_run_prints_is_in_order_and_gone_with_its_job() {
    order(Site::sqlite()).await;
    order(Site::postgres()).await;
}

/// Whether everything that was printed is there or said to be missing.
fn accounted(log: &[LogEntry]) -> (u64, u64, u64) {
    let (mut slow, mut full) = (0, 0);
    for entry in log {
        if let Progress::Missing { events, why } = &entry.progress {
            *if *why == Why::Full { &mut full } else { &mut slow } += events;
        }
    }
    let notes = log.iter().filter(|entry| matches!(entry.progress, Progress::Missing { .. })).count();
    (log.len() as u64 - notes as u64, slow, full)
}

#[tokio::test]
async fn a_log_is_bounded_in_number_and_says_how_much_is_missing() {
    const PRINTED: u64 = MOST_EVENTS + 5_000;
    let site = Site::sqlite();
    let queue = site.queue().await;
    let inserted = Plain::new("hello").insert(&queue).await.expect("valid");
    let claude = |request: Request| async move {
        for number in 0..PRINTED {
            print(&request, &[says(&number.to_string())]);
            if number % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok::<_, RunnerError>(success("fine"))
    };
    drain(&queue, claude, RunLog::Full).await;
    let log = queue.log(inserted.id()).await.expect("a read");
    let (there, slow, full) = accounted(&log);
    assert_eq!(there + slow + full, PRINTED);
    assert!(full > 0 && log.len() as u64 <= MOST_EVENTS + 10, "{} {full}", log.len());
    assert!(matches!(log.last().expect("a note").progress, Progress::Missing { why: Why::Full, .. }));
}

#[tokio::test]
async fn a_log_is_bounded_in_bytes() {
    let site = Site::sqlite();
    let queue = site.queue().await;
    let inserted = Plain::new("hello").insert(&queue).await.expect("valid");
    let text = "\u{1}".repeat(1 << 20);
    let claude = move |request: Request| {
        let event = says(&text);
        async move {
            for _ in 0..600 {
                print(&request, std::slice::from_ref(&event));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, RunnerError>(success("fine"))
        }
    };
    drain(&queue, claude, RunLog::Full).await;
    let log = queue.log(inserted.id()).await.expect("a read");
    let Progress::Text { text, .. } = &log[0].progress else { panic!("{log:?}") };
    assert_eq!(text.cut, (1 << 20) - 8 * 1024, "it says how much was cut");
    let bytes: usize =
        log.iter().map(|entry| serde_json::to_string(&entry.progress).expect("JSON").len()).sum();
    assert!(bytes as u64 <= claude_jobs::event::MOST_BYTES + 64 * 1024, "{bytes}");
    let (there, slow, full) = accounted(&log);
    assert_eq!((there + slow + full, full > 0), (600, true));
}

/// A run of this test waits for a word before it ends.
fn waiting(
    events: Vec<Value>,
) -> (impl claude_jobs::claude::Claude + 'static, watch::Sender<bool>, mpsc::UnboundedReceiver<()>) {
    let (release, released) = watch::channel(false);
    let (printed, has_printed) = mpsc::unbounded_channel();
    let claude = move |request: Request| {
        let (mut released, printed, events) = (released.clone(), printed.clone(), events.clone());
        async move {
            print(&request, &events);
            printed.send(()).expect("the test waits for it");
            tokio::select! {
                _ = released.wait_for(|released| *released) => Ok::<_, RunnerError>(success("fine")),
                _ = request.stop.fired() => {
                    let mut report = Report::new(None);
                    report.ending = Ending::Stopped(StopReason::Shutdown);
                    Ok(report)
                }
            }
        }
    };
    (claude, release, has_printed)
}

async fn followed(site: Site) {
    let (queue, other) = (site.queue().await, site.queue().await);
    let inserted = Obedient::new("retry".into()).insert(&queue).await.expect("valid");
    let id = inserted.id();
    let (claude, release, mut printed) = waiting(vec![says("first"), says("second")]);
    let (end, mut ended) = watch::channel(false);
    let runtime = Runtime::builder(queue.clone()).queue("tests", 1).claude(claude);
    let runtime = runtime.run_until(async move { drop(ended.wait_for(|ended| *ended).await) });
    let test = async {
        let mut tail = other.tail(id);
        let mut names = Vec::new();
        let mut next = async || {
            let event = tokio::time::timeout(SOON, tail.next()).await.expect("soon").expect("a read");
            let shown = event.map(|event| match &event.kind {
                EventKind::Progress(Progress::Text { text, .. }) => format!("{} {text}", event.attempt),
                kind => format!("{} {}", event.attempt, kind.name()),
            });
            names.push(shown.clone());
            shown
        };
        printed.recv().await.expect("it runs");
        for expected in ["1 started", "1 first", "1 second"] {
            assert_eq!(next().await.as_deref(), Some(expected), "while it runs");
        }
        release.send_replace(true);
        assert_eq!(next().await.as_deref(), Some("1 retried"));
        other.retry(id).await.expect("it waits for its backoff");
        for expected in ["2 started", "2 first", "2 second", "2 retried"] {
            assert_eq!(next().await.as_deref(), Some(expected));
        }
        other.cancel(id).await.expect("it waits");
        assert_eq!(next().await, None, "it is over");
        // What is over is told as it was, at once.
        let mut past = other.tail(id).until_now();
        let mut again = Vec::new();
        while let Some(event) = past.next().await.expect("a read") {
            again.push(event.kind.name());
        }
        assert_eq!(
            again,
            ["started", "progress", "progress", "retried", "started", "progress", "progress", "cancelled"]
        );
        end.send_replace(true);
    };
    let (served, ()) = tokio::join!(runtime, test);
    served.expect("it ends");
    let gone = other.tail(JobId(999)).next().await.expect_err("there is none").to_string();
    assert_eq!(gone, "there is no job 999");
}

#[tokio::test]
async fn a_job_is_followed_through_its_attempts_on_sqlite() {
    followed(Site::sqlite()).await;
}

#[tokio::test]
async fn a_job_is_followed_through_its_attempts_on_postgres() {
    followed(Site::postgres()).await;
}

/// Neither the run nor its settlement waits for the log; what does not fit is counted.
#[tokio::test]
async fn a_log_that_cannot_be_written_holds_nothing_up() {
    const PRINTED: usize = 3_000;
    let site = Site::postgres();
    let Site::Postgres(database) = &site else { unreachable!() };
    let queue = site.queue().await;
    let inserted = Plain::new("hello").insert(&queue).await.expect("valid");
    use sqlx::{Connection, Executor};
    let mut lock = sqlx::PgConnection::connect(&database.url()).await.expect("there");
    lock.execute("BEGIN; LOCK TABLE claude_jobs.log IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let took = std::sync::Arc::new(AtomicUsize::new(usize::MAX));
    let measured = std::sync::Arc::clone(&took);
    let claude = move |request: Request| {
        let measured = std::sync::Arc::clone(&measured);
        async move {
            print(&request, &[says("before")]);
            // Until the writer is stuck.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let started = Instant::now();
            (0..PRINTED).for_each(|number| print(&request, &[says(&number.to_string())]));
            measured.store(started.elapsed().as_millis() as usize, Ordering::SeqCst);
            Ok::<_, RunnerError>(success("fine"))
        }
    };
    let (end, mut ended) = watch::channel(false);
    let runtime = Runtime::builder(queue.clone()).queue("tests", 1).claude(claude);
    let runtime = runtime.run_until(async move { drop(ended.wait_for(|ended| *ended).await) });
    let test = async {
        let state = "select state from claude_jobs.jobs";
        wait_until(SOON, "the settlement", || database.psql(state) == "completed").await;
        assert!(took.load(Ordering::SeqCst) < 5_000, "{took:?} ms");
        lock.execute("ROLLBACK").await.expect("it is open");
        let last = "select count(*) from claude_jobs.log where event like '%missing%'";
        wait_until(SOON, "the log", || database.psql(last) == "1").await;
        end.send_replace(true);
    };
    let (served, ()) = tokio::join!(runtime, test);
    served.expect("it ends");
    let log = queue.log(inserted.id()).await.expect("a read");
    let (there, slow, full) = accounted(&log);
    assert_eq!((there + slow, full), (PRINTED as u64 + 1, 0));
    assert!(slow > 1_000, "{slow}");
}

#[tokio::test]
async fn contents_are_kept_out_where_that_is_asked_for() {
    for (keeps, rows) in [(RunLog::Off, 0), (RunLog::Redacted, 1), (RunLog::Full, 1)] {
        let site = Site::sqlite();
        let queue = site.queue().await;
        let inserted = Plain::new("hello").insert(&queue).await.expect("valid");
        drain(&queue, printing(vec![says("a private matter")]), keeps).await;
        let log = queue.log(inserted.id()).await.expect("a read");
        assert_eq!(log.len(), rows, "{keeps:?}");
        let is_there = format!("{log:?}").contains("private");
        assert_eq!(is_there, keeps == RunLog::Full, "{keeps:?}");
    }
}

/// The drain of jobs that print nothing writes no log: not even an empty transaction.
#[tokio::test]
async fn a_run_that_prints_nothing_writes_nothing() {
    let site = Site::postgres();
    let Site::Postgres(database) = &site else { unreachable!() };
    let queue = site.queue().await;
    let jobs = (0..50).map(|_| Plain::new("hello").into_new_job().expect("valid"));
    queue.insert_many(jobs).await.expect("valid");
    // Whatever touches the log fails.
    database.psql("ALTER TABLE claude_jobs.log RENAME TO elsewhere");
    drain(&queue, printing(Vec::new()), RunLog::Full).await;
    database.psql("ALTER TABLE claude_jobs.elsewhere RENAME TO log");
    assert_eq!(database.psql("select count(*) from claude_jobs.jobs where state = 'completed'"), "50");
    let touched = "select coalesce(sum(seq_scan + idx_scan + n_tup_ins), 0) from pg_stat_all_tables \
        where schemaname = 'claude_jobs' and relname = 'log'";
    assert_eq!(database.psql(touched), "0");
}

/// A secret that is given to runs alone is none of this process's own variables.
#[tokio::test]
async fn a_secret_of_the_runner_is_hidden() {
    let place = Place::new().await;
    let secret = "correct-horse-battery";
    let fake = FakeClaude::new([Take::success(&format!("it is {secret}"))]);
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).env("DEPLOY_TOKEN", secret);
    drain(&place.queue, claude.build(), RunLog::Full).await;
    let log = format!("{:?}", place.queue.log(job.id()).await.expect("a read"));
    assert!(log.contains("it is [secret]") && !log.contains(secret), "{log}");
}
