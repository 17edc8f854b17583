//! What only the engine can see: how commits are written, what SQLite does when it gives up a
//! transaction.

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

#[tokio::test]
async fn a_database_that_is_deleted_while_it_is_open_is_noticed_with_the_next_renewal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("jobs.db");
    let engine =
        SqliteEngine::connect(&format!("sqlite://{}", file.display())).await.expect("a new database");
    let node = crate::node::this_node(crate::node::Terms::DEFAULT, "host".to_owned(), Timestamp::UNIX_EPOCH);
    assert!(engine.renew(&node, false).await.expect("a write"));
    assert!(engine.renew(&node, true).await.expect("a write"));
    std::fs::copy(&file, folder.path().join("other.db")).expect("a copy");
    std::fs::rename(folder.path().join("other.db"), &file).expect("another file in its place");
    let error = engine.renew(&node, true).await.expect_err("replaced").to_string();
    assert!(error.contains("was deleted or replaced while it was in use"), "{error}");
    std::fs::remove_file(&file).expect("it is there");
    engine.renew(&node, true).await.expect_err("deleted");
}

#[tokio::test]
async fn a_new_file_and_those_beside_it_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = SqliteEngine::connect(&format!("sqlite://{}/jobs.db", folder.path().display())).await;
    let modes: Vec<_> = ["jobs.db", "jobs.db-wal", "jobs.db-shm"]
        .map(|name| {
            std::fs::metadata(folder.path().join(name)).expect("it is there").permissions().mode() & 0o777
        })
        .into();
    assert_eq!(modes, [0o600; 3]);
    drop(engine);
    let shared = folder.path().join("shared.db");
    std::fs::write(&shared, "").expect("a file");
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o664)).expect("ours");
    let engine = SqliteEngine::connect(&format!("sqlite://{}", shared.display())).await;
    let mode =
        std::fs::metadata(folder.path().join("shared.db-wal")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o664, "what somebody else has made stays as it is");
    drop(engine);
}

/// What a user reads names the database once, whoever passes it on.
#[tokio::test]
async fn messages_name_the_database_once() {
    use crate::inserter::Inserter;
    use crate::job::NewJob;
    use crate::passthrough::Passthrough;
    use crate::queue::Queue;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let queue = Queue::connect(&url).await.expect("a new database");
    let queue = queue.register::<Passthrough>().expect("the name is free");
    let mut job = NewJob::new("claude", serde_json::Value::Null);
    job.args.set("prompt", "x".into());
    let row = queue.rows([job]).expect("a job").remove(0);
    let engine = Arc::new(SqliteEngine::connect(&url).await.expect("the database"));
    sqlx::query(
        "CREATE TRIGGER refuse BEFORE INSERT ON claude_jobs BEGIN SELECT raise(ABORT, 'not here'); END",
    )
    .execute(&engine.writer)
    .await
    .expect("a trigger");
    let refused = engine.insert(std::slice::from_ref(&row)).await.expect_err("refused").to_string();
    assert_eq!(refused, "database: (code: 1811) not here");

    engine.writer.close().await;
    let inserter = Arc::new(Inserter::new(engine, Arc::new(crate::wakes::Wakes::new())));
    let mut inserts = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let (inserter, row) = (Arc::clone(&inserter), row.clone());
        inserts.spawn(async move { inserter.insert(row).await.expect_err("it is closed").to_string() });
    }
    for message in inserts.join_all().await {
        assert_eq!(message.matches("database").count(), 1, "{message}");
    }

    let other = folder.path().join("other.db");
    std::fs::write(&other, "this is a text and no database of any kind").expect("a file");
    let error = SqliteEngine::connect(&format!("sqlite://{}", other.display())).await.expect_err("none");
    assert!(!error.to_string().contains("returned from database"), "{error}");
}
