//! Claims under limits that other nodes share: the queue's global concurrency, its rate, and the
//! concurrency keys of its jobs.
//!
//! They are counted under a lock that everybody takes who counts, and that is held until the claim is
//! committed. Each statement after it sees what was committed before.

use jiff::Timestamp;
use sqlx::Row;

use super::PostgresEngine;
use super::claim::{in_order, take_rows};
use super::connections::Work;
use super::moment::Moment;
use super::row::{self, claimed_columns, optional_moment, state_bit};
use super::schema::lock_number;
use crate::clock::{earlier, later};
use crate::engine::{ClaimRequest, QueueSettings, Rate};
use crate::error::Result;
use crate::job::{Job, State};

/// One lock for the whole schema, because a key may be used in several queues.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// jobs_executing
pub(super) const COUNT_EXECUTING: &str =
    "SELECT count(*) AS jobs FROM {schema}.jobs WHERE state = 'executing' AND queue = $1";

/// The jobs without a key, then the end of a statement that takes the first of these and of the keyed jobs in `first`;
/// `$rule` says when.
macro_rules! take_first {
    ($rule:literal) => {
        concat!(
            "unkeyed AS (SELECT id, priority, scheduled_at FROM {schema}.jobs \
                WHERE state = 'available' AND queue = $4 AND concurrency_key IS NULL AND worker = ANY ($5) \
                AND (session_host IS NULL OR session_host = $8) \
                ORDER BY priority, scheduled_at, id LIMIT $6), \
            chosen AS (SELECT id FROM (TABLE first UNION ALL TABLE unkeyed) AS any_of_both ",
            $rule,
            " ORDER BY priority, scheduled_at, id LIMIT $6) ",
            take_rows!("$1", "$2", "$3"),
            "SELECT ctid FROM {schema}.jobs WHERE id = ANY (ARRAY (SELECT id FROM chosen)) AND state = 'available' \
                FOR NO KEY UPDATE SKIP LOCKED)) RETURNING ",
            claimed_columns!()
        )
    };
}

/// Looks at the first `$9` keyed jobs in the order of claims only, however many keys there are. Takes nothing where jobs
/// behind them may come before others that are taken: where their keys allow too few of them.
///
/// The others as in [`TAKE_KEYED`]. jobs_keyed_first, jobs_keys_in_use, jobs_claim, jobs_pkey
pub(super) const TAKE_KEYED_FIRST: &str = concat!(
    "WITH ahead AS MATERIALIZED (SELECT id, priority, scheduled_at, concurrency_key AS key, \
        worker = ANY ($5) AND (session_host IS NULL OR session_host = $8) AS is_ours FROM {schema}.jobs \
        WHERE state = 'available' AND queue = $4 AND concurrency_key IS NOT NULL AND priority >= 0 \
        ORDER BY priority, scheduled_at, id LIMIT $9), \
    placed AS MATERIALIZED (SELECT id, priority, scheduled_at, key, row_number() OVER \
        (PARTITION BY key ORDER BY priority, scheduled_at, id) AS place FROM ahead WHERE is_ours), \
    free (key, slots) AS MATERIALIZED (SELECT key, $7 - (SELECT count(*) FROM {schema}.jobs AS job \
        WHERE job.state = 'executing' AND job.concurrency_key = placed.key) FROM placed WHERE place = 1), \
    first AS MATERIALIZED (SELECT id, priority, scheduled_at FROM placed JOIN free USING (key) WHERE place <= slots), ",
    take_first!("WHERE (SELECT count(*) FROM first) >= $6 OR (SELECT count(*) FROM ahead) < $9")
);

/// The keys that wait are found one by one (each the smallest beyond the last), and of each only its
/// first jobs are looked at: thousands of jobs that wait for one key cost nothing.
///
/// `$1` now, `$2` node, `$3` the bit of `executing`, `$4` queue, `$5` workers, `$6` the most jobs, `$7`
/// the most per key, `$8` the host. jobs_keyed, jobs_keys_in_use, jobs_claim, jobs_pkey
pub(super) const TAKE_KEYED: &str = concat!(
    "WITH RECURSIVE keys (key) AS ( \
        (SELECT min(concurrency_key) FROM {schema}.jobs \
        WHERE state = 'available' AND queue = $4 AND concurrency_key IS NOT NULL) \
        UNION ALL SELECT (SELECT min(concurrency_key) FROM {schema}.jobs \
        WHERE state = 'available' AND queue = $4 AND concurrency_key IS NOT NULL \
            AND concurrency_key > keys.key) \
        FROM keys WHERE keys.key IS NOT NULL), \
    free (key, slots) AS (SELECT key, $7 - (SELECT count(*) FROM {schema}.jobs \
        WHERE state = 'executing' AND concurrency_key = key) FROM keys WHERE key IS NOT NULL), \
    first AS (SELECT job.id, job.priority, job.scheduled_at FROM free CROSS JOIN LATERAL ( \
        SELECT id, priority, scheduled_at FROM {schema}.jobs \
        WHERE state = 'available' AND queue = $4 AND concurrency_key = free.key AND worker = ANY ($5) \
        AND (session_host IS NULL OR session_host = $8) \
        ORDER BY priority, scheduled_at, id LIMIT greatest(free.slots, 0)) AS job), ",
    take_first!("")
);

/// Those that count no more; and those of a clock that has since been set back, which would count for as long as it
/// was ahead. starts_at
pub(super) const FORGET_STARTS: &str =
    "DELETE FROM {schema}.starts WHERE queue = $1 AND (at <= $2 OR at > $3)";

