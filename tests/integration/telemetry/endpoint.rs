//! The metrics, as Prometheus gets them: by HTTP, from runtimes and from the command.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::outcome::{Ending, Report, StopReason};
use claude_jobs::prelude::*;
use claude_jobs::schedule::Cron;
use claude_jobs::telemetry::{METRICS, MetricKind, prometheus};
use claude_jobs_tests::alone;
use claude_jobs_tests::sandbox::wait_until;
use sqlx::Executor;

use crate::workers::{Obedient, Once, Place, Plain, recorded, success};

const SOON: Duration = Duration::from_secs(30);

/// The status line and the body of an answer.
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "{request} HTTP/1.1\r\nhost: test\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// The value of a series, whatever the order of its labels.
fn value(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = metrics.lines().find(|line| {
        let is_named = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        is_named && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn every_metric_is_told_as_the_table_has_it() {
    if alone::inside().is_none() {
        return alone::run("telemetry::endpoint::every_metric_is_told_as_the_table_has_it");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let endpoint = prometheus::serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let place = Place::new().await;
        settle_some(&place).await;
        supersede_one(&place).await;
        lose_a_lease(&place).await;

        let address = endpoint.address();
        assert!(ask(address, "GET /").0.contains("404") && ask(address, "POST /metrics").0.contains("405"));
        assert_eq!(ask(address, "HEAD /metrics").1, "");
        let (status, metrics) = ask(address, "GET /metrics");
        assert!(status.contains("200 OK"), "{status}");
        check_table(&metrics);
        check_values(&place, &metrics).await;

        let error = prometheus::serve(address).await.expect_err("it is taken").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("give another port"), "{error}");
        drop(endpoint);
        let mut again = prometheus::serve(address).await;
        for _ in 0..200 {
            if again.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            again = prometheus::serve(address).await;
        }
        let _again = again.expect("it is free when the endpoint is dropped");
    });
}

/// Success with a follow-on, duplicate, failure, snooze, usage limit, rescue, unknown cost.
async fn settle_some(place: &Place) {
    let queue = &place.queue;
    let dead = Plain::new("rescued").insert(queue).await.expect("valid");
    let sql =
        "UPDATE claude_jobs SET state = 'executing', attempt = 1, attempted_at = inserted_at, node = 'dead'";
    place.connection().await.execute(sql).await.expect("claimed by a node that is no more");
    assert_eq!(dead.id().0, 1);
    Obedient::new("follow".into()).insert(queue).await.expect("valid");
    for _ in 0..2 {
        Once::new("twice").insert(queue).await.expect("valid");
    }
    queue.insert_many([Plain::new("fail").into_new_job().expect("valid")]).await.expect("valid");
    Plain::new("snooze").insert(queue).await.expect("valid");
    Plain::new("limit").priority(1).insert(queue).await.expect("valid");
    let claude = |request: Request| async move {
        Ok::<_, RunnerError>(match request.prompt() {
            "fail" => recorded("sigkill_waiting"),
            "snooze" => timed_out(),
            "limit" => recorded("usage_limit"),
            _ => success("done"),
        })
    };
    place.drain(claude).await;
    queue.resume("tests").await.expect("the usage limit has stopped it");
    place.drain(claude).await;
}

fn timed_out() -> Report {
    let mut report = Report::new(None);
    report.ending = Ending::Stopped(StopReason::Timeout);
    report
}

async fn supersede_one(place: &Place) {
    let url = place.url();
    Plain::new("superseded").queue("taken").insert(&place.queue).await.expect("valid");
    let claude = move |_: Request| {
        let url = url.clone();
        async move {
            use sqlx::Connection;
            let mut connection = sqlx::SqliteConnection::connect(&url).await?;
            let sql =
                "UPDATE claude_jobs SET attempt = attempt + 1, state = 'cancelled' WHERE queue = 'taken'";
            connection.execute(sql).await?;
            Ok::<Report, RunnerError>(success("late"))
        }
    };
    let runtime = Runtime::builder(place.queue.clone()).queue("taken", 1).claude(claude);
    runtime.drain().await.expect("it drains");
}

/// A runtime that counts, inserts by the clock, cannot renew its lease for a while, and is dead by then.
async fn lose_a_lease(place: &Place) {
    let tick = Plain::new("due").queue("nobody").into_new_job().expect("valid");
    let told = |name: &'static str| move || prometheus::render().expect("ours").contains(name);
    let clock = Clock::manual("2028-02-28T23:59:59.8Z".parse().expect("a moment"));
    let queue = place.queue.clone().with_clock(clock.clone());
    let over = async {
        let mut connection = place.connection().await;
        while queue.ticks("daily", 1).await.expect("a read").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.advance(Duration::from_secs(1));
        wait_until(SOON, "a tick", told("claude_jobs_inserted_total{queue=\"nobody\"")).await;
        wait_until(SOON, "a count", told("claude_jobs_queue_jobs")).await;
        connection.execute("ALTER TABLE claude_jobs_nodes RENAME TO away").await.expect("it is there");
        wait_until(SOON, "an error", told("operation=\"renew\"")).await;
        connection.execute("ALTER TABLE away RENAME TO claude_jobs_nodes").await.expect("it is there");
        connection.execute("DELETE FROM claude_jobs_nodes").await.expect("the node");
        wait_until(SOON, "a loss", told("claude_jobs_lease_lost_total 1")).await;
    };
    Runtime::builder(queue.clone())
        .queue("nowhere", 1)
        .lease(Duration::from_secs(12))
        .cron(Cron::new("daily", "@daily"), tick)
        .count_queues(Duration::from_millis(50))
        .run_until(over)
        .await
        .expect("it runs");
}

/// Names, kinds and labels, in both directions.
fn check_table(metrics: &str) {
    let is_ours = |line: &&str| line.starts_with("claude_jobs_");
    for row in METRICS {
        let kind = match row.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            other => panic!("{other:?} is new to this test"),
        };
        assert!(metrics.contains(&format!("# TYPE {} {kind}\n", row.name)), "{}: {metrics}", row.name);
        assert!(metrics.contains(&format!("# HELP {} ", row.name)), "{}", row.name);
        let series = metrics.lines().filter(is_ours).filter(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", row.name));
            name == row.name || (kind == "histogram" && parts.iter().any(|part| part == name))
        });
        let mut count = 0;
        for line in series {
            let labels =
                line.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
            let names: BTreeSet<_> =
                labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            let expected: BTreeSet<_> = row.labels.iter().copied().collect();
            let names: BTreeSet<_> = names.into_iter().filter(|name| *name != "le").collect();
            assert_eq!(names, expected, "{line}");
            count += 1;
        }
        assert!(count > 0, "{}", row.name);
    }
    let known: BTreeSet<_> = METRICS.iter().map(|row| row.name).collect();
    let told = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let unknown: Vec<_> = told.filter(|name| !known.contains(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

/// What is told is what the ledger has.
async fn check_values(place: &Place, metrics: &str) {
    let at = |name: &str, labels: &[(&str, &str)]| value(metrics, name, labels);
    let of = |worker| [("queue", "tests"), ("worker", worker)];
    assert_eq!(at("claude_jobs_inserted_total", &of("Obedient")), Some(1.0));
    assert_eq!(at("claude_jobs_inserted_total", &of("Plain")), Some(5.0), "one of them a follow-on");
    assert_eq!(at("claude_jobs_duplicates_total", &of("Once")), Some(1.0));
    assert_eq!(at("claude_jobs_rescued_total", &[("verdict", "resume")]), Some(1.0));
    assert_eq!(at("claude_jobs_snoozed_total", &of("Plain")), Some(1.0));
    assert_eq!(at("claude_jobs_superseded_total", &[("queue", "taken")]), Some(1.0));
    assert_eq!(at("claude_jobs_running", &of("Plain")), Some(0.0));
    let settled = |outcome, verdict| {
        at(
            "claude_jobs_settled_total",
            &[("worker", "Plain"), ("queue", "tests"), ("outcome", outcome), ("verdict", verdict)],
        )
    };
    assert_eq!(settled("lost", "resume"), Some(1.0));
    assert_eq!(settled("killed", "retry"), Some(1.0));
    assert_eq!(settled("usage_limit", "snooze"), Some(1.0));
    assert_eq!(settled("timeout", "snooze"), Some(1.0));
    assert_eq!(at("claude_jobs_claims_stopped", &[("by", "account")]), Some(0.0), "it was lifted");
    assert_eq!(settled("success", "complete"), Some(2.0), "the rescued one and the follow-on");
    assert_eq!(at("claude_jobs_queue_latency_seconds_count", &[("queue", "tests")]), at_starts(metrics));

    let (mut cost, mut unknown, mut input) = (0.0, 0.0, 0.0);
    for job in place.queue.list(&Default::default()).await.expect("a list") {
        for run in place.queue.details(job.id).await.expect("it is there").runs {
            cost += run.cost_usd.unwrap_or(0.0);
            unknown += if run.cost_usd.is_none() { 1.0 } else { 0.0 };
            input += run.tokens.map_or(0.0, |tokens| tokens.input as f64);
        }
    }
    let sum = |name: &str, part: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(part));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!(cost > 0.0 && (sum("claude_jobs_cost_usd_micros_total", "") - cost * 1e6).abs() < 1.0, "{cost}");
    assert_eq!(
        (sum("claude_jobs_cost_unknown_total", ""), unknown),
        (3.0, 3.0),
        "the lost one, the killed one, the one that was stopped"
    );
    assert!(input > 0.0 && sum("claude_jobs_tokens_total", "type=\"input\"") == input, "{input}");
    let waiting = at("claude_jobs_queue_jobs", &[("queue", "tests"), ("state", "completed")]);
    assert_eq!(waiting, Some(4.0));
}

fn at_starts(metrics: &str) -> Option<f64> {
    let lines = metrics.lines().filter(|line| line.starts_with("claude_jobs_started_total{queue=\"tests\""));
    Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// The command serves them, on this machine only, and says what to do about a port that is taken.
#[test]
fn the_command_serves_its_metrics() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
        command
            .args(arguments)
            .env("CLAUDE_JOBS_DATABASE", format!("sqlite://{}/jobs.db", folder.path().display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let mut working =
        command(&["work", "--metrics", "0", "--metrics-count", "1s"]).spawn().expect("it starts");
    let mut lines = BufReader::new(working.stderr.take().expect("it was asked for")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("text");
        Some(
            line.strip_prefix("metrics at http://")?
                .strip_suffix("/metrics")?
                .parse::<SocketAddr>()
                .expect("an address"),
        )
    });
    let address = address.expect("it says where");
    assert!(address.ip().is_loopback());
    // It serves its queues when it says so; the first count comes with that.
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.starts_with("serving")))
        .expect("it serves")
        .expect("text");
    assert!(ask(address, "GET /metrics").0.contains("200 OK"));
    working.kill().expect("it runs");
    working.wait().expect("it is ours");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let output = command(&["work", "--drain", "--metrics", &address]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&address) && said.contains("another process") && said.contains("another port"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(2), "{said}");
    let output = command(&["work", "--drain", "--metrics", "nowhere"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("127.0.0.1:9464"), "{said}");
}
