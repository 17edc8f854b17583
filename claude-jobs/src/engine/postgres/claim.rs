//! Claims: due jobs become `executing`, their attempt counts up.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connections::Work;
use super::moment::Moment;
use super::row::{self, claimed_columns, optional_moment, state_bit};
use super::settle::{self, settle_rows};
use super::{PostgresEngine, Query, limited};
use crate::engine::{ClaimRequest, Claimed, QueueSettings, Turn};
use crate::error::Result;
use crate::job::{Job, State};
use crate::settlement::Settlement;

// Each statement names the index it relies on.

/// What a claim would find. queues_pkey, nodes_pkey, jobs_due, jobs_claim, jobs_keyed
pub(super) const LOOK: &str = "SELECT coalesce(q.paused, false) AS paused, q.paused_until, q.concurrency, \
    EXISTS (SELECT 1 FROM {schema}.nodes WHERE id = $2) AS is_registered, \
    (SELECT min(scheduled_at) FROM {schema}.jobs WHERE queue = $1 AND state IN ('scheduled', 'retryable')) \
        AS next_due, \
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
        AND queue = $1) AS has_unkeyed, \
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

/// No job: a `NULL` for each of [`claimed_columns!`].
macro_rules! nothing {
    () => {
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    };
}

/// Settles a batch and claims the next jobs, in one statement. The first row says what it has found, each
/// other one is a job.
///
/// `$16` the present moment, `$17` the channel, `$18` whether to tell of every settlement, `$19` the
/// queue, `$20` the node, `$21` the workers, `$22` the node's concurrency, `$23` how many it runs, `$24`
/// how many more it may claim, `$25` the bit of `executing`, `$26` how many different settlements,
/// `$27` whether jobs that are due must be staged first.
///
/// It claims nothing where that needs more than one statement: when jobs are due that are not staged,
/// or wait with a concurrency key.
///
/// jobs_claim, in its own order; the same as [`LOOK`]'s besides.
pub(super) const TURN: &str = concat!(
    settle_rows!(),
    ", found AS (SELECT coalesce(q.paused, false) AS paused, q.paused_until, q.concurrency, \
        EXISTS (SELECT 1 FROM {schema}.nodes WHERE id = $20) AS is_registered, \
        (SELECT min(scheduled_at) FROM {schema}.jobs WHERE queue = $19 \
            AND state IN ('scheduled', 'retryable')) AS next_due, \
        EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NOT NULL \
            AND queue = $19) AS has_keyed \
        FROM (VALUES (1)) AS one LEFT JOIN {schema}.queues AS q ON q.name = $19), \
    taken AS (",
    take_rows!("$16", "$20", "$25"),
    "SELECT ctid FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
        AND queue = $19 AND worker = ANY ($21) \
        ORDER BY priority, scheduled_at, id \
        LIMIT (SELECT CASE WHEN paused OR paused_until > $16 OR concurrency <= 0 OR NOT is_registered \
            OR has_keyed OR $27 AND next_due <= $16 THEN 0 \
            ELSE greatest(coalesce(concurrency, $22) - $23, 0) + $24 END FROM found) \
        FOR NO KEY UPDATE SKIP LOCKED)) RETURNING ",
    claimed_columns!(),
    ") SELECT found.paused, found.paused_until, found.concurrency AS queue_concurrency, \
        found.is_registered, found.next_due, found.has_keyed, \
        CASE WHEN ends.jobs < $26 THEN ARRAY (SELECT s.id FROM settled AS s) END AS settled_ids, \
        CASE WHEN ends.jobs < $26 THEN ARRAY (SELECT s.attempt FROM settled AS s) END AS settled_attempts, ",
    nothing!(),
    " FROM found CROSS JOIN ends WHERE ends.told >= 0 \
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, taken.* FROM taken"
);

/// The first column of a job in a row of [`TURN`].
const FIRST_OF_JOB: usize = 8;

/// What a look has found.
pub(super) struct Found {
    pub(super) settings: QueueSettings,
    is_registered: bool,
    next_due: Option<Timestamp>,
    has_unkeyed: bool,
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
        request.most(&self.settings) == 0 || !self.is_registered
    }

    fn with(self, jobs: Vec<Job>, rate_allows: Option<Timestamp>) -> Claimed {
        let next_due = self.next_due.into_iter().chain(rate_allows).min();
        Claimed { jobs, next_due, settings: self.settings }
    }
}

