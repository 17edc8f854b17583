//! What PostgreSQL reads at a million jobs for whatever is asked often: by which index, and how many
//! blocks. With and without statistics, with plans made for the parameters and with those that a session
//! keeps.

use std::collections::BTreeSet;

use claude_jobs_tests::postgres::{Database, database};
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Execute, Executor, Postgres, QueryBuilder, Row};

use super::statements::Statement;
use super::{PostgresEngine, list};
use crate::engine::Filter;
use crate::engine::list::tests::{LAST_PAGE, filters};

/// A million jobs: `$few` of the first thousand, `$many` all others. The few are the oldest, so that no
/// walk from the newest meets them soon.
macro_rules! fill {
    ($few:literal, $many:literal) => {
        concat!(
            "ALTER TABLE claude_jobs.jobs SET UNLOGGED, SET (autovacuum_enabled = false); \
             INSERT INTO claude_jobs.jobs (state, queue, worker, input, attempt, inserted_at, scheduled_at, \
                 attempted_at, finished_at, node, concurrency_key, unique_key) \
             SELECT state::claude_jobs.state, CASE WHEN key IS NULL THEN 'queue_' || i % 7 ELSE 'keyed' END, 'worker_' || i % 3, \
                 '{\"prompt\": \"Summarize this repository.\"}', 1, at, at, at, \
                 CASE WHEN state IN ('completed', 'discarded', 'cancelled') THEN at END, \
                 CASE WHEN state = 'executing' THEN 'node_' || i % 2 END, key, \
                 CASE WHEN i % 100 = 0 THEN 'unique_' || i END \
             FROM (SELECT i, timestamptz '2026-01-01' + i * interval '1 second' AS at, \
                 CASE WHEN i <= 1000 THEN (ARRAY[",
            $few,
            "])[i % 10 + 1] ELSE '",
            $many,
            "' END AS state, CASE WHEN i <= 1000 AND i % 10 = 0 THEN 'key_' || i % 3 END AS key \
                 FROM generate_series(1, 1000000) AS i) AS jobs; \
             INSERT INTO claude_jobs.runs (job_id, attempt, started_at, finished_at, outcome, verdict, ending) \
             SELECT i, 1, now(), now(), 'success', 'complete', 'completed' FROM generate_series(100, 20000) AS i; \
             UPDATE claude_jobs.runs SET written = (job_id + 1000)::text::xid8; \
             INSERT INTO claude_jobs.log SELECT i, 1, n, now(), '{}' \
             FROM generate_series(100, 20000) AS i, generate_series(1, 5) AS n; \
             INSERT INTO claude_jobs.errors (job_id, attempt, at, kind, message) \
             SELECT i, 1, now(), 'timeout', 'too long' FROM generate_series(100, 20000) AS i; \
             INSERT INTO claude_jobs.nodes VALUES ('node_1', 'host', 'process', now(), now(), 1, 'host')"
        )
    };
}

const MANY_COMPLETED: &str = fill!(
    "'available', 'available', 'available', 'scheduled', 'retryable', 'executing', 'discarded', 'cancelled', \
     'discarded', 'available'",
    "completed"
);

const MANY_AVAILABLE: &str = fill!(
    "'available', 'completed', 'completed', 'scheduled', 'retryable', 'executing', 'discarded', 'cancelled', \
     'discarded', 'completed'",
    "available"
);

/// Of the table's twenty-five thousand blocks.
const MOST_BLOCKS: u64 = 4_000;

/// An index that was filled in the order of its queues' jobs has eleven thousand, and a row read for each entry
/// would be a million.
const MOST_BLOCKS_TO_COUNT: u64 = 15_000;

#[tokio::test]
async fn a_million_completed_jobs_are_not_read() {
    check(MANY_COMPLETED).await;
}

#[tokio::test]
async fn a_million_available_jobs_are_not_read() {
    check(MANY_AVAILABLE).await;
}

async fn check(fill: &'static str) {
    let database = database();
    let engine = PostgresEngine::connect(&database.url()).await.expect("a new database");
    database.psql(fill);
    let mut connection = engine.connections.open().await.expect("a session like any other");
    let mut faults = Vec::new();
    for statistics in ["", "VACUUM (ANALYZE)"] {
        database.psql(statistics);
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let mode = AssertSqlSafe(format!("SET plan_cache_mode = {mode}"));
            connection.execute(mode).await.expect("a setting");
            for case in cases(&engine) {
                faults.extend(case.faults(&mut connection).await);
            }
        }
        for filter in filters() {
            faults.extend(faults_of_list(&engine, &mut connection, &filter).await);
        }
    }
    faults.extend(faults_of_counts(&engine, &mut connection).await);
    both_ways_give_the_same_list(&engine).await;
    connection.close().await.expect("a connection");
    drop::<Database>(database);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A statement with the values of its parameters, and the indexes that it is to read.
