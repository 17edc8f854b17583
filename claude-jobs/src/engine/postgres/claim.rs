//! Claims: due jobs become `executing`, their attempt counts up.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connections::Work;
use super::moment::Moment;
use super::row::{self, optional_moment, state_bit};
use super::{PostgresEngine, Query, limited};
use crate::engine::{ClaimRequest, Claimed, QueueSettings};
use crate::error::Result;
use crate::job::{Job, State};

// Each statement names the index it relies on.

/// What a claim would find. Whether any of it is for these workers is looked up among the first only: of those that no
/// node here knows there may be a million. queues_pkey, nodes_pkey, accounts_pkey, jobs_due, jobs_claim, jobs_keyed
pub(super) const LOOK: &str = "SELECT coalesce(q.paused, false) AS paused, q.concurrency, \
    EXISTS (SELECT 1 FROM {schema}.nodes WHERE id = $2) AS is_registered, \
    (SELECT until FROM {schema}.accounts WHERE name = $5 AND trial_node IS DISTINCT FROM $2) AS blocked_until, \
    (SELECT min(scheduled_at) FROM {schema}.jobs WHERE queue = $1 AND state IN ('scheduled', 'retryable')) \
        AS next_due, \
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
        AND queue = $1) AS has_unkeyed, \
    EXISTS (SELECT 1 FROM (SELECT worker FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
        AND queue = $1 AND (session_host IS NULL OR session_host = $4) \
        ORDER BY priority, scheduled_at, id LIMIT 100) AS first WHERE worker = ANY ($3)) AS has_ours, \
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NOT NULL \
        AND queue = $1) AS has_keyed \
    FROM (VALUES (1)) AS one LEFT JOIN {schema}.queues AS q ON q.name = $1";

/// The most jobs that one statement stages.
const STAGED_AT_ONCE: i64 = 5_000;

/// Waiting jobs whose time has come become `available`. A unique job always counts while it is
/// `available`, so that its key stays. Those that another node is just staging are left to it. jobs_due
pub(super) const STAGE: &str = "WITH staged AS (UPDATE {schema}.jobs SET state = 'available' \
    WHERE id = ANY (ARRAY (SELECT id FROM {schema}.jobs WHERE queue = $1 \
        AND state IN ('scheduled', 'retryable') AND scheduled_at <= $2 \
        ORDER BY scheduled_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)) RETURNING 1) \
    SELECT count(*) AS jobs FROM staged";

/// The change that takes the jobs of these places in the table, which are locked. Of a job that was changed
/// in the same moment the place is not ours to see: whoever changed it will tell of it. `$now`, `$node` and
/// the bit of `executing` are numbered by the caller.
macro_rules! take_rows {
    ($now:literal, $node:literal, $bit:literal) => {
        concat!(
            "UPDATE {schema}.jobs SET state = 'executing', attempt = least(attempt + 1, 4294967295), \
             attempted_at = ",
            $now,
            ", node = ",
            $node,
            ", reason = NULL, unique_key = CASE WHEN unique_states & ",
            $bit,
            " <> 0 THEN unique_key END WHERE ctid = ANY (ARRAY ("
        )
    };
}
pub(super) use take_rows;

/// Takes jobs; none where that needs more than one statement: when jobs are due that are not staged, or wait
/// with a concurrency key. Who gets none looks why: [`claim_more`].
///
/// The numbers of: the present moment; the queue, the node, the workers, the node's concurrency, how many it
/// runs, how many more it may claim, the bit of `executing`, whether jobs that are due must be staged
/// first, where the node keeps its sessions, the account and the most jobs. What was
/// found that still matters comes with each job: to have it in a row of its own, every row
/// would have to be put aside and copied.
///
/// jobs_claim, in its own order; the same as [`LOOK`]'s besides.
macro_rules! claim_rows {
    ($now:literal; $queue:literal, $node:literal, $workers:literal, $concurrency:literal, $running:literal,
        $ahead:literal, $bit:literal, $stages:literal, $host:literal, $account:literal, $most:literal) => {
        concat!(
            "found AS (SELECT coalesce(q.paused, false) AS paused, q.concurrency, \
                EXISTS (SELECT 1 FROM {schema}.nodes WHERE id = ",
            $node,
            ") AS is_registered, EXISTS (SELECT 1 FROM {schema}.accounts WHERE name = ",
            $account,
            " AND trial_node IS DISTINCT FROM ",
            $node,
            ") AS is_blocked, (SELECT min(scheduled_at) FROM {schema}.jobs WHERE queue = ",
            $queue,
            " AND state IN ('scheduled', 'retryable')) AS next_due, \
                EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NOT NULL \
                    AND queue = ",
            $queue,
            ") AS has_keyed FROM (VALUES (1)) AS one LEFT JOIN {schema}.queues AS q ON q.name = ",
            $queue,
            ") ",
            $crate::engine::postgres::claim::take_rows!($now, $node, $bit),
            "SELECT ctid FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL AND queue = ",
            $queue,
            " AND worker = ANY (",
            $workers,
            ") AND (session_host IS NULL OR session_host = ",
            $host,
            ") ORDER BY priority, scheduled_at, id LIMIT (SELECT CASE WHEN paused OR concurrency <= 0 OR NOT is_registered OR is_blocked OR has_keyed OR ",
            $stages,
            " AND next_due <= ",
            $now,
            " THEN 0 ELSE least(greatest(coalesce(concurrency, ",
            $concurrency,
            ") - ",
            $running,
            ", 0) + ",
            $ahead,
            ", ",
            $most,
            ") END FROM found) FOR NO KEY UPDATE SKIP LOCKED)) RETURNING ",
            $crate::engine::postgres::row::claimed_columns!(),
            ", (SELECT concurrency FROM found) AS queue_concurrency, (SELECT next_due FROM found) AS next_due"
        )
    };
}
pub(super) use claim_rows;

