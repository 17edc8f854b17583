//! Turns: what has ended is settled, what there is room for is claimed, in as few statements as it takes.

use sqlx::Row;

use super::claim::{self, bind_claim, claim_rows, read_claim};
use super::moment::Moment;
use super::settle::{self, bind_runs, each, fence, in_order, ledger, runs, tell};
use super::{PostgresEngine, retried};
use crate::engine::{ClaimRequest, Claimed, Settled, Turn};
use crate::error::Result;
use crate::job::State;
use crate::settlement::Settlement;

/// Completes a batch of jobs and claims the next ones: what happens most often, and so with nothing in it that
/// [such jobs](only_completes) do not need. `$1` to `$11` as [`runs!`] has them, `$12` when each was due, `$13` how
/// many different runs, `$14` the channel, `$15` the present moment, `$16` to `$27` as [`bind_claim`] has them.
///
/// The jobs are taken first. A statement sees what was committed when it began; a job that another one claims
/// after that still looks available to it, and is locked before it is seen not to be. Whoever has claimed it then
/// waits with settling it: the shorter that moment, the less often.
pub(super) const TURN: &str = concat!(
    "WITH settled AS (UPDATE {schema}.jobs AS j SET state = 'completed', scheduled_at = g.scheduled_at, \
        finished_at = g.run_finished_at, reason = NULL, continuation = NULL, session_host = NULL, \
        node = NULL, cancel_requested = false, \
        unique_key = CASE WHEN (j.unique_states >> 4) & 1 = 1 THEN j.unique_key END \
        FROM (SELECT ",
    runs!(),
    ", unnest($12::timestamptz[]) AS scheduled_at) AS g ",
    fence!(),
    " RETURNING g.*, CASE WHEN j.concurrency_key IS NOT NULL THEN ",
    tell!("$14"),
    " END), ",
    ledger!(),
    ", ",
    claim_rows!("$15"; "$16", "$17", "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26"),
    ", (SELECT count(*) FROM settled) = $13 AS all_settled"
);

/// Whether a settlement completes its job and says nothing else: what [`TURN`] writes.
fn only_completes(settlement: &Settlement) -> bool {
    settlement.state == State::Completed
        && settlement.finished_at == Some(settlement.run.finished_at)
        && !settle::has_rest(settlement)
}

/// As few statements as it takes: one where all there is to settle are jobs that complete, two where more is to be
/// said of one of them, a transaction of several where other rows than their own are to be written with them.
pub(super) async fn turn(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    claim: Option<&ClaimRequest<'_>>,
) -> Result<Turn> {
    if settlements.is_empty() {
        let Some(request) = claim else { return Ok(Turn::default()) };
        let claimed = retried(|| claim::claim(engine, request)).await?;
        return Ok(Turn { claimed, ..Turn::default() });
    }
    let spans_nodes = claim.is_some_and(|request| request.limits.span_nodes());
    if spans_nodes || settlements.iter().any(|new| !new.follow_ons.is_empty()) {
        return retried(|| turn_in_steps(engine, settlements, claim)).await;
    }
    let Some(request) = claim else {
        let settled = retried(|| settle::settle_only(engine, settlements)).await?;
        return Ok(Turn { settled, ..Turn::default() });
    };
    // What fails from here on fails the turn: what the server may have claimed is to be looked up, and a settlement
    // may be said again.
    if !settlements.iter().all(only_completes) {
        let settled = retried(|| settle::settle_only(engine, settlements)).await?;
        let claimed = retried(|| claim::claim(engine, request)).await?;
        return Ok(Turn { settled, claimed });
    }
    let (settled, claimed) = retried(|| complete_and_claim(engine, settlements, request)).await?;
    let claimed = match claimed {
        Some(claimed) => claimed,
        None => retried(|| claim::claim_more(engine, request)).await?,
    };
    Ok(Turn { settled, claimed })
}

/// Settles in a transaction of several statements what brings more than its own rows, and claims.
async fn turn_in_steps(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    claim: Option<&ClaimRequest<'_>>,
) -> Result<Turn> {
    let tells = claim.is_some_and(|request| request.limits.span_nodes());
    let mut work = engine.connections.begin().await?;
    let turn = async {
        let settled = settle::settle(engine, &mut work, settlements, tells).await?;
        let claimed = match claim {
            Some(request) => claim::claim_in(engine, &mut work, request).await?,
            None => Claimed::default(),
        };
        Ok(Turn { settled, claimed })
    };
    let turn = turn.await;
    work.finish(turn).await
}