struct Case<'a> {
    sql: &'a Statement,
    values: String,
    indexes: &'static [&'static str],
}

/// One run of job 5.
const RUN: &str = "'{5}', '{1}', '{node_1}', '{2026-02-01}', '{2026-02-01}', '{NULL}', '{success}', '{complete}', \
    '{completed}', '{NULL}', '{}'";

/// It ends well, though with an error.
const SETTLEMENT: &str = "'{4}', '{2026-02-01}', '{2026-02-01}', \
    ARRAY['{\"error_attempt\": 1, \"error_at\": 1, \"error_kind\": \"timeout\", \"error_message\": \"why\"}'], \
    'c', false";

fn cases(engine: &PostgresEngine) -> Vec<Case<'_>> {
    let sql = &engine.sql;
    let case = |sql, values: &str, indexes| Case { sql, values: values.to_owned(), indexes };
    let workers = "'{worker_0,worker_1,worker_2}'";
    vec![
        Case {
            sql: &sql.look,
            values: format!("'queue_3', 'node_1', {workers}, 'host', 'account'"),
            indexes: &["jobs_due", "jobs_claim", "jobs_keyed"],
        },
        case(&sql.stage, "'queue_3', '2026-02-01', 5000", &["jobs_due", "jobs_pkey"]),
        Case {
            sql: &sql.turn,
            values: format!(
                "{RUN}, '{{2026-02-01}}', 1, 'c', '2026-02-01', 'queue_3', 'node_1', {workers}, 10, 0, 0, 4, false, \
                'host', 'account', 9"
            ),
            indexes: &["jobs_claim", "jobs_due", "jobs_keyed", "jobs_pkey"],
        },
        Case {
            sql: &sql.claim,
            values: format!(
                "'2026-02-01', 'queue_3', 'node_1', {workers}, 10, 0, 0, 4, false, 'host', 'account', 9"
            ),
            indexes: &["jobs_claim", "jobs_due", "jobs_keyed"],
        },
        Case { sql: &sql.settle, values: format!("{RUN}, {SETTLEMENT}"), indexes: &["jobs_pkey"] },
        Case {
            sql: &sql.written,
            values:
                "'{500,501}', '{1,1}', '{node_1,NULL}', '{2026-02-01,2026-02-01}', '{completed,completed}'"
                    .to_owned(),
            indexes: &["jobs_pkey", "runs_pkey"],
        },
        Case {
            sql: &sql.forget,
            values: "'{5}'".to_owned(),
            indexes: &["errors_pkey", "jobs_pkey", "runs_pkey"],
        },
        case(&sql.count_executing, "'queue_3'", &["jobs_executing"]),
        Case {
            sql: &sql.take_keyed_first,
            values: format!("'2026-02-01', 'node_1', 4, 'keyed', {workers}, 10, 2, 'host', 120"),
            indexes: &["jobs_keyed_first", "jobs_keys_in_use", "jobs_claim", "jobs_pkey"],
        },
        Case {
            sql: &sql.take_keyed_first,
            values: format!("'2026-02-01', 'node_1', 4, 'queue_3', {workers}, 10, 2, 'host', 120"),
            indexes: &["jobs_keyed_first", "jobs_keys_in_use", "jobs_claim", "jobs_pkey"],
        },
        Case {
            sql: &sql.take_keyed,
            values: format!("'2026-02-01', 'node_1', 4, 'keyed', {workers}, 10, 2, 'host'"),
            indexes: &["jobs_keyed", "jobs_keys_in_use", "jobs_claim", "jobs_pkey"],
        },
        Case {
            sql: &sql.take_keyed,
            values: format!("'2026-02-01', 'node_1', 4, 'queue_3', {workers}, 10, 2, 'host'"),
            indexes: &["jobs_keyed", "jobs_keys_in_use", "jobs_claim", "jobs_pkey"],
        },
        case(&sql.held, "'queue_3', 'node_1'", &["jobs_executing"]),
        case(&sql.orphans, "", &["jobs_executing"]),
        case(&sql.release_sessions, "'2026-02-01', '{q}', '{h}'", &["jobs_sessions"]),
        case(&sql.cancel_requests, "'node_1'", &["jobs_executing"]),
        Case {
            sql: &sql.is_busy,
            values: format!("'{{queue_3,idle}}', {workers}, '2026-02-01', 'host'"),
            indexes: &["jobs_executing", "jobs_claim", "jobs_keyed", "jobs_due"],
        },
        case(&sql.release_expired, "'{unique_200,other}', '{2026-02-01,2026-02-01}'", &["jobs_unique"]),
        case(&sql.holders, "'{unique_200,other}'", &["jobs_unique"]),
        case(
            &sql.prune,
            "'completed', '2026-01-01 01:00', 100",
            &["errors_pkey", "jobs_over", "jobs_pkey", "runs_pkey"],
        ),
        case(&sql.prunable, "'completed', '2026-01-01 00:30'", &["jobs_over"]),
        case(&sql.prunable, "'discarded', '2026-02-01'", &["jobs_over"]),
        case(&sql.is_tick_busy, "'entry'", &["jobs_pkey"]),
        case(&sql.release_own, "'unique_200', 'entry'", &["jobs_unique"]),
        case(&sql.request_cancel, "5, 'c'", &["jobs_pkey"]),
        case(&sql.cancel, "3, 'c', '2026-02-01', 64", &["jobs_pkey"]),
        case(&sql.retry, "3, 'c', '2026-02-01'", &["jobs_pkey"]),
        case(&sql.retry_handler, "3, 'c', '2026-02-01', '{}'", &["jobs_pkey"]),
        case(&sql.keep_answer, "5, 1, '{}'", &["jobs_pkey"]),
        case(&sql.mark_begun, "'{5,6}', '{1,1}'", &["jobs_pkey"]),
        case(&sql.job, "500000", &["jobs_pkey"]),
        case(&sql.locked, "500000", &["jobs_pkey"]),
        case(&sql.runs, "500", &["runs_pkey"]),
        case(&sql.prune_log, "'{500,501}'", &["log_pkey"]),
        case(&sql.log, "'{500,501}', '{1,0}', '{3,0}', 100", &["log_pkey"]),
        case(
            &sql.write_log,
            "'{500,501}', '{1,1}', '{9,9}', '{2026-02-01,2026-02-01}', '{a,b}'",
            &["jobs_pkey"],
        ),
        case(&sql.running, "", &["jobs_executing"]),
        case(
            &sql.ledger,
            "'20900:20900:', NULL, NULL, NULL, NULL, NULL, 500",
            &["jobs_pkey", "runs_written"],
        ),
        case(
            &sql.ledger,
            "'1:1:', '20900:20900:', '15000', 14000, 1, '2026-01-01', 500",
            &["jobs_pkey", "runs_written"],
        ),
        case(&sql.errors, "500", &["errors_pkey"]),
        case(&sql.delete, "500", &["errors_pkey", "jobs_pkey", "log_pkey", "runs_pkey"]),
    ]
}

