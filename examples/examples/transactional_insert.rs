//! The user's own row and the job in one transaction: both are there, or neither. On SQLite in the queue's own
//! file; on PostgreSQL too, when `DATABASE_URL` names a server.
//!
//! `cargo run -p claude-jobs-examples --example transactional_insert` (add `-- --live` for the real claude)

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_examples::{Outcome, Stage, answer};
use sqlx::{Connection, PgConnection, SqliteConnection};

/// Writes the welcome letter for a customer.
#[claude_worker(
    queue = "letters",
    prompt = "Write a welcome letter of two sentences for {name}.",
    args = { permission_mode = "plan", max_turns = 2, max_budget_usd = 0.2 },
)]
struct Welcome {
    name: String,
}

/// Signs a customer up; the letter is on its way if and only if the customer is there.
macro_rules! sign_up {
    ($connection:expr, $begin:literal, $queue:expr, $name:expr, $statement:literal, $is_valid:expr) => {{
        let mut transaction = $connection.begin_with($begin).await?;
        sqlx::query($statement).bind($name).execute(&mut *transaction).await?;
        Welcome::new($name.into()).insert_in($queue, &mut *transaction).await?;
        // Something may still go wrong: a check, a crash, a lost connection.
        if $is_valid { transaction.commit().await? } else { transaction.rollback().await? }
    }};
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    let mut connection = SqliteConnection::connect(&stage.url()).await?;
    sqlx::query("CREATE TABLE customers (name TEXT NOT NULL)").execute(&mut connection).await?;
    for (name, is_valid) in [("Ada", true), ("Mallory", false)] {
        // `IMMEDIATE`: it waits for the lock at its start. A transaction that reads first cannot write any more once
        // another connection has written.
        sign_up!(
            connection,
            "BEGIN IMMEDIATE",
            &stage.queue,
            name,
            "INSERT INTO customers VALUES (?)",
            is_valid
        );
    }
    let customers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM customers").fetch_all(&mut connection).await?;
    let letters = names(&stage.queue).await?;
    println!("SQLite: customers {customers:?}, letters for {letters:?}");
    assert_eq!((customers, letters), (vec!["Ada".to_owned()], vec!["Ada".to_owned()]));

    match std::env::var("DATABASE_URL") {
        Ok(url) if url.starts_with("postgres") => on_postgres(&url).await?,
        _ => println!("PostgreSQL: not tried, set DATABASE_URL"),
    }

    let claude = |_: Request| async { Ok::<_, RunnerError>(answer("Welcome! It is good to have you.")) };
    stage.runtime(claude).queue("letters", 1).drain().await?;
    assert!(stage.queue.list(&Filter::default()).await?.iter().all(|job| job.state.is_final()));
    Ok(())
}

async fn on_postgres(url: &str) -> Outcome {
    let queue = Queue::connect(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query("CREATE TEMPORARY TABLE customers (name TEXT NOT NULL)").execute(&mut connection).await?;
    let before = names(&queue).await?.len();
    for (name, is_valid) in [("Ada", true), ("Mallory", false)] {
        sign_up!(connection, "BEGIN", &queue, name, "INSERT INTO customers VALUES ($1)", is_valid);
    }
    let customers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM customers").fetch_all(&mut connection).await?;
    let letters = names(&queue).await?;
    println!("PostgreSQL: customers {customers:?}, one letter more");
    assert_eq!((customers, letters.len()), (vec!["Ada".to_owned()], before + 1));
    Ok(())
}

/// For whom letters are to be written.
async fn names(queue: &Queue) -> claude_jobs::Result<Vec<String>> {
    let jobs = queue.list(&Filter::default()).await?;
    Ok(jobs.iter().filter_map(|job| job.input["name"].as_str().map(str::to_owned)).collect())
}
