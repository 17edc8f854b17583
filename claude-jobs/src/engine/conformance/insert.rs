//! Writing jobs: order, numbers, every column, texts that SQL could stumble over.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Database;
use super::fixture::{
    all_jobs, ask, at, claim, due, fields, insert, insert_all, job, just_before, new, open,
};
use crate::clock::timestamp;
use crate::engine::Filter;
use crate::job::{JobRow, State, UniqueRow};
use crate::options::ArgMap;

/// Jobs are numbered in the order in which they were given, thousands in one call too.
pub async fn order(database: &dyn Database) {
    let engine = open(database).await;
    let rows: Vec<_> =
        (0..2_500).map(|place| JobRow { input: json!({ "place": place }), ..new(at(0)) }).collect();
    let jobs = insert_all(&*engine, &rows).await;
    assert!(jobs.is_sorted_by(|one, next| one.id < next.id));
    for (place, job) in jobs.iter().enumerate() {
        assert_eq!(job.input["place"], place);
    }
    assert_eq!(fields(&all_jobs(&*engine).await), fields(&jobs), "what is stored is what was answered");
    let next = insert(&*engine, new(at(0))).await;
    assert!(next.id > jobs[2_499].id);
}

/// The number of a deleted job is not given again: ledgers and logs name it.
pub async fn numbers_are_never_used_twice(database: &dyn Database) {
    let engine = open(database).await;
    let last = insert_all(&*engine, &[new(at(0)), new(at(0))]).await.remove(1);
    engine.delete(last.id).await.expect("it waits");
    drop(engine);
    let engine = database.connect().await;
    assert!(insert(&*engine, new(at(0))).await.id > last.id);
}

/// No rows are no error.
pub async fn nothing(database: &dyn Database) {
    let engine = open(database).await;
    assert!(engine.insert(&[]).await.expect("nothing to do").is_empty());
    assert!(all_jobs(&*engine).await.is_empty());
}

/// What goes in comes out, from every read and on every connection.
pub async fn every_column(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let full = JobRow {
        state: State::Scheduled,
        queue: "full".to_owned(),
        worker: "Full".to_owned(),
        input: json!({ "text": "text", "null": null, "list": [1, 2.5, [true]], "big": u64::MAX, "low": i64::MIN }),
        args: ArgMap::new().prompt("do it").max_turns(7),
        meta: Map::from_iter([("note".to_owned(), json!({ "deep": [{}] }))]),
        tags: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
        priority: 9,
        max_attempts: u32::MAX,
        max_snoozes: u32::MAX,
        inserted_at: just_before(at(0)),
        scheduled_at: just_before(at(1_000)),
        concurrency_key: Some("key".to_owned()),
        unique: Some(UniqueRow { key: "u".to_owned(), until: Some(at(9)), states: State::ALL.to_vec() }),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1".to_owned()),
    };
    let rows =
        [full.clone(), new(at(0)), JobRow { unique: None, trace: Some("no trace".to_owned()), ..full }];
    let jobs = insert_all(&*engine, &rows).await;
    for (row, inserted) in rows.iter().zip(&jobs) {
        assert_eq!(fields(inserted), fields(&row.clone().stored_as(inserted.id)));
        for connection in [&engine, &other] {
            assert_eq!(fields(&job(&**connection, inserted.id).await), fields(inserted));
        }
    }
    assert_eq!(fields(&all_jobs(&*other).await), fields(&jobs));
}