impl Case<'_> {
    async fn faults(&self, connection: &mut PgConnection) -> Option<String> {
        let values = Some(format!("({})", self.values)).filter(|_| !self.values.is_empty());
        let explain = format!("{EXPLAIN} EXECUTE asked {}", values.unwrap_or_default());
        let prepare = format!("PREPARE asked AS {}", self.sql.text().0);
        connection.execute(AssertSqlSafe(prepare)).await.expect("a statement of ours");
        connection.execute("BEGIN").await.expect("a transaction");
        let row = connection.fetch_one(AssertSqlSafe(explain.clone())).await;
        let read = Read::of(&row.unwrap_or_else(|error| panic!("{explain}: {error}")));
        connection.execute("ROLLBACK; DEALLOCATE asked").await.expect("the end of it");
        read.faults(Some(&self.indexes.iter().copied().collect()), MOST_BLOCKS)
            .map(|fault| format!("{fault}\n  {}", self.sql.text().0))
    }
}

const EXPLAIN: &str = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)";

/// What an execution has read.
#[derive(Default)]
struct Read {
    blocks: u64,
    indexes: BTreeSet<String>,
    scanned: BTreeSet<String>,
    shown: String,
}

impl Read {
    fn of(row: &PgRow) -> Self {
        let shown: String = row.try_get_unchecked(0).expect("JSON, which is text");
        let plans: Value = serde_json::from_str(&shown).expect("JSON");
        let mut read = Self { shown, ..Self::default() };
        read.add(&plans[0]["Plan"]);
        read
    }