fn look<'q>(engine: &PostgresEngine, request: &ClaimRequest<'_>) -> Query<'q> {
    engine.query(&engine.sql.look).bind(request.queue).bind(request.node)
}

fn found(rows: &[PgRow], request: &ClaimRequest<'_>) -> Result<Found> {
    let row = super::first(rows)?;
    Ok(Found {
        settings: settings(row, "concurrency", request)?,
        is_registered: row.try_get("is_registered")?,
        next_due: optional_moment(row, "next_due")?,
        has_unkeyed: row.try_get("has_unkeyed")?,
        has_keyed: row.try_get("has_keyed")?,
    })
}

fn settings(row: &PgRow, concurrency: &str, request: &ClaimRequest<'_>) -> Result<QueueSettings> {
    Ok(QueueSettings {
        name: request.queue.to_owned(),
        paused: row.try_get("paused")?,
        paused_until: optional_moment(row, "paused_until")?,
        concurrency: row
            .try_get::<Option<i64>, _>(concurrency)?
            .map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX)),
    })
}

/// Claims with nothing to settle. Most looks have a reason, so that one statement looks and claims; where
/// others are to be counted, which takes a lock, it only looks at first.
pub(super) async fn claim(engine: &PostgresEngine, request: &ClaimRequest<'_>) -> Result<Claimed> {
    if request.limits.span_nodes() {
        let seen = found(&engine.rows(look(engine, request)).await?, request)?;
        if seen.is_closed(request) || !(seen.is_due(request) || seen.has_unkeyed || seen.has_keyed) {
            return Ok(seen.with(Vec::new(), None));
        }
    } else {
        let (turn, is_done) = turn(engine, &[], request, request.now).await?;
        if is_done {
            return Ok(turn.claimed);
        }
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
    let rows = work.rows(bind(engine, &[], request, request.now, false)?).await?;
    Ok(read(&rows, &[], request, request.now)?.0.claimed)
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

/// Settles what brings nothing more with it, and claims, in one statement. Also says whether it has
/// claimed what there was; if not, [`claim_in`] does.
pub(super) async fn turn(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> Result<(Turn, bool)> {
    let rows = engine.rows(bind(engine, settlements, request, now, true)?).await?;
    read(&rows, settlements, request, now)
}

fn bind<'q>(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    request: &ClaimRequest<'_>,
    now: Timestamp,
    stages_first: bool,
) -> Result<Query<'q>> {
    let tells = request.limits.span_nodes();
    let query = settle::bind(engine.query(&engine.sql.turn), settlements, now, engine.channel(), tells)?;
    Ok(query
        .bind(request.queue)
        .bind(request.node)
        .bind(request.workers)
        .bind(i64::from(request.limits.concurrency))
        .bind(i64::from(request.running))
        .bind(i64::from(if request.limits.span_nodes() { 0 } else { request.ahead }))
        .bind(state_bit(State::Executing))
        .bind(settle::different(settlements) as i64)
        .bind(stages_first))
}

fn read(
    rows: &[PgRow],
    settlements: &[Settlement],
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> Result<(Turn, bool)> {
    let head = super::first(rows)?;
    let ids: Option<Vec<i64>> = head.try_get("settled_ids")?;
    let attempts: Option<Vec<i64>> = head.try_get("settled_attempts")?;
    let ours = ids.zip(attempts).map(|(ids, attempts)| ids.into_iter().zip(attempts).collect::<HashSet<_>>());
    let has_keyed = head.try_get("has_keyed")?;
    let seen = Found {
        settings: settings(head, "queue_concurrency", request)?,
        is_registered: head.try_get("is_registered")?,
        // What has just been settled is not in it yet.
        next_due: settlements
            .iter()
            .filter(|new| matches!(new.state, State::Scheduled | State::Retryable))
            .map(|new| new.scheduled_at)
            .chain(optional_moment(head, "next_due")?)
            .min(),
        has_unkeyed: true,
        has_keyed,
    };
    let mut jobs = row::claimed(&rows[1..], FIRST_OF_JOB, request.node, now)?;
    in_order(&mut jobs);
    let is_done = seen.is_closed(request) || !jobs.is_empty() || (!has_keyed && !seen.is_due(request));
    let turn = Turn { settled: settle::answers(settlements, ours), claimed: seen.with(jobs, None) };
    Ok((turn, is_done))
}

/// `RETURNING` has no order.
pub(super) fn in_order(jobs: &mut [Job]) {
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
}