/// Claims. `$1` the present moment, `$2` to `$12` as [`bind_claim`] has them.
pub(super) const CLAIM: &str =
    concat!("WITH ", claim_rows!("$1"; "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12"));

/// What a look has found.
pub(super) struct Found {
    pub(super) settings: QueueSettings,
    is_registered: bool,
    /// Until when nothing is claimed for the account.
    blocked_until: Option<Timestamp>,
    next_due: Option<Timestamp>,
    has_unkeyed: bool,
    /// Some of those are ours.
    has_ours: bool,
    pub(super) has_keyed: bool,
}

impl Found {
    fn is_due(&self, request: &ClaimRequest<'_>) -> bool {
        self.next_due.is_some_and(|due| due <= request.now)
    }

    /// Whether a limit applies that other nodes share.
    fn is_limited(&self, request: &ClaimRequest<'_>) -> bool {
        self.has_keyed || request.limits.span_nodes()
    }

    /// Whether nothing may be claimed.
    fn is_closed(&self, request: &ClaimRequest<'_>) -> bool {
        request.most(&self.settings) == 0 || !self.is_registered || self.blocked_until.is_some()
    }

    fn with(self, jobs: Vec<Job>, rate_allows: Option<Timestamp>) -> Claimed {
        let next_due = self.next_due.into_iter().chain(rate_allows).min();
        let blocked_until = self.blocked_until;
        Claimed { jobs, next_due, settings: self.settings, blocked_until, has_keyed: self.has_keyed }
    }
}

fn look<'q>(engine: &PostgresEngine, request: &ClaimRequest<'_>) -> Query<'q> {
    engine
        .query(&engine.sql.look)
        .bind(request.queue)
        .bind(request.node)
        .bind(request.workers)
        .bind(request.host)
        .bind(request.account)
}

fn found(rows: &[PgRow], request: &ClaimRequest<'_>) -> Result<Found> {
    let row = super::first(rows)?;
    let settings =
        QueueSettings { paused: row.try_get("paused")?, ..settings(row.try_get("concurrency")?, request) };
    Ok(Found {
        settings,
        is_registered: row.try_get("is_registered")?,
        blocked_until: optional_moment(row, "blocked_until")?,
        next_due: optional_moment(row, "next_due")?,
        has_unkeyed: row.try_get("has_unkeyed")?,
        has_ours: row.try_get("has_ours")?,
        has_keyed: row.try_get("has_keyed")?,
    })
}

/// The settings of a queue that is not paused.
fn settings(concurrency: Option<i64>, request: &ClaimRequest<'_>) -> QueueSettings {
    QueueSettings {
        name: request.queue.to_owned(),
        paused: false,
        concurrency: concurrency.map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX)),
    }
}

/// Claims with nothing to settle. Most looks have a reason, so that one statement looks and claims; where
/// others are to be counted, which takes a lock, it only looks at first.
pub(super) async fn claim(engine: &PostgresEngine, request: &ClaimRequest<'_>) -> Result<Claimed> {
    if !request.limits.span_nodes() {
        let rows = engine.rows(claiming(engine, request, true)).await?;
        if let Some(claimed) = read_claim(&rows, request)? {
            return Ok(claimed);
        }
    }
    claim_more(engine, request).await
}

/// Claims what one statement could not, if there is any, and says what else there is. What stood in that one's way
/// may be gone by now, and what still waits is not to be left until the next look.
pub(super) async fn claim_more(engine: &PostgresEngine, request: &ClaimRequest<'_>) -> Result<Claimed> {
    let seen = found(&engine.rows(look(engine, request)).await?, request)?;
    let has_more = if request.limits.span_nodes() { seen.has_unkeyed } else { seen.has_ours };
    let is_left = seen.is_due(request) || seen.has_keyed || has_more;
    if seen.is_closed(request) || !is_left {
        return Ok(seen.with(Vec::new(), None));
    }
    let mut work = engine.connections.begin().await?;
    let claimed = claim_in(engine, &mut work, request).await;
    work.finish(claimed).await
}

