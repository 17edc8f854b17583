//! What only the engine can see: how commits are written, which plans SQLite makes, what it does when
//! it gives up a transaction.

use super::*;

/// When the disk is full SQLite itself rolls back, and sqlx goes on counting the transaction.
#[tokio::test]
async fn a_transaction_that_sqlite_ended_does_not_stop_all_later_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let engine = SqliteEngine::connect(&url).await.expect("a new database");
    let mut transaction = engine.begin().await.expect("the lock");
    sqlx::query("ROLLBACK").execute(&mut *transaction).await.expect("it is open");
    transaction.commit().await.expect_err("there is nothing to commit");
    engine.begin().await.expect("the lock").commit().await.expect("an empty transaction");
}

#[tokio::test]
async fn commits_are_synced_to_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let engine = SqliteEngine::connect(&url).await.expect("a new database");
    let ask = async |sql: &'static str| -> String {
        let row = sqlx::query(sql).fetch_one(&engine.writer).await.expect("a pragma");
        sqlx::Row::try_get::<String, _>(&row, 0)
            .or_else(|_| sqlx::Row::try_get::<i64, _>(&row, 0).map(|number| number.to_string()))
            .expect("text or a number")
    };
    assert_eq!(ask("PRAGMA journal_mode").await, "wal");
    assert_eq!(ask("PRAGMA synchronous").await, "2", "FULL");
}

/// However many jobs are over, what is asked again and again reads only the waiting and running ones.
#[tokio::test]
async fn what_is_asked_often_is_answered_from_indexes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let engine = SqliteEngine::connect(&url).await.expect("a new database");
    let table: [(&'static str, &[&str]); 15] = [
        (claim::STAGE, &["SEARCH claude_jobs USING INDEX claude_jobs_due (queue=? AND scheduled_at<?)"]),
        (
            claim::TAKE,
            &[
                "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
            ],
        ),
        (claim::NEXT_DUE, &["SEARCH claude_jobs USING INDEX claude_jobs_due (queue=?)"]),
        (
            claim::HAS_AVAILABLE,
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
            ],
        ),
        (
            limited::HAS_KEYED,
            &["SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)"],
        ),
        (limited::COUNT_EXECUTING, &["SEARCH claude_jobs USING INDEX claude_jobs_executing (queue=?)"]),
        (
            limited::TAKE_KEYED,
            &[
                "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keys_in_use (concurrency_key=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keys_in_use (concurrency_key=?)",
                "USE TEMP B-TREE FOR ORDER BY", // of the first few of each key
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
                "USE TEMP B-TREE FOR ORDER BY", // of those and the first few without a key
            ],
        ),
        (
            query::HELD,
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_executing (queue=? AND node=?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (nodes::ORPHANS, &["SCAN claude_jobs USING INDEX claude_jobs_executing"]),
        (nodes::CANCEL_REQUESTS, &["SCAN claude_jobs USING INDEX claude_jobs_executing"]),
        (
            query::IS_BUSY,
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_executing (queue=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_due (queue=? AND scheduled_at<?)",
            ],
        ),
        (insert::RELEASE_EXPIRED, &["SEARCH claude_jobs USING INDEX claude_jobs_unique (unique_key=?)"]),
        (
            prune::PRUNE,
            &[
                "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_finished (state=? AND finished_at>? AND finished_at<?)",
            ],
        ),
        (
            prune::PRUNABLE,
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_finished (state=? AND finished_at>? AND finished_at<?)",
            ],
        ),
        (ticks::IS_BUSY, &[]),
    ];
    for (sql, expected) in table {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&engine.readers).await.expect("a plan");
        let steps =
            rows.iter().map(|row| sqlx::Row::get::<String, _>(row, "detail").replace("COVERING ", ""));
        let steps: Vec<_> = steps
            .filter(|step| {
                step.contains(" claude_jobs ") || step.ends_with(" claude_jobs") || step.contains("ORDER BY")
            })
            .collect();
        assert_eq!(steps, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_database_that_is_deleted_while_it_is_open_is_noticed_with_the_next_renewal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("jobs.db");
    let engine =
        SqliteEngine::connect(&format!("sqlite://{}", file.display())).await.expect("a new database");
    let node = crate::node::this_node(crate::node::Terms::DEFAULT, Timestamp::UNIX_EPOCH);
    assert!(engine.renew(&node, false).await.expect("a write"));
    assert!(engine.renew(&node, true).await.expect("a write"));
    std::fs::copy(&file, folder.path().join("other.db")).expect("a copy");
    std::fs::rename(folder.path().join("other.db"), &file).expect("another file in its place");
    let error = engine.renew(&node, true).await.expect_err("replaced").to_string();
    assert!(error.contains("was deleted or replaced: restart"), "{error}");
    std::fs::remove_file(&file).expect("it is there");
    engine.renew(&node, true).await.expect_err("deleted");
}
