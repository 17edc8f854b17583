//! The `work` command under limits of open files.

use std::process::{Command, Stdio};

use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;

/// How so many jobs end, run at once under this limit of open files; and what is said of it.
fn under(limit: &str, count: u32) -> (Vec<serde_json::Value>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let fake = FakeClaude::new([Take::success("done")]);
    let database = format!("sqlite://{}/jobs.db", folder.path().display());
    let jobs = |arguments: &[&str]| {
        let script = format!(r#"{limit}; exec "$0" "$@""#);
        let output = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_jobs")])
            .args(arguments)
            .env("CLAUDE_JOBS_DATABASE", &database)
            .stdin(Stdio::null())
            .output()
            .expect("bash is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), said)
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        use sqlx::{Connection, Executor};
        drop(Queue::connect(&database).await.expect("a new database"));
        let mut connection = sqlx::SqliteConnection::connect(&database).await.expect("it is there");
        let rows = format!(
            "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO claude_jobs (queue, worker, args) SELECT 'default', 'claude', '{{\"prompt\": \"x\"}}' FROM n"
        );
        connection.execute(sqlx::AssertSqlSafe(rows)).await.expect("rows");
    });
    let queue = format!("default={count}");
    let binary = fake.path().display().to_string();
    let (_, said) = jobs(&["work", "--queue", &queue, "--drain", "--binary", &binary]);
    let (list, _) = jobs(&["jobs", "list", "--json", "--limit", "1000"]);
    (serde_json::from_str(&list).expect("JSON"), said)
}

/// As on a machine whose hard limit is low: fewer at a time, each in its first attempt, said once. Where only the soft
/// limit is low, it is raised.
#[test]
fn few_file_descriptors_mean_fewer_runs_at_once() {
    for (limit, count, warnings) in [("ulimit -n 256", 200, 1), ("ulimit -Sn 64; ulimit -Hn 4096", 20, 0)] {
        let (list, said) = under(limit, count);
        let first = |job: &&serde_json::Value| job["state"] == "completed" && job["attempt"] == 1;
        assert_eq!(list.iter().filter(first).count(), count as usize, "{limit}: {said}");
        assert_eq!(said.matches("fewer jobs run at once").count(), warnings, "{limit}: {said}");
    }
}