/// Claims inside a transaction, as many statements as it takes.
pub(super) async fn claim_in(
    engine: &PostgresEngine,
    work: &mut Work,
    request: &ClaimRequest<'_>,
) -> Result<Claimed> {
    let mut seen = found(&work.rows(look(engine, request)).await?, request)?;
    if seen.is_closed(request) {
        return Ok(seen.with(Vec::new(), None));
    }
    if seen.is_due(request) {
        stage(engine, work, request).await?;
        seen = found(&work.rows(look(engine, request)).await?, request)?;
    }
    if seen.is_limited(request) {
        // Nobody else counts from here on; what the others have claimed is in the next look.
        limited::lock(engine, work).await?;
        let seen = found(&work.rows(look(engine, request)).await?, request)?;
        if seen.is_closed(request) {
            return Ok(seen.with(Vec::new(), None));
        }
        let (jobs, rate_allows) = limited::take(engine, work, request, &seen.settings).await?;
        return Ok(seen.with(jobs, rate_allows));
    }
    let rows = work.rows(claiming(engine, request, false)).await?;
    let claimed = read_claim(&rows, request)?;
    Ok(claimed.unwrap_or_else(|| seen.with(Vec::new(), None)))
}

async fn stage(engine: &PostgresEngine, work: &mut Work, request: &ClaimRequest<'_>) -> Result<()> {
    loop {
        let query = engine.query(&engine.sql.stage).bind(request.queue).bind(Moment(request.now));
        let rows = work.rows(query.bind(STAGED_AT_ONCE)).await?;
        if super::first(&rows)?.try_get::<i64, _>("jobs")? < STAGED_AT_ONCE {
            return Ok(());
        }
    }
}

fn claiming<'q>(engine: &PostgresEngine, request: &ClaimRequest<'_>, stages_first: bool) -> Query<'q> {
    bind_claim(engine.query(&engine.sql.claim).bind(Moment(request.now)), request, stages_first)
}

/// Binds what follows the present moment in [`claim_rows!`].
pub(super) fn bind_claim<'q>(query: Query<'q>, request: &ClaimRequest<'_>, stages_first: bool) -> Query<'q> {
    query
        .bind(request.queue)
        .bind(request.node)
        .bind(request.workers)
        .bind(i64::from(request.limits.concurrency))
        .bind(i64::from(request.running))
        .bind(i64::from(if request.limits.span_nodes() { 0 } else { request.ahead }))
        .bind(state_bit(State::Executing))
        .bind(stages_first)
        .bind(request.host)
        .bind(request.account)
        .bind(i64::from(request.at_most))
}

/// What was claimed, if anything was.
pub(super) fn read_claim(rows: &[PgRow], request: &ClaimRequest<'_>) -> Result<Option<Claimed>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let next_due = optional_moment(first, "next_due")?;
    let mut jobs = row::claimed(rows, request)?;
    in_order(&mut jobs);
    let settings = settings(first.try_get("queue_concurrency")?, request);
    Ok(Some(Claimed { jobs, next_due, settings, ..Claimed::default() }))
}

/// `RETURNING` has no order.
pub(super) fn in_order(jobs: &mut [Job]) {
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
}

#[cfg(test)]
mod tests {
    use claude_jobs_tests::postgres::database;

    use super::*;
    use crate::clock::timestamp;
    use crate::engine::Limits;

    /// What stood in the way of a statement's claim may be another's by the time that one asks why it took none: what
    /// still waits is claimed then, not at the next look, which may be seconds away.
    #[tokio::test]
    async fn what_waits_is_claimed_when_nothing_stands_in_its_way_any_more() {
        let database = database();
        let engine = PostgresEngine::connect(&database.url()).await.expect("a new database");
        database.psql(
            "INSERT INTO claude_jobs.nodes VALUES ('node', 'host', 'process', now(), now(), 1); \
             INSERT INTO claude_jobs.jobs (queue, worker, scheduled_at) VALUES ('queue', 'worker', '2026-01-01')",
        );
        let request = ClaimRequest {
            queue: "queue",
            node: "node",
            workers: &["worker"],
            limits: Limits::local(5),
            running: 0,
            ahead: 0,
            host: "host",
            at_most: u32::MAX,
            account: "",
            now: timestamp(1_900_000_000_000_000),
        };
        assert_eq!(claim_more(&engine, &request).await.expect("a claim").jobs.len(), 1);
        database.psql("INSERT INTO claude_jobs.jobs (queue, worker) VALUES ('queue', 'worker')");
        let others = ClaimRequest { workers: &["other"], ..request };
        assert!(claim_more(&engine, &others).await.expect("a claim").jobs.is_empty());
    }
}
