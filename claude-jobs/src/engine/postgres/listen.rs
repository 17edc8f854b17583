//! Notices what other connections write: by notification, or by looking where there are none.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use sqlx::{Executor, Row};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::PostgresEngine;
use super::connections::LIFETIME;
use crate::engine::Wake;
use crate::error::{Error, Result};

/// How often everybody looks when nobody is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so long without a word the server is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a first notification may take that we send ourselves.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

const NOT_TOLD: &str = "no notification arrives: does a pooler stand between? Behind one that changes servers per \
    transaction, add `notifications=off` to the URL";

/// Only to show that a listener hears it.
pub(super) const NOTIFY: &str = "SELECT pg_notify($1, '')";

/// Until the connection is lost.
pub(super) async fn watch(engine: &PostgresEngine, wake: Wake<'_>) -> Error {
    if !engine.address.notifications {
        loop {
            wake(None);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    loop {
        if let Err(error) = listen(engine, wake).await {
            return error;
        }
    }
}

/// Until the connection is too old, as those of the pool.
async fn listen(engine: &PostgresEngine, wake: Wake<'_>) -> Result<()> {
    // A listener wants a pool; this one never has more than its connection.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ANSWER_WITHIN)
        .connect_lazy_with(engine.address.options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    // To a channel of this listener only: what it is told there shows that it is told at all. A channel's
    // name has 63 bytes at most, which a schema's may have, too.
    let trial = format!("claude_jobs.{}", Uuid::now_v7());
    listener.listen_all([engine.channel(), &trial]).await?;
    // Whatever happened before we listened.
    wake(None);
    engine.rows(engine.query(&engine.sql.notify).bind(&trial)).await.map_err(told_another)?;
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        match timeout_at(deadline, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.channel() == trial => break,
            Ok(told) => hear(told, wake)?,
            Err(_) => return Err(Error::Database(NOT_TOLD.into())),
        }
    }
    let end = Instant::now() + LIFETIME;
    while Instant::now() < end {
        match timeout(ASK_AFTER, listener.try_recv()).await {
            Ok(told) => hear(told, wake)?,
            Err(_) => ask(&mut listener).await?,
        }
    }
    Ok(())
}

/// A connection on which nothing happens may be one that the network has swallowed, or lead to a server on which nobody
/// writes any more.
async fn ask(listener: &mut PgListener) -> Result<()> {
    let answer = timeout(ANSWER_WITHIN, listener.fetch_one("SHOW transaction_read_only")).await;
    let Ok(answer) = answer else { return Err(Error::Database("the server no longer answers".into())) };
    match answer?.get::<&str, _>(0) {
        "off" => Ok(()),
        _ => Err(Error::Database("the server that was listened to only reads now".into())),
    }
}

/// A notification that arrives where nobody listens is an answer that sqlx does not expect.
fn told_another(error: Error) -> Error {
    match &error {
        Error::Database(source) if matches!(source.downcast_ref(), Some(sqlx::Error::Protocol(_))) => {
            Error::Database(NOT_TOLD.into())
        }
        _ => error,
    }
}

fn hear(told: sqlx::Result<Option<PgNotification>>, wake: Wake<'_>) -> Result<()> {
    let Some(notification) = told? else {
        return Err(Error::Database("the connection that listens was lost".into()));
    };
    let queue = notification.payload();
    wake((!queue.is_empty()).then_some(queue));
    Ok(())
}

#[cfg(test)]
mod tests {
    use claude_jobs_tests::pgbouncer::pooler;
    use claude_jobs_tests::postgres::{database, private_database};

    use super::*;

    /// The pooler takes `LISTEN`, and then lends the server that listens to somebody else.
    #[tokio::test]
    async fn a_listener_behind_a_pooler_is_told_what_to_do() {
        let database = database();
        let pooler = pooler(&database, 2);
        let engine = PostgresEngine::connect(&pooler.url()).await.expect("one server after the other");
        let error = watch(&engine, &|_| ()).await.to_string();
        assert!(error.contains("add `notifications=off`"), "{error}");
    }

    #[tokio::test]
    async fn a_listener_leaves_a_server_that_only_reads() {
        let database = private_database();
        let mut listener = PgListener::connect(&database.url()).await.expect("it is there");
        ask(&mut listener).await.expect("it writes");
        database.psql("alter system set default_transaction_read_only = on");
        database.psql("select pg_reload_conf()");
        let end = Instant::now() + Duration::from_secs(10);
        // The server tells its sessions when it gets to it.
        let error = loop {
            match ask(&mut listener).await {
                Err(error) => break error.to_string(),
                Ok(()) => assert!(Instant::now() < end, "it is still listened to"),
            }
        };
        assert!(error.contains("only reads"), "{error}");
    }

    #[tokio::test]
    async fn a_listener_hears_what_others_say() {
        let database = database();
        let engine = PostgresEngine::connect(&database.url()).await.expect("a new database");
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let wake = |queue: Option<&str>| drop(sender.send(queue.map(str::to_owned)));
        let listens = watch(&engine, &wake);
        let told = async {
            assert_eq!(heard.recv().await, Some(None), "once it listens");
            database.psql("select pg_notify('claude_jobs', 'review')");
            assert_eq!(heard.recv().await, Some(Some("review".to_owned())));
        };
        tokio::select! {
            error = listens => panic!("{error}"),
            () = told => {}
        }
    }
}
