//! Faults of the machine and of the account stop claims, not jobs: a missing executable, an expired login, a usage
//! limit, no memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use claude_jobs::claude::{Claude, ClaudeCli, Problem, Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::jiff::Timestamp;
use claude_jobs::notice::Notice;
use claude_jobs::outcome::{Ending, FailureKind, NotStarted, Report};
use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Answer, Script, Step, Take};
use serde_json::json;
use tokio::sync::oneshot;

use crate::workers::{Place, Plain, recorded, success, until_stopped};

const SOON: Duration = Duration::from_secs(60);

async fn insert(place: &Place, jobs: usize) {
    let jobs = (0..jobs).map(|_| Plain::new("x").max_attempts(1).into_new_job().expect("valid"));
    place.queue.insert_many(jobs).await.expect("inserts");
}

async fn all(place: &Place) -> Vec<Job> {
    let mut filter = Filter::default();
    filter.limit = 10_000;
    place.queue.list(&filter).await.expect("a read")
}

async fn until(place: &Place, what: &str, is_so: impl Fn(&[Job]) -> bool) {
    let start = Instant::now();
    loop {
        let jobs = all(place).await;
        if is_so(&jobs) {
            return;
        }
        assert!(start.elapsed() < SOON, "not {what}: {}", told(&jobs));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The jobs of each state and reason, counted.
fn told(jobs: &[Job]) -> String {
    let mut counts = BTreeMap::new();
    for state in states(jobs) {
        *counts.entry(format!("{state:?}")).or_insert(0) += 1;
    }
    format!("{counts:?}")
}

fn states(jobs: &[Job]) -> Vec<(State, Option<&str>)> {
    jobs.iter().map(|job| (job.state, job.reason.as_deref())).collect()
}

fn all_completed(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.state == State::Completed)
}

fn count(jobs: &[Job], state: State) -> usize {
    jobs.iter().filter(|job| job.state == state).count()
}

/// Why claims were stopped, and how often they were resumed.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Option<String>>>>);

impl Told {
    fn hear(&self, notice: &Notice<'_>) {
        let said = match notice {
            Notice::ClaimsStopped { reason, .. } => Some((*reason).to_owned()),
            Notice::ClaimsResumed => None,
            _ => return,
        };
        self.0.lock().expect("no holder panics").push(said);
    }

    fn all(&self) -> Vec<Option<String>> {
        self.0.lock().expect("no holder panics").clone()
    }
}

/// A runtime that serves the place until it is dropped or told to end.
fn serve(
    place: &Place,
    slots: u32,
    claude: impl Claude + 'static,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>, Told) {
    let (end, ended) = oneshot::channel::<()>();
    let told = Told::default();
    let hears = told.clone();
    let runtime = Runtime::builder(place.queue.clone())
        .queue("tests", slots)
        .grace(Duration::from_millis(10))
        .claude(claude)
        .on_notice(move |notice| hears.hear(notice));
    let task = tokio::spawn(async move {
        runtime.run_until(async { drop(ended.await) }).await.expect("it runs");
    });
    (end, task, told)
}

fn link(fake: &FakeClaude, path: &Path) {
    std::os::unix::fs::symlink(fake.path(), path).expect("a link");
}

#[tokio::test]
async fn an_executable_that_is_missing_for_a_moment_costs_no_job_anything() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    let binary = fake.folder().join("linked");
    insert(&place, 60).await;
    let claude = ClaudeCli::builder().binary(binary.display().to_string()).build();
    let (end, task, told) = serve(&place, 2, claude);
    let start = Instant::now();
    while told.all().is_empty() {
        assert!(start.elapsed() < SOON, "somebody meets it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reason = told.all()[0].clone().expect("they are stopped");
    assert!(reason.starts_with("binary_missing: "), "{reason}");
    while !place.queue.blocked().await.expect("a read").iter().any(|blocked| blocked.concerns("tests")) {
        assert!(start.elapsed() < SOON, "the node's row says so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    link(&fake, &binary);
    until(&place, "all completed", all_completed).await;
    let jobs = all(&place).await;
    assert!(jobs.iter().all(|job| job.counted_attempts() == 1 && job.snoozes == 0), "{jobs:?}");
    while told.all().last() != Some(&None) || !place.queue.blocked().await.expect("a read").is_empty() {
        assert!(start.elapsed() < SOON, "they are resumed: {:?}", told.all());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(end);
    task.await.expect("it ends");
}

#[tokio::test]
async fn a_broken_node_leaves_the_work_to_a_healthy_one() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    insert(&place, 30).await;
    let of = |binary: String| ClaudeCli::builder().binary(binary).build();
    let (broken, broken_task, _) = serve(&place, 2, of("/nowhere/claude".to_owned()));
    let (healthy, healthy_task, _) = serve(&place, 2, of(fake.path().display().to_string()));
    until(&place, "all completed", all_completed).await;
    let jobs = all(&place).await;
    assert!(jobs.iter().all(|job| job.counted_attempts() == 1), "{jobs:?}");
    for (end, task) in [(broken, broken_task), (healthy, healthy_task)] {
        drop(end);
        task.await.expect("it ends");
    }
}

#[tokio::test]
async fn an_executable_of_the_jobs_own_that_is_missing_is_its_own_fault() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    Plain::new("x").binary("/nowhere/else").insert(&place.queue).await.expect("valid");
    Plain::new("x").binary(fake.path().display().to_string()).insert(&place.queue).await.expect("valid");
    // The node's own is missing, too, which concerns neither.
    place.drain(ClaudeCli::builder().binary("/nowhere/claude").build()).await;
    let jobs = all(&place).await;
    let expected = [State::Completed, State::Cancelled];
    assert_eq!(jobs.iter().map(|job| job.state).collect::<Vec<_>>(), expected, "{:?}", states(&jobs));
}

/// A machine on which the first look at the CLI takes long, as on one that is busy.
struct Slow;

#[async_trait]
impl Claude for Slow {
    async fn run(&self, _: Request) -> Result<Report, RunnerError> {
        Ok(success("done"))
    }

    async fn probe(&self) -> Result<(), Problem> {
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(())
    }
}

#[tokio::test]
async fn a_node_keeps_its_lease_however_long_it_looks_before_its_first_claim() {
    let place = Place::new().await;
    insert(&place, 1).await;
    let lease = Duration::from_secs(12);
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(Slow).lease(lease);
    let drained = tokio::spawn(runtime.drain());
    let mut connection = place.connection().await;
    let mut ends = Vec::new();
    while !drained.is_finished() {
        let row = sqlx::query_scalar::<_, i64>("SELECT lease_until FROM claude_jobs_nodes");
        ends.extend(row.fetch_optional(&mut connection).await.expect("a read"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drained.await.expect("no panic").expect("it drains");
    ends.dedup();
    assert!(ends.len() > 1, "it was renewed after a quarter of it: {ends:?}");
    assert!(all_completed(&all(&place).await));
}

/// A runner whose account is not well until it is said to be; it counts its runs.
fn ailing(
    answer: impl Fn() -> Report + Send + Sync + Clone + 'static,
) -> (impl Claude + Clone + 'static, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (is_well, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (well, counted) = (Arc::clone(&is_well), Arc::clone(&runs));
    let claude = move |_: Request| {
        let (is_well, answer) = (well.load(Ordering::SeqCst), answer.clone());
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, RunnerError>(if is_well { success("done") } else { answer() })
        }
    };
    (claude, is_well, runs)
}

#[tokio::test]
async fn an_expired_login_cancels_no_more_than_were_running() {
    let place = Place::new().await;
    insert(&place, 500).await;
    let (claude, is_well, runs) = ailing(|| recorded("oauth_expired"));
    let nodes = [serve(&place, 4, claude.clone()), serve(&place, 4, claude)];
    // How many run before the first has met the fault is chance. Those after them are trials, and cancel nothing.
    let is_tried_again = |jobs: &[Job]| {
        let cancelled = count(jobs, State::Cancelled);
        cancelled > 0 && runs.load(Ordering::SeqCst) >= cancelled + 2
    };
    until(&place, "tried again", is_tried_again).await;
    let blocked = place.queue.blocked().await.expect("a read");
    assert!(blocked[0].reason.starts_with("authentication: "), "{blocked:?}");
    is_well.store(true, Ordering::SeqCst);
    let are_over = |jobs: &[Job]| count(jobs, State::Completed) + count(jobs, State::Cancelled) == 500;
    until(&place, "all others completed", are_over).await;
    let cancelled = count(&all(&place).await, State::Cancelled);
    assert!((1..=8).contains(&cancelled), "{cancelled}");
    // What was cancelled is brought back by the kind of its reason.
    let found = place.queue.ended_with(FailureKind::Authentication, Some(SOON)).await.expect("a read");
    assert_eq!(found.len(), cancelled);
    assert!(place.queue.ended_with(FailureKind::Billing, None).await.expect("a read").is_empty());
    place.queue.retry_where(FailureKind::Authentication, None).await.expect("a write");
    until(&place, "all completed", all_completed).await;
    for (end, task, _) in nodes {
        drop(end);
        task.await.expect("it ends");
    }
}

/// What a trial has done is not done again: it has met the fault as any other job.
#[tokio::test]
async fn a_trial_that_has_worked_is_cancelled_as_any_other() {
    let place = Place::new().await;
    insert(&place, 2).await;
    let (claude, is_well, runs) = ailing(|| {
        let mut report = recorded("oauth_expired");
        report.worked = true;
        report
    });
    let (end, task, _) = serve(&place, 1, claude);
    until(&place, "cancelled", |jobs| count(jobs, State::Cancelled) == 2).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    is_well.store(true, Ordering::SeqCst);
    drop(end);
    task.await.expect("it ends");
}

/// A job in whose own folder claude cannot start: it does not keep the node from all others, nor run for ever.
#[tokio::test]
async fn one_job_that_always_meets_a_fault_of_the_node_is_at_fault_itself() {
    let place = Place::new().await;
    let poison = Plain::new("poison").priority(0).max_attempts(1).insert(&place.queue).await.expect("valid");
    for _ in 0..3 {
        Plain::new("x").priority(5).max_attempts(1).insert(&place.queue).await.expect("valid");
    }
    let claude = |request: Request| async move {
        let mut report = success("done");
        if request.prompt() == "poison" {
            report = Report::new(None);
            report.ending = Ending::NotStarted(NotStarted::Environment("EACCES, mkdir '/repos/ro'".into()));
        }
        Ok::<_, RunnerError>(report)
    };
    let (end, task, _) = serve(&place, 2, claude);
    until(&place, "over", |jobs| jobs.iter().all(|job| job.state.is_final())).await;
    assert_eq!(count(&all(&place).await, State::Completed), 3);
    let poison = place.job(&poison).await;
    assert_eq!((poison.state, poison.counted_attempts()), (State::Cancelled, 1), "{:?}", poison.reason);
    assert!((2..=5).contains(&poison.attempt), "given back a few times: {}", poison.attempt);
    drop(end);
    task.await.expect("it ends");
}

/// As after an update that went wrong: the file is there, and nothing of it runs.
#[tokio::test]
async fn a_cli_that_dies_and_cannot_tell_its_version_is_the_nodes_fault() {
    let place = Place::new().await;
    let well = Script { takes: vec![Take::success("done")], ..Script::default() };
    let fake = FakeClaude::from_script(well.clone());
    let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
    let (end, task, told) = serve(&place, 2, claude);
    let broken = Answer { stdout: None, exit: 1 };
    fake.rewrite(&Script { version: broken, takes: vec![Take::of([Step::Exit(127)])], ..well.clone() });
    insert(&place, 10).await;
    let start = Instant::now();
    while told.all().is_empty() {
        assert!(start.elapsed() < SOON, "somebody meets it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        told.all()[0].as_ref().is_some_and(|said| said.starts_with("binary_not_runnable: ")),
        "{:?}",
        told.all()
    );
    until(&place, "given back", |jobs| count(jobs, State::Available) == 10).await;
    fake.rewrite(&well);
    until(&place, "all completed", all_completed).await;
    assert!(all(&place).await.iter().all(|job| job.counted_attempts() == 1));
    drop(end);
    task.await.expect("it ends");
}

/// Where every job names its own executable, the node's own is not missed.
#[tokio::test]
async fn a_node_without_an_executable_of_its_own_recovers_from_another_fault() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::startup_failure("EMFILE: too many open files"), Take::success("done")]);
    for _ in 0..3 {
        let job = Plain::new("x").binary(fake.path().display().to_string()).max_attempts(1);
        job.insert(&place.queue).await.expect("valid");
    }
    let (end, task, told) = serve(&place, 1, ClaudeCli::builder().binary("/nowhere/claude").build());
    until(&place, "all completed", all_completed).await;
    assert!(
        told.all().iter().flatten().any(|reason| reason.starts_with("environment: ")),
        "{:?}",
        told.all()
    );
    drop(end);
    task.await.expect("it ends");
}

/// The first look at the CLI comes before the first claim.
#[tokio::test]
async fn nothing_is_claimed_before_the_cli_is_known_to_work() {
    let old = Script {
        version: Answer { stdout: Some("1.0.0 (Claude Code)".to_owned()), exit: 0 },
        ..Script::default()
    };
    let logged_out = Script {
        auth: Answer { stdout: Some(r#"{"loggedIn":false}"#.to_owned()), exit: 1 },
        ..Script::default()
    };
    for (script, reason) in [(old, "unsupported_version: "), (logged_out, "authentication: ")] {
        let place = Place::new().await;
        let well = Script { takes: vec![Take::success("done")], ..Script::default() };
        let fake = FakeClaude::from_script(Script { takes: well.takes.clone(), ..script });
        insert(&place, 5).await;
        let mut claude = ClaudeCli::builder().binary(fake.path().display().to_string());
        for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN"] {
            claude = claude.env(name, "");
        }
        let (end, task, told) = serve(&place, 2, claude.build());
        let start = Instant::now();
        while told.all().is_empty() {
            assert!(start.elapsed() < SOON, "{reason}: somebody is told");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(told.all()[0].as_ref().is_some_and(|said| said.starts_with(reason)), "{:?}", told.all());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(fake.records().is_empty(), "{reason}: nothing has run");
        fake.rewrite(&well);
        until(&place, "all completed", all_completed).await;
        assert!(all(&place).await.iter().all(|job| job.counted_attempts() == 1), "{reason}");
        drop(end);
        task.await.expect("it ends");
    }
}

#[tokio::test]
async fn without_free_memory_nothing_is_claimed_and_that_is_said() {
    let place = Place::new().await;
    insert(&place, 2).await;
    let fake = FakeClaude::new([Take::success("done")]);
    let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
    let (end, ended) = oneshot::channel::<()>();
    let runtime =
        Runtime::builder(place.queue.clone()).queue("tests", 2).min_free_memory(u64::MAX).claude(claude);
    let task = tokio::spawn(runtime.run_until(async { drop(ended.await) }));
    let start = Instant::now();
    loop {
        let blocked = place.queue.blocked().await.expect("a read");
        if blocked.iter().any(|blocked| blocked.reason.starts_with("memory: ")) {
            break;
        }
        assert!(start.elapsed() < SOON, "{blocked:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&all(&place).await, State::Available), 2);
    assert!(fake.records().is_empty());
    drop(end);
    task.await.expect("it ends").expect("it ran");
}

/// Others of the account need not wait until its trial is over by the clock.
#[tokio::test]
async fn a_node_that_ends_leaves_its_trial_to_others() {
    let place = Place::new().await;
    insert(&place, 1).await;
    let (claude, _, runs) = ailing(|| recorded("oauth_expired"));
    let claude = move |request: Request| {
        let (claude, is_trial) = (claude.clone(), runs.load(Ordering::SeqCst) > 0);
        async move { if is_trial { until_stopped(request).await } else { claude.run(request).await } }
    };
    let (end, task, _) = serve(&place, 1, claude);
    until(&place, "cancelled", |jobs| count(jobs, State::Cancelled) == 1).await;
    insert(&place, 1).await;
    until(&place, "tried", |jobs| count(jobs, State::Executing) == 1).await;
    let trial = async || {
        let query = sqlx::query_scalar::<_, Option<String>>("SELECT trial_node FROM claude_jobs_accounts");
        query.fetch_one(&mut place.connection().await).await.expect("claims are stopped")
    };
    assert!(trial().await.is_some());
    drop(end);
    task.await.expect("it ends");
    assert_eq!(trial().await, None);
}

/// A refusal for a usage limit as the CLI prints it.
fn limited(resets_at: Option<i64>) -> Report {
    let text = "You've hit your session limit";
    let mut events = vec![
        json!({"type": "assistant", "is_api_error_message": true, "error": "rate_limit",
            "api_error": "usage_limit_reached", "message": {"content": [{"type": "text", "text": text}]}}),
        json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": 429,
            "terminal_reason": "api_error", "api_error": "usage_limit_reached", "result": text, "num_turns": 1}),
    ];
    if let Some(resets_at) = resets_at {
        let info = json!({"status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour"});
        events.insert(0, json!({"type": "rate_limit_event", "rate_limit_info": info}));
    }
    Report::from_events(events.iter(), 1)
}

#[tokio::test]
async fn a_limit_with_a_near_reset_is_tried_by_one_job_and_costs_none_an_attempt() {
    let place = Place::new().await;
    insert(&place, 12).await;
    let reset = Timestamp::now().as_second() + 2;
    let (claude, is_well, runs) = ailing(move || limited(Some(reset)));
    let (end, task, _) = serve(&place, 3, claude);
    until(&place, "refused once more after the reset", |_| runs.load(Ordering::SeqCst) >= 4).await;
    is_well.store(true, Ordering::SeqCst);
    until(&place, "all completed", all_completed).await;
    let jobs = all(&place).await;
    assert!(jobs.iter().all(|job| (job.counted_attempts(), job.snoozes) == (1, 0)), "{jobs:?}");
    // The first three, the trial, and each job once.
    assert!(runs.load(Ordering::SeqCst) <= 4 + 12, "{runs:?}");
    drop(end);
    task.await.expect("it ends");
}

#[tokio::test]
async fn a_limit_whose_reset_is_over_stops_claims_for_a_minute() {
    let place = Place::new().await;
    insert(&place, 5).await;
    let reset = Timestamp::now().as_second() - 5;
    let (claude, _, runs) = ailing(move || limited(Some(reset)));
    place.drain(claude).await;
    let jobs = all(&place).await;
    let waits = jobs.iter().filter(|job| matches!(job.state, State::Scheduled | State::Available)).count();
    assert_eq!(waits, 5, "{:?}", states(&jobs));
    assert!(jobs.iter().all(|job| (job.counted_attempts(), job.snoozes) == (0, 0)), "{jobs:?}");
    assert!(runs.load(Ordering::SeqCst) <= 4, "one for each slot: {runs:?}");
    let blocked = place.queue.blocked().await.expect("a read");
    let rest = blocked[0].until.expect("it is known").as_second() - Timestamp::now().as_second();
    assert!((50..=66).contains(&rest), "{blocked:?}");
    // An operator who knows better.
    place.queue.resume("tests").await.expect("a write");
    assert!(place.queue.blocked().await.expect("a read").is_empty());
}