/// Texts are data, whatever is in them.
pub async fn hostile_texts(database: &dyn Database) {
    let engine = open(database).await;
    let long = "x".repeat(1 << 20);
    let deep = (0..100).fold(json!("core"), |inner, _| json!([inner]));
    let texts = [
        "",
        " ",
        "'",
        "\"",
        "\\",
        "''; DROP TABLE claude_jobs; --",
        "$1 ?1 :a @b %s {}",
        "{schema}",
        "NULL",
        "null",
        "👩‍👩‍👧 e\u{301} ﷽ \u{202e}",
        "\r\n\t\u{b}\u{1f}\u{7f}\u{85}\u{2028}",
        "\u{feff}\u{ffff}\u{10ffff}",
        "%_[a-z]*",
        "__proto__",
        "constructor",
        "$.a",
        "a.b[0]",
        "\\u0000",
        "{\"a\":",
        "[",
        "1e999",
        "-0",
        &long,
    ];
    let row = |text: &str| JobRow {
        queue: format!("q{text}"),
        input: json!({ "text": text, text: [text], "nul\0": "\0", "deep": deep }),
        args: ArgMap::new().prompt(text),
        meta: Map::from_iter([(text.to_owned(), Value::from(format!("\0{text}\0")))]),
        tags: vec![text.to_owned(), "common".to_owned()],
        ..new(at(0))
    };
    // A long name would be too long for an index.
    let rows: Vec<_> = texts
        .iter()
        .map(|text| match text.len() {
            0..100 => {
                JobRow { worker: format!("w{text}"), concurrency_key: Some(format!("k{text}")), ..row(text) }
            }
            _ => JobRow { queue: "long".to_owned(), ..row(text) },
        })
        .collect();
    let jobs = insert_all(&*engine, &rows).await;
    for ((row, text), inserted) in rows.iter().zip(texts).zip(&jobs) {
        let stored = job(&*engine, inserted.id).await;
        assert_eq!(fields(&stored), fields(&row.clone().stored_as(inserted.id)), "{text:.80}");
        let filter =
            Filter { tag: Some(text.to_owned()), queue: Some(row.queue.clone()), ..Filter::default() };
        let found = engine.jobs(&filter).await.expect("a list");
        assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), [inserted.id], "{text:.80}");
        let (queue, worker) = (row.queue.as_str(), row.worker.as_str());
        let request = crate::engine::ClaimRequest { queue, workers: &[worker], ..ask(5, at(0)) };
        assert_eq!(claim(&*engine, &request).await[0].id, inserted.id, "{text:.80}");
    }
}

/// A job that waits for its time is written so, and is not claimed before.
pub async fn waiting_for_its_time(database: &dyn Database) {
    let engine = open(database).await;
    // One of them was due long ago: who inserts says which state it has.
    let jobs = insert_all(&*engine, &[due(at(0), at(60)), due(at(0), at(-60)), new(at(0))]).await;
    assert_eq!(
        jobs.iter().map(|job| job.state).collect::<Vec<_>>(),
        [State::Scheduled, State::Scheduled, State::Available]
    );
    let claimed = claim(&*engine, &ask(9, at(0))).await;
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), [jobs[1].id, jobs[2].id]);
}

/// Any moment of our era is kept; an earlier one may become the earliest there is.
pub async fn times_at_their_bounds(database: &dyn Database) {
    let engine = open(database).await;
    let first_year = Timestamp::from_second(-62_135_596_800).expect("a moment");
    let last = timestamp(Timestamp::MAX.as_microsecond());
    let at_moment = |moment| JobRow { state: State::Scheduled, scheduled_at: moment, ..new(moment) };
    let rows = [Timestamp::MIN, first_year, Timestamp::UNIX_EPOCH, last].map(at_moment);
    let jobs = insert_all(&*engine, &rows).await;
    for (row, inserted) in rows.iter().zip(&jobs).skip(1) {
        assert_eq!(fields(&job(&*engine, inserted.id).await), fields(&row.clone().stored_as(inserted.id)));
    }
    let claimed = engine.claim(&ask(9, at(0))).await.expect("a claim");
    let ids: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids, [jobs[0].id, jobs[1].id, jobs[2].id]);
    assert_eq!(claimed.next_due, Some(last));
}

/// Many connections at once: none lost, none doubled, each batch in order.
pub async fn concurrently(database: &dyn Database) {
    let mut tasks = tokio::task::JoinSet::new();
    let engines = [open(database).await, database.connect().await];
    for task in 0..8 {
        let engine = Arc::clone(&engines[task % 2]);
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for size in 1..=20 {
                let rows: Vec<_> =
                    (0..size).map(|place| JobRow { priority: place % 10, ..new(at(0)) }).collect();
                let jobs = insert_all(&*engine, &rows).await;
                assert!(jobs.is_sorted_by(|one, next| one.id < next.id));
                assert!(jobs.iter().zip(&rows).all(|(job, row)| job.priority == row.priority));
                numbers.extend(jobs.into_iter().map(|job| job.id));
            }
            numbers
        });
    }
    let numbers: Vec<_> = tasks.join_all().await.concat();
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 8 * 210);
    assert_eq!(all_jobs(&*engines[0]).await.len(), 8 * 210);
}
