//! Inserts: hostile values, large batches, unique jobs from everywhere at once, the user's transaction.

use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs::unique::Unique;
use claude_jobs::{Error, NewJob};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection;

use super::Server;
use crate::workers::{Obedient, Once, Place, Plain};

#[tokio::test]
async fn hostile_values_come_back_as_they_were() {
    let server = Server::new().await;
    let hostile = [
        "'; drop table claude_jobs.jobs; --".to_owned(),
        "\\ \" $1 {schema} %s ?".to_owned(),
        "emoji 🦀 and \u{feff} and \u{202e}".to_owned(),
        "NUL \0 and \u{1} and \u{7f}".to_owned(),
        "x".repeat(1 << 20),
        "\u{fffd}\u{10ffff}".to_owned(),
    ];
    for text in hostile {
        let meta = json!({ "note": text, "number": 12345678901234567890u64, "float": 1e300 });
        let inserted = Obedient::new(text.clone())
            .meta(meta.as_object().cloned().expect("an object"))
            .tags(["'quoted'", "\"{},"])
            .insert(&server.queue)
            .await
            .expect("valid");
        let job = server.queue.get(inserted.id()).await.expect("a read").expect("the job");
        assert_eq!(job.damage, None);
        assert_eq!(job.input["order"], json!(text));
        assert_eq!(json!(job.meta), meta);
        assert_eq!(job.tags, ["'quoted'", "\"{},"]);
    }
    let mut filter = Filter::default();
    filter.tag = Some("'quoted'".to_owned());
    assert_eq!(server.queue.list(&filter).await.expect("a read").len(), 6);
    filter.tag = Some("nul \0".to_owned());
    assert!(server.queue.list(&filter).await.expect("a read").is_empty());
}

#[tokio::test]
async fn a_large_batch_keeps_its_order_and_its_differences() {
    let server = Server::new().await;
    let jobs = (0..2_500u32).map(|number| {
        let builder = Plain::new(format!("job {number}")).priority((number % 7) as u8);
        let builder = if number % 3 == 0 { builder.tags(["third"]) } else { builder };
        let builder = if number % 5 == 0 { builder.unique(Unique::forever()) } else { builder };
        builder.into_new_job().expect("fields")
    });
    let inserted = server.queue.insert_many(jobs).await.expect("valid");
    assert_eq!(inserted.len(), 2_500);
    assert!(inserted.iter().all(|inserted| !inserted.duplicate));
    assert!(inserted.is_sorted_by_key(|inserted| inserted.id()), "in the order given");
    for number in [0usize, 1, 15, 999, 1_000, 2_499] {
        let job = server.queue.get(inserted[number].id()).await.expect("a read").expect("the job");
        assert_eq!(job.args.get("prompt"), Some(&json!(format!("job {number}"))));
        assert_eq!(usize::from(job.priority), number % 7);
        assert_eq!(job.tags.len(), usize::from(number % 3 == 0));
    }
}

#[tokio::test]
async fn of_a_batch_with_a_bad_row_nothing_is_written() {
    let server = Server::new().await;
    server.database.psql("alter table claude_jobs.jobs add check (priority <> 7)");
    let job = |priority| Plain::new("x").priority(priority).into_new_job().expect("fields");
    let error = server.queue.insert_many((0..1_500).map(|n| job(if n == 1_400 { 7 } else { 1 }))).await;
    assert!(matches!(error, Err(Error::Database(_))));
    assert!(server.queue.counts().await.expect("a read").is_empty());
}

#[tokio::test]
async fn a_job_that_many_insert_at_once_is_there_once() {
    let server = Server::new().await;
    let queues =
        join_all((0..4).map(|_| async { Queue::connect(&server.url()).await.expect("there") })).await;
    let insert = |queue: Queue, turn: usize| async move {
        // Half of them in another order: then each waits for a key that the other has.
        let mut jobs: Vec<NewJob> = (0..250)
            .map(|number| Once::new(format!("job {number}")).into_new_job().expect("fields"))
            .collect();
        if turn % 2 == 1 {
            jobs.reverse();
        }
        queue.insert_many(jobs).await.expect("one of them wins")
    };
    let all =
        join_all(queues.iter().cycle().take(8).cloned().enumerate().map(|(turn, queue)| insert(queue, turn)));
    let all = all.await;
    assert_eq!(all.iter().flatten().filter(|inserted| !inserted.duplicate).count(), 250);
    for batch in &all {
        for inserted in batch {
            assert!(inserted.job.args.get("prompt").is_some());
        }
        let mut ids: Vec<_> = batch.iter().map(|inserted| inserted.id()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 250, "each is answered with the holder of its own key");
    }
    assert_eq!(server.database.psql("select count(*) from claude_jobs.jobs"), "250");
}

#[tokio::test]
async fn twice_in_a_batch_is_once_and_a_key_whose_time_is_over_is_free() {
    let server = Server::new().await;
    let job = || Once::new("same").into_new_job().expect("fields");
    let other = Plain::new("other").into_new_job().expect("fields");
    let inserted = server.queue.insert_many([job(), other, job()]).await.expect("valid");
    let flags: Vec<_> = inserted.iter().map(|inserted| inserted.duplicate).collect();
    assert_eq!(flags, [false, false, true]);
    assert_eq!(inserted[0].id(), inserted[2].id());

    server.database.psql("update claude_jobs.jobs set unique_until = now() - interval '1 second'");
    let again = server.queue.insert(job()).await.expect("valid");
    assert!(!again.duplicate && again.id() != inserted[0].id());
}

#[tokio::test]
async fn a_job_in_the_users_transaction_shares_its_fate() {
    let server = Server::new().await;
    let mut connection = server.connection().await;
    let mut transaction = connection.begin().await.expect("a transaction");
    let lost = Plain::new("lost").insert_in(&server.queue, &mut transaction).await.expect("valid");
    assert_eq!(server.queue.get(lost.id()).await.expect("a read").map(|job| job.id), None, "not committed");
    transaction.rollback().await.expect("it is open");

    let mut transaction = connection.begin().await.expect("a transaction");
    let kept = Plain::new("kept").insert_in(&server.queue, &mut *transaction).await.expect("valid");
    let once = Once::new("once").insert_in(&server.queue, &mut transaction).await.expect("valid");
    let twice = Once::new("once").insert_in(&server.queue, &mut transaction).await.expect("valid");
    assert!(twice.duplicate && twice.id() == once.id());
    transaction.commit().await.expect("it is open");
    assert_eq!(server.queue.get(lost.id()).await.expect("a read").map(|job| job.id), None);
    assert!(server.queue.get(kept.id()).await.expect("a read").is_some());

    let (elsewhere, file) = (Server::new().await, Place::new().await);
    let mut stranger = elsewhere.connection().await;
    for queue in [&server.queue, &file.queue] {
        let error = Plain::new("astray").insert_in(queue, &mut stranger).await.expect_err("another database");
        assert!(matches!(error, Error::OtherDatabase), "{error}");
    }
    let mut stranger = file.connection().await;
    let error = Plain::new("astray").insert_in(&server.queue, &mut stranger).await.expect_err("another one");
    assert!(matches!(error, Error::OtherDatabase), "{error}");
}
