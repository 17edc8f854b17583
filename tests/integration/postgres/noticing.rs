//! Notifications: what is inserted here starts there at once, also after the connection was lost.

use std::time::{Duration, Instant};

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use tokio::sync::mpsc;

use super::Server;
use crate::workers::{Plain, success};

/// Well below the poll interval of 5 s.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A runner that tells when a run starts.
fn telling()
-> (impl Fn(Request) -> std::future::Ready<Result<Report, RunnerError>>, mpsc::UnboundedReceiver<Instant>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let claude = move |_: Request| {
        sender.send(Instant::now()).expect("the test waits for it");
        std::future::ready(Ok(success("fine")))
    };
    (claude, receiver)
}

const LISTENERS: &str = "from pg_stat_activity where query like 'LISTEN%' and datname = current_database()";

async fn listening(server: &Server) {
    while server.database.psql(&format!("select count(*) {LISTENERS}")) != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_job_inserted_elsewhere_starts_at_once() {
    let server = Server::new().await;
    let (claude, mut started) = telling();
    let runtime = Runtime::builder(server.queue.clone()).queue("tests", 2).claude(claude);
    let other = Queue::connect(&server.url()).await.expect("there");
    let test = async {
        listening(&server).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let inserted = Instant::now();
            Plain::new("hello").insert(&other).await.expect("valid");
            slowest = slowest.max(started.recv().await.expect("it starts").duration_since(inserted));
        }
        println!("the slowest of 20 pickups took {slowest:?}");
        assert!(slowest < AT_ONCE, "{slowest:?}");

        // The same in a transaction of the user's own.
        let mut connection = server.connection().await;
        let mut transaction = sqlx::Connection::begin(&mut connection).await.expect("a transaction");
        Plain::new("hello").insert_in(&other, &mut transaction).await.expect("valid");
        let committed = Instant::now();
        transaction.commit().await.expect("it is open");
        let took = started.recv().await.expect("it starts").duration_since(committed);
        assert!(took < AT_ONCE, "{took:?}");
    };
    runtime.run_until(test).await.expect("it ends");
}

#[tokio::test]
async fn it_goes_on_when_every_connection_is_killed() {
    let server = Server::new().await;
    let (claude, mut started) = telling();
    let runtime = Runtime::builder(server.queue.clone()).queue("tests", 2).claude(claude);
    let test = async {
        listening(&server).await;
        for _ in 0..3 {
            server.database.psql(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where datname = current_database() and pid <> pg_backend_pid()",
            );
            let other = Queue::connect(&server.url()).await.expect("there");
            // Inserted while nobody listens: what was missed is looked for after the reconnect.
            let inserted = Instant::now();
            Plain::new("hello").insert(&other).await.expect("valid");
            let took = started.recv().await.expect("it starts").duration_since(inserted);
            println!("started {took:?} after an insert with all connections killed");
            assert!(took < Duration::from_secs(4), "{took:?}");
            listening(&server).await;
            let inserted = Instant::now();
            Plain::new("hello").insert(&other).await.expect("valid");
            let took = started.recv().await.expect("it starts").duration_since(inserted);
            assert!(took < AT_ONCE, "{took:?}");
        }
    };
    runtime.run_until(test).await.expect("it ends");
}

#[tokio::test]
async fn one_batch_is_one_notification_per_queue() {
    let server = Server::new().await;
    let mut listener = sqlx::postgres::PgListener::connect(&server.url()).await.expect("there");
    listener.listen("claude_jobs").await.expect("a channel");
    let job = |queue: &str| Plain::new("x").queue(queue).into_new_job().expect("fields");
    let jobs = (0..100).map(|number| job(if number % 2 == 0 { "even" } else { "odd" }));
    server.queue.insert_many(jobs).await.expect("valid");
    server.queue.pause("odd").await.expect("a write");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(listener.recv().await.expect("a notification").payload().to_owned());
    }
    assert_eq!(told, ["even", "odd", "odd"]);
}

#[tokio::test]
async fn every_node_goes_by_the_servers_clock() {
    let server = Server::new().await;
    for minutes in [-10, 10] {
        let clock = Clock::system().ahead_by(jiff::SignedDuration::from_mins(minutes));
        let job = Plain::new("x").insert(&server.queue.clone().with_clock(clock)).await.expect("an insert");
        let off =
            "select abs(extract(epoch from clock_timestamp() - inserted_at)) < 60 from claude_jobs.jobs";
        assert_eq!(server.database.psql(&format!("{off} where id = {}", job.id())), "t", "{minutes}");
    }
}
