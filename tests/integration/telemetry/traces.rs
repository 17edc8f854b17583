//! The trace of a job: from whoever inserts it through every attempt into the CLI and the jobs that follow.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use claude_jobs::claude::{ClaudeCli, Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs::schedule::Cron;
use claude_jobs::telemetry::TraceContext;
use claude_jobs::{Error, NewJob};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::log::Log;
use claude_jobs_tests::script::Take;
use claude_jobs_tests::watching::{Exported, Exporter};
use claude_jobs_tests::{alone, postgres};
use serde_json::json;
use sqlx::Executor;
use tracing::Instrument;

use crate::workers::{Obedient, Place, Plain, success};

const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Known to this process too, so that it can be inserted here.
#[claude_worker(queue = "traced", max_attempts = 3, prompt = "Follows: {follows}")]
struct Traced {
    follows: bool,
}

/// Runs what is due in a process of its own; what its OpenTelemetry exports, if it has one.
fn run_elsewhere(url: &str, claude: &FakeClaude, arguments: &[&str]) -> Vec<Exported> {
    let output = Command::new(env!("CARGO_BIN_EXE_traced"))
        .arg(url)
        .arg(claude.path())
        .args(arguments)
        // In what trace the runtime was started is its own affair.
        .env("TRACEPARENT", "00-11111111111111111111111111111111-2222222222222222-01")
        .env("TRACESTATE", "own=affair")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("a span")).collect()
}

async fn of_traced(queue: &Queue) -> Vec<Job> {
    let mut filter = Filter::default();
    filter.queue = Some("traced".to_owned());
    let mut jobs = queue.list(&filter).await.expect("a list");
    jobs.reverse();
    jobs
}

/// The places in the trace that the CLI was given, run by run.
fn given(claude: &FakeClaude) -> Vec<Option<TraceContext>> {
    let context = |header: &String, state: Option<&String>| {
        TraceContext::new(header).expect("it is valid").with_state(state.map_or("", String::as_str))
    };
    let records = claude.records().into_iter();
    records
        .map(|record| {
            record.env.get("TRACEPARENT").map(|header| context(header, record.env.get("TRACESTATE")))
        })
        .collect()
}

/// Inserted here, run elsewhere, followed by another job and a second attempt: all of one trace.
async fn a_trace_goes_through_processes(url: &str) {
    let queue = Queue::connect(url).await.expect("a new database");
    let overloaded = Take::api_error(Some(529), "server_error", "API Error: 529");
    let claude = FakeClaude::new([overloaded, Take::success("done")]);
    let trace = TraceContext::new(HEADER).expect("it is valid").with_state("vendor=a");
    let first = Traced::new(true).trace(trace).insert(&queue).await.expect("valid");
    assert_eq!(first.job.trace.as_deref(), Some(format!("{HEADER} vendor=a").as_str()));
    run_elsewhere(url, &claude, &[]);
    assert_eq!(queue.get(first.id()).await.expect("a read").expect("it is there").state, State::Retryable);
    queue.retry(first.id()).await.expect("it waits");
    run_elsewhere(url, &claude, &[]);

    let [first, second] = &of_traced(&queue).await[..] else { panic!("a job and its follow-on") };
    assert_eq!((first.state, second.state), (State::Completed, State::Completed));
    let given = given(&claude);
    let [one, again, follow_on] = &given[..] else { panic!("{given:?}") };
    let (one, again) = (one.as_ref().expect("in a trace"), again.as_ref().expect("in a trace"));
    let follow_on = follow_on.as_ref().expect("in a trace");
    for place in [one, again, follow_on] {
        assert_eq!((place.trace_id().as_str(), place.trace_state()), (TRACE, Some("vendor=a")), "{place}");
    }
    let mut spans = vec![SPAN.to_owned(), one.parent_id(), again.parent_id(), follow_on.parent_id()];
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), 4, "each run is a span of its own: {given:?}");
    assert_eq!(second.trace_context().as_ref(), Some(again), "it was enqueued in the second attempt");

    let runs = queue.details(first.id).await.expect("it is there").runs;
    for (run, place) in runs.iter().zip([one, again]) {
        assert_eq!(run.environment.get("TRACEPARENT"), Some(&place.trace_parent()));
        assert_eq!(run.environment.get("TRACESTATE").map(String::as_str), Some("vendor=a"));
    }
}

#[tokio::test]
async fn a_trace_goes_through_processes_on_sqlite() {
    a_trace_goes_through_processes(&Place::new().await.url()).await;
}

#[tokio::test]
async fn a_trace_goes_through_processes_on_postgres() {
    a_trace_goes_through_processes(&postgres::database().url()).await;
}

