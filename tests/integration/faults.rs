//! Faults of the machine and of the account stop claims, not jobs: a missing executable, no memory; in
//! [`accounts`] an expired login, a usage limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use claude_jobs::claude::{Claude, ClaudeCli, Problem, Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::notice::Notice;
use claude_jobs::outcome::{Ending, NotStarted, Report};
use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Answer, Script, Step, Take};
use tokio::sync::oneshot;

use crate::workers::{Place, Plain, success};

mod accounts;

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

/// A runtime that serves the place until it is ended.
struct Node {
    end: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    told: Told,
}

impl Node {
    async fn ended(self) {
        drop(self.end);
        self.task.await.expect("it ends");
    }
}

fn serve(place: &Place, slots: u32, claude: impl Claude + 'static) -> Node {
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
    Node { end, task, told }
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
    let node = serve(&place, 2, claude);
    let start = Instant::now();
    while node.told.all().is_empty() {
        assert!(start.elapsed() < SOON, "somebody meets it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reason = node.told.all()[0].clone().expect("they are stopped");
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
    while node.told.all().last() != Some(&None) || !place.queue.blocked().await.expect("a read").is_empty() {
        assert!(start.elapsed() < SOON, "they are resumed: {:?}", node.told.all());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.ended().await;
}

#[tokio::test]
async fn a_broken_node_leaves_the_work_to_a_healthy_one() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    insert(&place, 30).await;
    let of = |binary: String| ClaudeCli::builder().binary(binary).build();
    let broken = serve(&place, 2, of("/nowhere/claude".to_owned()));
    let healthy = serve(&place, 2, of(fake.path().display().to_string()));
    until(&place, "all completed", all_completed).await;
    let jobs = all(&place).await;
    assert!(jobs.iter().all(|job| job.counted_attempts() == 1), "{jobs:?}");
    for node in [broken, healthy] {
        node.ended().await;
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
    let node = serve(&place, 2, claude);
    until(&place, "over", |jobs| jobs.iter().all(|job| job.state.is_final())).await;
    assert_eq!(count(&all(&place).await, State::Completed), 3);
    let poison = place.job(&poison).await;
    assert_eq!((poison.state, poison.counted_attempts()), (State::Cancelled, 1), "{:?}", poison.reason);
    assert!((2..=5).contains(&poison.attempt), "given back a few times: {}", poison.attempt);
    node.ended().await;
}

/// As after an update that went wrong: the file is there, and nothing of it runs.
#[tokio::test]
async fn a_cli_that_dies_and_cannot_tell_its_version_is_the_nodes_fault() {
    let place = Place::new().await;
    let well = Script { takes: vec![Take::success("done")], ..Script::default() };
    let fake = FakeClaude::from_script(well.clone());
    let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
    let node = serve(&place, 2, claude);
    let broken = Answer { stdout: None, exit: 1 };
    fake.rewrite(&Script { version: broken, takes: vec![Take::of([Step::Exit(127)])], ..well.clone() });
    insert(&place, 10).await;
    let start = Instant::now();
    while node.told.all().is_empty() {
        assert!(start.elapsed() < SOON, "somebody meets it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        node.told.all()[0].as_ref().is_some_and(|said| said.starts_with("binary_not_runnable: ")),
        "{:?}",
        node.told.all()
    );
    until(&place, "given back", |jobs| count(jobs, State::Available) == 10).await;
    fake.rewrite(&well);
    until(&place, "all completed", all_completed).await;
    assert!(all(&place).await.iter().all(|job| job.counted_attempts() == 1));
    node.ended().await;
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
    let node = serve(&place, 1, ClaudeCli::builder().binary("/nowhere/claude").build());
    until(&place, "all completed", all_completed).await;
    assert!(
        node.told.all().iter().flatten().any(|reason| reason.starts_with("environment: ")),
        "{:?}",
        node.told.all()
    );
    node.ended().await;
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
        let node = serve(&place, 2, claude.build());
        let start = Instant::now();
        while node.told.all().is_empty() {
            assert!(start.elapsed() < SOON, "{reason}: somebody is told");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(
            node.told.all()[0].as_ref().is_some_and(|said| said.starts_with(reason)),
            "{:?}",
            node.told.all()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(fake.records().is_empty(), "{reason}: nothing has run");
        fake.rewrite(&well);
        until(&place, "all completed", all_completed).await;
        assert!(all(&place).await.iter().all(|job| job.counted_attempts() == 1), "{reason}");
        node.ended().await;
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