    /// A node's figures contain those below it, though not always: of a statement inside a statement that
    /// nobody reads from they do not.
    fn add(&mut self, node: &Value) -> u64 {
        let blocks = |name: &str| node[name].as_u64().expect("a number");
        let all = blocks("Shared Hit Blocks") + blocks("Shared Read Blocks");
        let below = node["Plans"].as_array().into_iter().flatten().map(|below| self.add(below)).sum();
        self.blocks += all.saturating_sub(below);
        if let Some(name) = node["Index Name"].as_str() {
            self.indexes.insert(name.to_owned());
        }
        if node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Seq Scan")) {
            self.scanned.insert(node["Relation Name"].as_str().expect("a table").to_owned());
        }
        all
    }

    fn faults(mut self, expected: Option<&BTreeSet<&str>>, most: u64) -> Option<String> {
        self.scanned.retain(|table| matches!(table.as_str(), "jobs" | "runs" | "errors" | "log"));
        self.indexes.retain(|index| {
            ["jobs_", "runs_", "errors_", "log_"].iter().any(|table| index.starts_with(table))
        });
        let is_expected = expected
            .is_none_or(|expected| self.indexes.iter().map(String::as_str).eq(expected.iter().copied()));
        let is_fine = self.scanned.is_empty() && is_expected && self.blocks <= most;
        (!is_fine).then(|| {
            let Self { blocks, indexes, scanned, shown } = self;
            format!("{blocks} blocks by {indexes:?}, not {expected:?}, all of {scanned:?}: {shown}")
        })
    }
}

async fn faults_of_list(
    engine: &PostgresEngine,
    connection: &mut PgConnection,
    filter: &Filter,
) -> Option<String> {
    let parts = list::parts(filter);
    let mut blocks = 0;
    if let Some(mut sql) = list::count_few(engine, filter, &parts) {
        blocks += explained(connection, sql.build()).await.blocks;
    }
    let mut sql = list::statement(engine, filter).await.expect("a statement");
    let by_parts = sql.sql().as_str().contains("ANY (ARRAY");
    let mut read = explained(connection, sql.build()).await;
    let mut expected = BTreeSet::from(["jobs_pkey"]);
    if by_parts {
        expected.extend(parts.iter().map(|part| part.index));
    }
    // The few that failed are in two indexes; statistics, which are a sample, decide which is read.
    if expected.contains("jobs_over")
        && !expected.contains("jobs_failed")
        && read.indexes.remove("jobs_failed")
    {
        read.indexes.insert("jobs_over".to_owned());
    }
    blocks += read.blocks;
    // The last pages are few rows, by whichever index.
    let expected = Some(&expected).filter(|_| filter.before != Some(LAST_PAGE));
    Read { blocks, ..read }.faults(expected, MOST_BLOCKS).map(|fault| format!("{fault}\n  {filter:?}"))
}

/// Which of them is asked depends on how many jobs there are, and may change while one pages.
async fn both_ways_give_the_same_list(engine: &PostgresEngine) {
    for filter in filters().into_iter().filter(|filter| filter.before == Some(LAST_PAGE)) {
        for worker in [None, Some("worker_2".to_owned())] {
            let filter = Filter { worker, ..filter.clone() };
            let ids = async |mut sql: QueryBuilder<Postgres>| {
                let rows = engine.rows(sql.build().persistent(false)).await.expect("a list");
                rows.iter().map(|row| row.get("id")).collect::<Vec<i64>>()
            };
            let by_id = ids(list::by_id(engine, &filter)).await;
            let parts = list::parts(&filter);
            if !parts.is_empty() {
                assert_eq!(ids(list::by_parts(engine, &filter, &parts)).await, by_id, "{filter:?}");
            }
        }
    }
}

/// Counting reads index entries and, where the table is vacuumed, no row.
async fn faults_of_counts(engine: &PostgresEngine, connection: &mut PgConnection) -> Option<String> {
    let read = explained(connection, engine.query(&engine.sql.counts)).await;
    let expected = BTreeSet::from(["jobs_claim", "jobs_due", "jobs_executing", "jobs_keyed", "jobs_over"]);
    read.faults(Some(&expected), MOST_BLOCKS_TO_COUNT)
}

async fn explained(connection: &mut PgConnection, mut query: super::Query<'_>) -> Read {
    let arguments = query.take_arguments().expect("they are bound").expect("not taken yet");
    let sql = AssertSqlSafe(format!("{EXPLAIN} {}", query.sql().as_str()));
    let row = sqlx::query_with(sql, arguments).persistent(false).fetch_one(connection).await;
    Read::of(&row.expect("a plan"))
}