/// With OpenTelemetry in the runtime's process its own spans are the links of the chain.
#[tokio::test]
async fn the_spans_of_a_runtime_are_part_of_the_trace() {
    let place = Place::new().await;
    let claude = FakeClaude::new([Take::success("done")]);
    Traced::new(true).trace_parent(HEADER).insert(&place.queue).await.expect("valid");
    let spans = run_elsewhere(&place.url(), &claude, &["with-tracing"]);

    let of = |name: &str| {
        spans.iter().filter(|span| span.name == name && span.trace_id == TRACE).collect::<Vec<_>>()
    };
    let (runs, claudes, settled) = (of("job.run"), of("claude.run"), of("job.settle"));
    assert_eq!((runs.len(), claudes.len(), settled.len()), (2, 2, 2), "{spans:?}");
    assert_eq!(runs[0].parent_id, SPAN);
    assert_eq!(runs[1].parent_id, runs[0].span_id, "the follow-on job's run");
    for ((run, claude), settled) in runs.iter().zip(&claudes).zip(&settled) {
        assert_eq!((&claude.parent_id, &settled.parent_id), (&run.span_id, &run.span_id));
    }
    let given: Vec<_> = given(&claude).into_iter().flatten().map(|place| place.parent_id()).collect();
    assert_eq!(given, [&*claudes[0].span_id, &*claudes[1].span_id]);
}

#[tokio::test]
async fn a_job_without_a_trace_gets_one_only_from_a_tracing_that_is_there() {
    let place = Place::new().await;
    let claude = FakeClaude::new([Take::success("done")]);
    for _ in 0..2 {
        let job = Traced::new(false).insert(&place.queue).await.expect("valid").job;
        assert_eq!(job.trace, None);
    }
    run_elsewhere(&place.url(), &claude, &[]);
    assert_eq!(given(&claude), [None, None], "not that of the runtime's own process either");
    let runs = place.queue.details(of_traced(&place.queue).await[0].id).await.expect("it is there").runs;
    assert!(!runs[0].environment.contains_key("TRACEPARENT"));

    Traced::new(false).insert(&place.queue).await.expect("valid");
    let spans = run_elsewhere(&place.url(), &claude, &["with-tracing"]);
    let run = spans.iter().find(|span| span.name == "claude.run").expect("it ran");
    let own = given(&claude)[2].clone().expect("a trace of its own");
    assert_eq!((own.trace_id(), own.parent_id()), (run.trace_id.clone(), run.span_id.clone()));
}