/// starts_at
pub(super) const STARTS: &str = "SELECT coalesce(sum(jobs), 0)::bigint AS jobs, min(at) AS first \
    FROM {schema}.starts WHERE queue = $1";

pub(super) const NOTE_STARTS: &str = "INSERT INTO {schema}.starts (queue, at, jobs) VALUES ($1, $2, $3)";

/// Waits until nobody else counts.
pub(super) async fn lock(engine: &PostgresEngine, work: &mut Work) -> Result<()> {
    let number = lock_number("limits", &engine.address.schema);
    work.rows(engine.query(&engine.sql.lock).bind(number)).await?;
    Ok(())
}

/// Takes what all limits allow; also says when the rate allows more, if it is what stands in the way.
pub(super) async fn take(
    engine: &PostgresEngine,
    work: &mut Work,
    request: &ClaimRequest<'_>,
    settings: &QueueSettings,
) -> Result<(Vec<Job>, Option<Timestamp>)> {
    let mut most = request.room(settings);
    if let Some(global) = request.limits.global {
        let rows = work.rows(engine.query(&engine.sql.count_executing).bind(request.queue)).await?;
        let executing: i64 = super::first(&rows)?.try_get("jobs")?;
        most = most.min(global.saturating_sub(u32::try_from(executing).unwrap_or(u32::MAX)));
    }
    let mut rate_allows = None;
    if let Some(rate) = request.limits.rate {
        let (starts, first) = starts_left(engine, work, request, rate).await?;
        rate_allows = (starts < most).then(|| later(first.unwrap_or(request.now), rate.period));
        most = most.min(starts);
    }
    if most == 0 {
        return Ok((Vec::new(), rate_allows));
    }
    let take = |statement| {
        let query = engine.query(statement).bind(Moment(request.now)).bind(request.node);
        let query = query.bind(state_bit(State::Executing)).bind(request.queue).bind(request.workers);
        query.bind(i64::from(most)).bind(i64::from(request.limits.per_key)).bind(request.host)
    };
    let ahead = i64::from(ClaimRequest::keyed_ahead(most));
    let mut rows = work.rows(take(&engine.sql.take_keyed_first).bind(ahead)).await?;
    if rows.is_empty() {
        rows = work.rows(take(&engine.sql.take_keyed)).await?;
    }
    let mut jobs = row::claimed(&rows, request)?;
    in_order(&mut jobs);
    if request.limits.rate.is_some() && !jobs.is_empty() {
        let query = engine.query(&engine.sql.note_starts).bind(request.queue).bind(Moment(request.now));
        work.rows(query.bind(i64::try_from(jobs.len()).unwrap_or(i64::MAX))).await?;
    }
    Ok((jobs, rate_allows))
}

/// How many starts the rate leaves now, and the earliest one that counts.
async fn starts_left(
    engine: &PostgresEngine,
    work: &mut Work,
    request: &ClaimRequest<'_>,
    rate: Rate,
) -> Result<(u32, Option<Timestamp>)> {
    let query = engine.query(&engine.sql.forget_starts).bind(request.queue);
    let query = query.bind(Moment(earlier(request.now, rate.period)));
    work.rows(query.bind(Moment(later(request.now, rate.period)))).await?;
    let rows = work.rows(engine.query(&engine.sql.starts).bind(request.queue)).await?;
    let row = super::first(&rows)?;
    let jobs: i64 = row.try_get("jobs")?;
    let left = rate.starts.saturating_sub(u32::try_from(jobs).unwrap_or(u32::MAX));
    Ok((left, optional_moment(row, "first")?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claude_jobs_tests::postgres::{Database, database};
    use tokio::time::timeout;

    use super::*;
    use crate::clock::timestamp;
    use crate::engine::{Engine, Limits};
    use crate::node::{Terms, this_node};

    /// A process that is frozen between two statements keeps the others from claiming for a short while only.
    #[tokio::test]
    async fn a_frozen_node_does_not_keep_the_lock() {
        let (direct, pooled) = (database(), database());
        tokio::join!(
            claims_beside_a_frozen_node(&direct, ""),
            claims_beside_a_frozen_node(&pooled, "&notifications=off")
        );
    }

    async fn claims_beside_a_frozen_node(database: &Database, parameters: &str) {
        let url = format!("{}{parameters}", database.url());
        let engine = PostgresEngine::connect(&url).await.expect("a new database");
        let now = timestamp(1_900_000_000_000_000);
        let node = this_node(Terms::DEFAULT, "host".to_owned(), now);
        engine.renew(&node, false).await.expect("a write");
        let mut frozen = engine.connections.begin().await.expect("a session");
        lock(&engine, &mut frozen).await.expect("the lock is free");
        database.psql("INSERT INTO claude_jobs.jobs (queue, worker) VALUES ('queue', 'worker')");
        let request = ClaimRequest {
            queue: "queue",
            node: &node.id,
            workers: &["worker"],
            limits: Limits::local(5).global(3),
            running: 0,
            ahead: 0,
            host: "host",
            at_most: u32::MAX,
            account: "",
            now,
        };
        let claimed = timeout(Duration::from_secs(60), engine.claim(&request)).await;
        let claimed = claimed.expect("the lock is free again").expect("a claim");
        assert_eq!(claimed.jobs.len(), 1, "{url}");
        assert!(frozen.finish(Ok(())).await.is_err(), "its transaction is over");
    }
}
