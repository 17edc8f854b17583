//! Notices what other connections write: by notification, or by looking where there are none.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;

use super::PostgresEngine;
use crate::engine::Wake;
use crate::error::{Error, Result};

/// How often everybody looks when nobody is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so long without a word the server is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Until the connection is lost.
pub(super) async fn watch(engine: &PostgresEngine, wake: Wake<'_>) -> Error {
    if !engine.address.notifications {
        loop {
            wake(None);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    match listen(engine, wake).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn listen(engine: &PostgresEngine, wake: Wake<'_>) -> Result<std::convert::Infallible> {
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
    listener.listen(engine.channel()).await?;
    // Whatever happened before we listened.
    wake(None);
    loop {
        match timeout(ASK_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                let queue = notification.payload();
                wake((!queue.is_empty()).then_some(queue));
            }
            Ok(Ok(None)) => return Err(Error::Database("the connection that listens was lost".into())),
            Ok(Err(error)) => return Err(error.into()),
            // A connection that the network has swallowed looks like one on which nothing happens.
            Err(_) => match timeout(ANSWER_WITHIN, listener.execute("SELECT 1")).await {
                Ok(answer) => {
                    answer?;
                }
                Err(_) => return Err(Error::Database("the server no longer answers".into())),
            },
        }
    }
}
