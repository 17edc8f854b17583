//! What SQLite reads at a million jobs for whatever is asked often: by which index, and in how many of its
//! virtual machine's steps. With and without statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Execute, QueryBuilder, Row, Sqlite};

use super::{SqliteEngine, claim, feed, insert, limited, list, log, nodes, prune, query, ticks};
use crate::engine::Filter;
use crate::engine::list::parts;
use crate::engine::list::tests::{LAST_PAGE, filters};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A million jobs: `$few` of the first thousand, `$many` all others. The few are the oldest, so that no
/// walk from the newest meets them soon.
macro_rules! fill {
    ($few:literal, $many:literal) => {
        concat!(
            "PRAGMA synchronous = OFF; \
             WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 1000000), \
             jobs AS (SELECT i, 1750000000000000 + i * 1000000 AS at, \
                 CASE WHEN i <= 1000 THEN json_extract('[",
            $few,
            "]', '$[' || (i % 10) || ']') ELSE '",
            $many,
            "' END AS state, CASE WHEN i <= 1000 AND i % 10 = 0 THEN 'key_' || (i % 3) END AS key FROM numbers) \
             INSERT INTO claude_jobs (state, queue, worker, input, attempt, inserted_at, scheduled_at, \
                 attempted_at, finished_at, node, concurrency_key, unique_key) \
             SELECT state, CASE WHEN key IS NULL THEN 'queue_' || (i % 7) ELSE 'keyed' END, \
                 'worker_' || (i % 3), '{\"prompt\": \"Summarize this repository.\"}', 1, at, at, at, \
                 CASE WHEN state IN ('completed', 'discarded', 'cancelled') THEN at END, \
                 CASE WHEN state = 'executing' THEN 'node_' || (i % 2) END, key, \
                 CASE WHEN i % 100 = 0 THEN 'unique_' || i END FROM jobs; \
             INSERT INTO claude_jobs_runs (job_id, attempt, started_at, finished_at, outcome, verdict, ending) \
             SELECT id, 1, 0, 0, 'success', 'complete', 'completed' FROM claude_jobs WHERE id <= 20000; \
             INSERT INTO claude_jobs_log SELECT id, 1, column1, 0, '{}' FROM claude_jobs, (VALUES (1), (2), (3), (4), (5)) \
             WHERE id <= 20000; \
             INSERT INTO claude_jobs_errors (job_id, attempt, at, kind, message) \
             SELECT id, 1, 0, 'timeout', 'too long' FROM claude_jobs WHERE id <= 20000; \
             INSERT INTO claude_jobs_nodes (id, host, process, started_at, lease_until, lease) \
             VALUES ('node_1', 'host', 'process', 0, 0, 1)"
        )
    };
}

const MANY_COMPLETED: &str = fill!(
    "\"available\", \"available\", \"available\", \"scheduled\", \"retryable\", \"executing\", \"discarded\", \
     \"cancelled\", \"discarded\", \"available\"",
    "completed"
);

const MANY_AVAILABLE: &str = fill!(
    "\"available\", \"completed\", \"completed\", \"scheduled\", \"retryable\", \"executing\", \"discarded\", \
     \"cancelled\", \"discarded\", \"completed\"",
    "available"
);

/// To look at each of a million rows takes millions.
const MOST_STEPS: u64 = 300_000;

/// How often SQLite tells of its steps.
const STEPS: i32 = 1_000;

#[tokio::test]
async fn a_million_completed_jobs_are_not_read() {
    check(MANY_COMPLETED).await;
}

#[tokio::test]
async fn a_million_available_jobs_are_not_read() {
    check(MANY_AVAILABLE).await;
}