/// What others write into the rows stops no job.
#[tokio::test]
async fn what_is_no_trace_context_is_ignored_with_a_warning() {
    let (place, log) = (Place::new().await, Log::capture());
    let claude = FakeClaude::new([Take::success("done")]);
    let mut connection = place.connection().await;
    let invalid = ["nonsense", "", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ü"];
    for trace in invalid {
        let sql = "INSERT INTO claude_jobs (queue, worker, input, args, trace) VALUES ('tests', 'Plain', '{}', ?, ?)";
        let row = sqlx::query(sql).bind(json!({ "prompt": "x" }).to_string()).bind(trace);
        row.execute(&mut connection).await.expect("a row by hand");
    }
    connection.execute(sqlx::AssertSqlSafe(format!(
        "INSERT INTO claude_jobs (queue, worker, args, trace) VALUES ('tests', 'Plain', '{{\"prompt\": \"x\"}}', '{HEADER} junk')"
    ))).await.expect("a row by hand");
    place.drain(ClaudeCli::builder().binary(claude.path().to_str().expect("UTF-8")).build()).await;

    let mut filter = Filter::default();
    filter.state = Some(State::Completed);
    assert_eq!(place.queue.list(&filter).await.expect("a list").len(), 5);
    let given = given(&claude);
    let valid: Vec<_> = given.iter().flatten().collect();
    assert_eq!((given.len(), valid.len()), (5, 1), "{given:?}");
    assert_eq!((valid[0].trace_id().as_str(), valid[0].trace_state()), (TRACE, None), "its state is none");
    let warnings = log.lines().iter().filter(|line| line.contains("trace context is none")).count();
    assert_eq!(warnings, invalid.len(), "{:?}", log.lines());
}

#[tokio::test]
async fn a_trace_parent_that_is_none_is_refused_at_once() {
    let place = Place::new().await;
    let error = Plain::new("x").trace_parent("00-nonsense").insert(&place.queue).await.expect_err("none");
    assert!(matches!(error, Error::InvalidJob(_)));
    let text = error.to_string();
    assert!(text.contains("trace_parent `00-nonsense`") && text.contains("W3C traceparent"), "{text}");
}

/// Without a word from the user: every way in which a job is inserted.
#[test]
fn a_job_continues_the_trace_in_which_it_is_inserted() {
    if alone::inside().is_none() {
        return alone::run("telemetry::traces::a_job_continues_the_trace_in_which_it_is_inserted");
    }
    let exporter = Exporter::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(every_way_to_insert(&exporter));
}

async fn every_way_to_insert(exporter: &Exporter) {
    let place = Place::new().await;
    let queue = &place.queue;
    let inside = async {
        let one = Plain::new("one").insert(queue).await.expect("valid").job;
        let many = ["two", "three"].map(|prompt| Plain::new(prompt).into_new_job().expect("valid"));
        let many = queue.insert_many(many).await.expect("valid");
        let own = Plain::new("own").trace_parent(HEADER).insert(queue).await.expect("valid").job;
        let mut connection = place.connection().await;
        let within = Plain::new("within").insert_in(queue, &mut connection).await.expect("valid").job;
        let followed = Obedient::new("follow".into()).insert(queue).await.expect("valid").job;
        (one, many, own, within, followed)
    };
    let (one, many, own, within, followed) = inside.instrument(tracing::info_span!("request")).await;
    place.drain(async |_: Request| Ok::<_, RunnerError>(success("done"))).await;

    let spans = exporter.spans();
    let request = spans.iter().find(|span| span.name == "request").expect("it is over");
    let context = |job: &Job| job.trace_context().unwrap_or_else(|| panic!("{job:?}"));
    assert_eq!(own.trace.as_deref(), Some(HEADER), "what is given counts");
    for job in [&one, &many[0].job, &many[1].job, &within, &followed] {
        let place = context(job);
        assert_eq!(place.trace_id(), request.trace_id);
        let insert = spans.iter().find(|span| span.span_id == place.parent_id()).expect("exported");
        assert_eq!((insert.name.as_str(), &insert.parent_id), ("job.insert", &request.span_id));
        let job_run = spans.iter().find(|span| span.name == "job.run" && span.parent_id == insert.span_id);
        assert!(job_run.is_some(), "its run is a child");
    }
    let run =
        spans.iter().find(|span| span.name == "job.run" && span.parent_id == context(&followed).parent_id());
    let follow_on = &queue.list(&Filter::default()).await.expect("a list")[0];
    let handler = context(follow_on);
    assert_eq!(
        (handler.trace_id(), handler.parent_id()),
        (request.trace_id.clone(), run.expect("it ran").span_id.clone())
    );

    // A schedule has no request around it: each tick begins a trace.
    let job: NewJob = Plain::new("due").queue("nobody").into_new_job().expect("valid");
    let clock = Clock::manual("2028-02-28T23:59:59.8Z".parse().expect("a moment"));
    let queue = queue.clone().with_clock(clock.clone());
    let ends = tokio::time::timeout(Duration::from_secs(30), async {
        while queue.ticks("daily", 1).await.expect("a read").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.advance(Duration::from_secs(1));
        loop {
            let jobs = queue.list(&Filter::default()).await.expect("a list");
            if jobs[0].queue == "nobody" {
                return jobs[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut due = None;
    let runtime = Runtime::builder(queue.clone()).queue("nowhere", 1).cron(Cron::new("daily", "@daily"), job);
    runtime.run_until(async { due = ends.await.ok() }).await.expect("it runs");
    let place = context(&due.expect("a tick"));
    assert_ne!(place.trace_id(), request.trace_id);
    let insert = exporter.spans().into_iter().find(|span| span.span_id == place.parent_id());
    assert_eq!(insert.expect("exported").name, "job.insert");
}

/// The command continues the trace in which it is started.
#[test]
fn the_command_continues_the_trace_of_its_environment() {
    let claude = FakeClaude::new([Take::success("done")]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = |arguments: &[&str], trace_parent: &str| {
        let output = jobs(folder.path()).args(arguments).env("TRACEPARENT", trace_parent).output();
        let output = output.expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (String::from_utf8(output.stdout).expect("text"), said)
    };
    let binary = claude.path();
    let binary = binary.to_str().expect("UTF-8");

    command(&["enqueue", "one"], HEADER);
    let (shown, _) = command(&["jobs", "show", "1", "--json"], "");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["trace"], HEADER);
    assert!(command(&["jobs", "show", "1"], HEADER).0.contains(TRACE));

    let (_, said) = command(&["enqueue", "two"], "nonsense");
    assert!(said.contains("TRACEPARENT is ignored"), "{said}");
    command(&["work", "--drain", "--queue", "default=1", "--binary", binary], HEADER);
    command(&["run", "three", "--binary", binary], HEADER);
    let traces: Vec<_> =
        given(&claude).into_iter().map(|place| place.map(|place| place.trace_id())).collect();
    assert_eq!(traces, [Some(TRACE.to_owned()), None, Some(TRACE.to_owned())]);
}

fn jobs(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
    command.env("CLAUDE_JOBS_DATABASE", format!("sqlite://{}/jobs.db", folder.display()));
    command
}