/// Completes and claims in one statement. Answers with what was settled, and what was claimed, if anything was.
async fn complete_and_claim(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    request: &ClaimRequest<'_>,
) -> Result<(Vec<Settled>, Option<Claimed>)> {
    let new = &in_order(settlements)[..];
    let query = bind_runs(engine.query(&engine.sql.turn), new)?
        .bind(each(new, |new| Moment(new.scheduled_at)))
        .bind(new.len() as i64)
        .bind(engine.channel())
        .bind(Moment(request.now));
    let rows = engine.rows(bind_claim(query, request, true)).await?;
    let all_settled = rows.first().map(|row| row.try_get("all_settled")).transpose()?.unwrap_or(false);
    let settled = if all_settled {
        settle::answers(settlements, None)
    } else {
        settle::read(&engine.rows(settle::written(engine, settlements)).await?, settlements)?
    };
    Ok((settled, read_claim(&rows, request)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claude_jobs_tests::postgres::database;
    use sqlx::postgres::PgRow;
    use sqlx::{AssertSqlSafe, Executor};

    use super::*;
    use crate::engine::postgres::row::state_bit;

    /// Two jobs that run (1 and 2) and two that wait (3 and 4).
    const FOUR_JOBS: &str = "INSERT INTO claude_jobs.nodes VALUES ('node', 'host', 'process', now(), now(), 1); \
        INSERT INTO claude_jobs.jobs (state, attempt, node, queue, worker, scheduled_at) \
        SELECT (CASE WHEN i > 2 THEN 'available' ELSE 'executing' END)::claude_jobs.state, 1, 'node', 'queue', \
            'worker', '2026-01-01' FROM generate_series(1, 4) AS i";

    /// Ends the run of job 1, and takes one job.
    const TURN_VALUES: &str = "'{1}', '{1}', '{node}', '{2026-02-01}', '{2026-02-01}', '{NULL}', '{success}', \
        '{complete}', '{completed}', '{NULL}', '{}', '{2026-01-01}', 1, 'c', '2026-02-01', 'queue', 'node', \
        '{worker}', 1, 0, 0, 4, true, 'host', 'account', 9";

    #[test]
    fn the_unique_states_are_shifted_by_the_place_of_a_completed_job() {
        assert_eq!(state_bit(State::Completed), 1 << 4);
    }

    /// A turn that waits with a settlement has its jobs already: it does not come back to what others have claimed
    /// meanwhile, lock it, and keep them waiting in their turn.
    #[tokio::test]
    async fn a_turn_takes_jobs_before_it_settles() {
        let database = database();
        let engine = PostgresEngine::connect(&database.url()).await.expect("a new database");
        database.psql(FOUR_JOBS);
        let session = async || engine.connections.open().await.expect("a session");
        let (mut holder, mut first, mut second) = (session().await, session().await, session().await);
        holder
            .execute("BEGIN; SELECT 1 FROM claude_jobs.jobs WHERE id = 1 FOR UPDATE")
            .await
            .expect("a lock");
        let turn = format!("PREPARE turn AS {}", engine.sql.turn.text().0);
        first.execute(AssertSqlSafe(turn)).await.expect("a statement of ours");
        let turn = tokio::spawn(async move {
            first.fetch_all(AssertSqlSafe(format!("EXECUTE turn ({TURN_VALUES})"))).await.expect("a turn")
        });
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
            AND query LIKE 'EXECUTE turn%' AND datname = current_database()";
        while database.psql(waiting) != "1" {
            assert!(!turn.is_finished(), "it waits for job 1");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let claim = format!("PREPARE claim AS {}", engine.sql.claim.text().0);
        second.execute(AssertSqlSafe(claim)).await.expect("a statement of ours");
        let claim = "EXECUTE claim ('2026-02-01', 'queue', 'node', '{worker}', 1, 0, 0, 4, true, 'host', \
            'account', 9)";
        let ids = |rows: Vec<PgRow>| rows.iter().map(|row| row.get::<i64, _>("id")).collect::<Vec<_>>();
        assert_eq!(ids(second.fetch_all(claim).await.expect("a claim")), [4], "3 is the turn's");
        holder.execute("COMMIT").await.expect("the lock is free");
        assert_eq!(ids(turn.await.expect("no panic")), [3]);
    }
}