async fn check(fill: &'static str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let engine = SqliteEngine::connect(&url).await.expect("a new database");
    sqlx::raw_sql(fill).execute(&engine.writer).await.expect("room for it");
    let mut faults = Vec::new();
    for statistics in ["", "ANALYZE"] {
        sqlx::raw_sql(statistics).execute(&engine.writer).await.expect("a statement");
        // Statistics are read when a connection is opened.
        let mut connection = SqliteConnection::connect(&url).await.expect("a database");
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        connection.lock_handle().await.expect("a connection").set_progress_handler(STEPS, move || {
            counted.fetch_add(STEPS as u64, Ordering::Relaxed);
            true
        });
        let mut reader = Reader { connection, steps };
        for (sql, values, expected) in cases() {
            let plan = reader.plan(sql).await;
            if plan != expected {
                faults.push(format!("{sql}\n  {plan:?}"));
            }
            let most = if sql == query::COUNTS { u64::MAX } else { MOST_STEPS };
            let steps = reader.run(bound(sql, &values)).await;
            if steps > most {
                faults.push(format!("{sql}\n  {steps} steps"));
            }
        }
        for filter in filters() {
            faults.extend(reader.faults_of_list(&engine, &filter).await);
        }
    }
    both_ways_give_the_same_list(&engine).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Which of them is asked depends on how many jobs there are, and may change while one pages.
async fn both_ways_give_the_same_list(engine: &SqliteEngine) {
    for filter in filters().into_iter().filter(|filter| filter.before == Some(LAST_PAGE)) {
        for worker in [None, Some("worker_2".to_owned())] {
            let filter = Filter { worker, ..filter.clone() };
            let ids = async |mut sql: QueryBuilder<Sqlite>| {
                let rows = sql.build().fetch_all(&engine.readers).await.expect("a list");
                rows.iter().map(|row| row.get("id")).collect::<Vec<i64>>()
            };
            let by_id = ids(list::by_id(&filter)).await;
            let parts = parts(&filter);
            if !parts.is_empty() {
                assert_eq!(ids(list::by_parts(&filter, &parts)).await, by_id, "{filter:?}");
            }
        }
    }
}

/// A connection that counts the steps of its statements.
struct Reader {
    connection: SqliteConnection,
    steps: Arc<AtomicU64>,
}

impl Reader {
    /// Runs it, takes it back, and says how many steps it took.
    async fn run(&mut self, query: Query<'_>) -> u64 {
        let mut transaction = self.connection.begin().await.expect("a transaction");
        let before = self.steps.load(Ordering::Relaxed);
        query.fetch_all(&mut *transaction).await.expect("a statement of ours");
        let steps = self.steps.load(Ordering::Relaxed) - before;
        transaction.rollback().await.expect("the end of it");
        steps
    }

    async fn plan(&mut self, sql: &str) -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&mut self.connection).await.expect("a plan");
        let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
        let is_ours = |step: &String| {
            let table = step.split(' ').nth(1);
            let of_jobs =
                ["claude_jobs", "claude_jobs_runs", "claude_jobs_errors", "claude_jobs_log", "run", "whose"];
            table.is_some_and(|table| of_jobs.contains(&table)) || step.contains("ORDER BY")
        };
        steps.filter(is_ours).collect()
    }

    async fn faults_of_list(&mut self, engine: &SqliteEngine, filter: &Filter) -> Option<String> {
        let mut steps = 0;
        if let Some(mut sql) = list::count_few(filter, &parts(filter)) {
            steps += self.run(sql.build()).await;
        }
        let mut sql = list::statement(&engine.readers, filter).await.expect("a statement");
        let mut query = sql.build();
        let arguments = query.take_arguments().expect("they are bound").expect("not taken yet");
        let text = query.sql().as_str().to_owned();
        let query = sqlx::query_with(AssertSqlSafe(text.clone()), arguments);
        steps += self.run(query).await;
        (steps > MOST_STEPS).then(|| format!("{steps} steps for {filter:?}: {text}"))
    }
}

fn bound<'q>(sql: &'static str, values: &'q [Value]) -> Query<'q> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Number(number) => query.bind(number.as_i64().expect("whole")),
        Value::String(text) => query.bind(text),
        other => query.bind(other.to_string()),
    })
}

