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
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(!told.is_empty(), "two clients prepare the same names on one server");
    assert!(told.iter().all(|error| error.contains("add `notifications=off` to the URL")), "{told:?}");
}
