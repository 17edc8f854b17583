//! The logs of runs.

use super::Database;
use super::fixture::{at, claim_one, end, job, new, open, running, settle};
use crate::engine::{Engine, LogRow};
use crate::event::{Content, LogEntry, LogPosition, Progress};
use crate::job::{Job, State};

fn text(text: &str) -> Progress {
    let content = Content { text: Some(text.to_owned()), cut: 0 };
    Progress::Text { text: content, parent: None }
}

/// Rows of that run with these numbers; each says its number.
fn rows(job: &Job, numbers: impl IntoIterator<Item = u64>) -> Vec<LogRow> {
    let row = |number: u64| row(job, number, &number.to_string());
    numbers.into_iter().map(row).collect()
}

fn row(job: &Job, number: u64, words: &str) -> LogRow {
    let event = serde_json::to_string(&text(words)).expect("JSON");
    LogRow { job: job.id, attempt: job.attempt, number, at: at(number as i64), event }
}

async fn all(engine: &dyn Engine, job: &Job) -> Vec<LogEntry> {
    engine.log(&[LogPosition::start_of(job.id)], u32::MAX / 4).await.expect("a read")
}

fn places(entries: &[LogEntry]) -> Vec<(u32, u64)> {
    entries.iter().map(|entry| (entry.attempt, entry.number)).collect()
}

/// What is written is read, by others too, in order and in pages, whatever the texts.
pub async fn order_and_pages(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let run = running(&*engine, new(at(0))).await;
    let hostile = ["", "\0 \u{1}", r"\ud800 \u0000", "'; DROP TABLE", "\u{1b}[2J", "🦀", &"x".repeat(8_192)];
    let hostile = hostile.iter().enumerate().map(|(index, words)| row(&run, index as u64 + 1, words));
    let hostile: Vec<_> = hostile.collect();
    engine.write_log(&hostile).await.expect("a write");
    let entries = all(&*other, &run).await;
    assert_eq!(entries.len(), hostile.len());
    for (entry, row) in entries.iter().zip(hostile) {
        assert_eq!((entry.job, entry.number, entry.at), (run.id, row.number, row.at));
        assert_eq!(serde_json::to_string(&entry.progress).expect("JSON"), row.event);
    }
    // A large batch, the other way round.
    let many: Vec<_> = rows(&run, 8..=1_000).into_iter().rev().collect();
    engine.write_log(&many).await.expect("a write");
    let mut position = LogPosition::start_of(run.id);
    let mut seen = Vec::new();
    loop {
        let page = other.log(&[position], 300).await.expect("a read");
        let Some(last) = page.last() else { break };
        position = LogPosition { attempt: last.attempt, number: last.number, ..position };
        assert!(page.len() <= 300);
        seen.extend(places(&page));
    }
    assert_eq!(seen, (1..=1_000).map(|number| (run.attempt, number)).collect::<Vec<_>>());
    assert!(engine.log(&[], 9).await.expect("a read").is_empty());
}

/// A batch whose answer was lost is written again.
pub async fn twice(database: &dyn Database) {
    let engine = open(database).await;
    let run = running(&*engine, new(at(0))).await;
    engine.write_log(&rows(&run, 1..=3)).await.expect("a write");
    engine.write_log(&rows(&run, 2..=5)).await.expect("it is no mistake");
    assert_eq!(places(&all(&*engine, &run).await), [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]);
}

/// Attempts are kept apart; a superseded one writes nothing, nor one of a job that is not there.
pub async fn attempts(database: &dyn Database) {
    let engine = open(database).await;
    let first = running(&*engine, new(at(0))).await;
    engine.write_log(&rows(&first, 1..=2)).await.expect("a write");
    assert!(settle(&*engine, end(&first, State::Retryable, at(1)), at(1)).await);
    engine.write_log(&rows(&first, 3..=3)).await.expect("the last words come after the end");
    let second = claim_one(&*engine, at(2)).await;
    assert_eq!(second.attempt, 2);
    let both = [rows(&first, 4..=9), rows(&second, 1..=1)].concat();
    engine.write_log(&both).await.expect("a write");
    let gone = Job { id: crate::job::JobId(999_999), ..second.clone() };
    engine.write_log(&rows(&gone, 1..=1)).await.expect("a write");
    assert_eq!(places(&all(&*engine, &second).await), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    assert!(all(&*engine, &gone).await.is_empty());
    let after = [LogPosition { attempt: 1, number: 3, ..LogPosition::start_of(first.id) }];
    assert_eq!(places(&engine.log(&after, 9).await.expect("a read")), [(2, 1)]);
}

/// Several jobs in one read, each with its own limit.
pub async fn several_jobs(database: &dyn Database) {
    let engine = open(database).await;
    let (one, two) = (running(&*engine, new(at(0))).await, running(&*engine, new(at(0))).await);
    engine.write_log(&[rows(&two, 1..=4), rows(&one, 1..=2)].concat()).await.expect("a write");
    let places = [&one, &two].map(|job| LogPosition::start_of(job.id));
    let entries = engine.log(&places, 3).await.expect("a read");
    let of = |job: &Job| {
        let own = entries.iter().filter(|entry| entry.job == job.id);
        own.map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!((of(&one), of(&two)), (vec![1, 2], vec![1, 2, 3]));
}

/// A log goes with its job, and with nothing else.
pub async fn gone_with_the_job(database: &dyn Database) {
    let engine = open(database).await;
    let (kept, pruned) = (running(&*engine, new(at(0))).await, running(&*engine, new(at(0))).await);
    let deleted = running(&*engine, new(at(0))).await;
    for run in [&kept, &pruned, &deleted] {
        engine.write_log(&rows(run, 1..=3)).await.expect("a write");
    }
    for (run, second) in [(&kept, 9), (&pruned, 1), (&deleted, 9)] {
        assert!(settle(&*engine, end(run, State::Completed, at(second)), at(second)).await);
    }
    engine.retry(kept.id, at(10)).await.expect("it is over");
    assert_eq!(engine.prune(State::Completed, at(5), 99).await.expect("a prune"), 1);
    engine.delete(deleted.id).await.expect("it is over");
    for (run, entries) in [(&kept, 3), (&pruned, 0), (&deleted, 0)] {
        assert_eq!(all(&*engine, run).await.len(), entries, "{}", run.id);
    }
    assert_eq!(job(&*engine, kept.id).await.state, State::Available);
    // Whoever still holds something of it back is too late.
    engine.write_log(&rows(&deleted, 4..=4)).await.expect("a write");
    assert!(all(&*engine, &deleted).await.is_empty());
}