/// A statement, the values of its parameters, and how it reads the jobs.
type Case = (&'static str, Vec<Value>, &'static [&'static str]);

fn cases() -> Vec<Case> {
    let now = 1_790_000_000_000_000_i64;
    let workers = r#"["worker_0","worker_1","worker_2"]"#;
    let take =
        |queue: &str| vec![json!(now), json!("node_1"), json!(4), json!(queue), json!(workers), json!(10)];
    let host = || vec![json!("host"), json!(0)];
    vec![
        (
            claim::STAGE,
            vec![json!("queue_3"), json!(now)],
            &["SEARCH claude_jobs USING INDEX claude_jobs_due (queue=? AND scheduled_at<?)"],
        ),
        (
            claim::TAKE,
            [take("queue_3"), host()].concat(),
            &[
                "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
            ],
        ),
        (
            claim::LOOK,
            vec![json!("queue_3"), json!("node_1"), json!("account")],
            &[
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_due (queue=?)",
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_claim (queue=?)",
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
            ],
        ),
        (
            limited::COUNT_EXECUTING,
            vec![json!("queue_3")],
            &["SEARCH claude_jobs USING COVERING INDEX claude_jobs_executing (queue=?)"],
        ),
        (
            limited::TAKE_KEYED_FIRST,
            [take("queue_3"), vec![json!(2)], host(), vec![json!(120)]].concat(),
            TAKE_KEYED_FIRST,
        ),
        (
            limited::TAKE_KEYED_FIRST,
            [take("keyed"), vec![json!(2)], host(), vec![json!(120)]].concat(),
            TAKE_KEYED_FIRST,
        ),
        (limited::TAKE_KEYED, [take("queue_3"), vec![json!(2)], host()].concat(), TAKE_KEYED),
        (limited::TAKE_KEYED, [take("keyed"), vec![json!(2)], host()].concat(), TAKE_KEYED),
        (
            query::HELD,
            vec![json!("queue_3"), json!("node_1")],
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_executing (queue=? AND node=?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (nodes::ORPHANS, vec![], &["SCAN claude_jobs USING INDEX claude_jobs_executing"]),
        (
            nodes::CANCEL_REQUESTS,
            vec![json!("node_1")],
            &["SCAN claude_jobs USING INDEX claude_jobs_executing"],
        ),
        (
            query::IS_BUSY,
            [vec![json!(r#"["queue_3","idle"]"#), json!(workers), json!(now)], host()].concat(),
            &[
                "SEARCH claude_jobs USING INDEX claude_jobs_executing (queue=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
                "SEARCH claude_jobs USING INDEX claude_jobs_due (queue=? AND scheduled_at<?)",
            ],
        ),
        (
            query::COUNTS,
            vec![],
            &[
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_over (state=?)",
                "SCAN claude_jobs USING COVERING INDEX claude_jobs_claim",
                "SCAN claude_jobs USING COVERING INDEX claude_jobs_keyed",
                "SCAN claude_jobs USING COVERING INDEX claude_jobs_due",
                "SCAN claude_jobs USING COVERING INDEX claude_jobs_executing",
            ],
        ),
        (
            insert::RELEASE_EXPIRED,
            vec![json!("unique_200"), json!(now)],
            &["SEARCH claude_jobs USING INDEX claude_jobs_unique (unique_key=?)"],
        ),
        (
            prune::PRUNE,
            vec![json!("completed"), json!(now), json!(100)],
            &[
                "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_finished (state=? AND finished_at>? AND finished_at<?)",
            ],
        ),
        (
            prune::PRUNABLE,
            vec![json!("completed"), json!(1_750_001_800_000_000_i64)],
            &[
                "SEARCH claude_jobs USING COVERING INDEX claude_jobs_finished (state=? AND finished_at>? AND finished_at<?)",
            ],
        ),
        (
            query::RUNS,
            vec![json!(500)],
            &["SEARCH claude_jobs_runs USING INDEX sqlite_autoindex_claude_jobs_runs_1 (job_id=?)"],
        ),
        (
            log::LOG,
            vec![json!(500), json!(1), json!(3), json!(100)],
            &["SEARCH claude_jobs_log USING PRIMARY KEY (job_id=? AND (attempt,number)>(?,?))"],
        ),
        (feed::RUNNING, vec![], &["SCAN claude_jobs USING INDEX claude_jobs_executing"]),
        (feed::END, vec![], &[]),
        (
            feed::LEDGER,
            vec![json!(19_000), json!(19_000), json!(0), json!(500)],
            &[
                "SEARCH run USING INTEGER PRIMARY KEY (rowid>?)",
                "SEARCH whose USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            ],
        ),
        (query::ERRORS, vec![json!(500)], &["SEARCH claude_jobs_errors USING PRIMARY KEY (job_id=?)"]),
        (ticks::IS_BUSY, vec![json!("entry")], &[]),
        (
            ticks::RELEASE_OWN,
            vec![json!("unique_200"), json!("entry")],
            &["SEARCH claude_jobs USING INDEX claude_jobs_unique (unique_key=?)"],
        ),
    ]
}

const TAKE_KEYED_FIRST: &[&str] = &[
    "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH claude_jobs USING INDEX claude_jobs_keyed_first (queue=? AND priority>?)",
    "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keys_in_use (concurrency_key=?)",
    "USE TEMP B-TREE FOR ORDER BY", // of the first ones of each key
    "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
    "USE TEMP B-TREE FOR ORDER BY", // of those and the first few without a key
];

const TAKE_KEYED: &[&str] = &[
    "SEARCH claude_jobs USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
    "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keyed (queue=? AND concurrency_key>?)",
    "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keys_in_use (concurrency_key=?)",
    "SEARCH claude_jobs USING INDEX claude_jobs_keyed (queue=? AND concurrency_key=?)",
    "SEARCH claude_jobs USING COVERING INDEX claude_jobs_keys_in_use (concurrency_key=?)",
    "USE TEMP B-TREE FOR ORDER BY", // of the first few of each key
    "SEARCH claude_jobs USING INDEX claude_jobs_claim (queue=?)",
    "USE TEMP B-TREE FOR ORDER BY", // of those and the first few without a key
];
