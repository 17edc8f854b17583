//! Behind a pooler that changes servers per transaction: everything works, with notifications off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::engine::{Cancelled, Limits};
use claude_jobs::prelude::*;
use claude_jobs_tests::pgbouncer::pooler;
use claude_jobs_tests::postgres::database;
use futures_util::future::join_all;

use crate::workers::{Obedient, Once, Plain, success};

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_works_behind_a_pooler() {
    let database = database();
    let pooler = pooler(&database, 2);
    let url = format!("{}&notifications=off", pooler.url());
    let runs = Arc::new(AtomicUsize::new(0));
    // Four clients with two servers between them, each with several connections of its own.
    let clients = (0..4).map(|client| {
        let (url, runs) = (url.clone(), Arc::clone(&runs));
        async move {
            let queue = Queue::connect(&url).await.expect("the tables are made, by one of them");
            for number in 0..10 {
                Plain::new(format!("{client} {number}")).insert(&queue).await.expect("valid");
            }
            let many =
                (0..50).map(|_| Obedient::new("follow elsewhere".into()).into_new_job().expect("fields"));
            queue.insert_many(many).await.expect("valid");
            Once::new("same").insert(&queue).await.expect("valid");
            let later = Plain::new("later").schedule_in(std::time::Duration::from_secs(600));
            let later = later.insert(&queue).await.expect("valid");
            assert!(matches!(queue.cancel(later.id()).await.expect("it waits"), Cancelled::Now));
            let keyed = Plain::new("keyed").concurrency_key("one").insert(&queue).await.expect("valid");
            let claude = move |_: Request| {
                runs.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok::<_, RunnerError>(success("fine")))
            };
            let limits = Limits::local(4).claim_ahead(false);
            let runtime = Runtime::builder(queue.clone()).queue("tests", limits).claude(claude);
            runtime.drain().await.expect("it drains");
            assert_eq!(queue.get(keyed.id()).await.expect("a read").expect("it").state, State::Completed);
            assert!(!queue.counts().await.expect("a read").is_empty());
        }
    });
    join_all(clients).await;
    assert_eq!(runs.load(Ordering::SeqCst), 4 * 61 + 1);
    let counts = "select string_agg(line, ' ' order by line) from (select queue || ' ' || state || ' ' || count(*) \
        as line from claude_jobs.jobs group by queue, state) as lines";
    let expected = "elsewhere available 200 tests cancelled 4 tests completed 245";
    assert_eq!(database.psql(counts), expected);
}

/// Whatever is asked, and by whichever command.
#[tokio::test]
async fn without_the_parameter_each_error_says_what_to_add() {
    let database = database();
    let pooler = pooler(&database, 1);
    let mut told = Vec::new();
    for _ in 0..4 {
        match Queue::connect(&pooler.url()).await {
            Ok(queue) => told.extend(Plain::new("hello").insert(&queue).await.err()),
            Err(error) => told.push(error),
        }
    }
    let mut told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(!told.is_empty(), "two clients prepare the same names on one server");
    told.extend(doctor(&pooler.url()).err());
    assert!(told.iter().all(|error| error.contains("add `notifications=off` to the URL")), "{told:?}");
}

/// Also where there is a server for each of them, and nobody else at work.
#[tokio::test]
async fn doctor_notices_a_pooler() {
    let database = database();
    Queue::connect(&database.url()).await.expect("an empty database");
    for servers in [1, 5] {
        let pooler = pooler(&database, servers);
        let told = doctor(&pooler.url()).expect_err("it is one");
        assert!(told.contains("add `notifications=off` to the URL"), "{told}");
        doctor(&format!("{}&notifications=off", pooler.url())).expect("as it should be");
    }
    doctor(&database.url()).expect("there is none");
}

/// What `doctor` says of a database.
fn doctor(url: &str) -> Result<(), String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_jobs"))
        .args(["doctor", "--json", "--database", url])
        .output();
    let told: serde_json::Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("JSON");
    let checks = told["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "database").expect("it is checked");
    if check["status"] == "ok" { Ok(()) } else { Err(check.to_string()) }
}
