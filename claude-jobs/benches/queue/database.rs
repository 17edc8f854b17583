//! Fresh databases, copies of filled ones, and what the server has used.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_jobs::Queue;
use claude_jobs_tests::postgres;
use sqlx::{Connection, Executor};
use tempfile::TempDir;

use crate::worker::new_job;

/// Where jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const ALL: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// The databases of one engine; gone when dropped.
pub(crate) struct Databases {
    pub(crate) engine: Engine,
    place: Place,
    /// How many were made.
    made: usize,
    /// The filled databases that others are copied from.
    templates: HashSet<String>,
}

enum Place {
    Folder(TempDir),
    Server(Server),
}

/// A PostgreSQL server.
struct Server {
    /// Any database of it.
    url: String,
    /// The first process, where it is one of this machine.
    process: Option<u32>,
    /// Keeps a server of our own alive.
    _ours: Option<postgres::Database>,
}

/// What to fill a database with.
#[derive(Clone, Copy)]
pub(crate) struct Content {
    pub(crate) completed: u64,
    pub(crate) waiting: u64,
}

impl Databases {
    pub(crate) fn start(engine: Engine) -> Databases {
        let place = match engine {
            Engine::Sqlite => {
                Place::Folder(tempfile::tempdir().expect("the temporary folder can be written"))
            }
            Engine::Postgres => Place::Server(Server::start()),
        };
        Databases { engine, place, made: 0, templates: HashSet::new() }
    }

    /// An empty database.
    pub(crate) async fn fresh(&mut self) -> String {
        self.made += 1;
        let name = format!("bench_{}_{}", std::process::id(), self.made);
        let url = match &self.place {
            Place::Folder(folder) => format!("sqlite://{}", folder.path().join(&name).display()),
            Place::Server(server) => {
                server.psql(&format!("create database {name}"));
                server.url_of(&name)
            }
        };
        // The tables are made before anything is measured.
        connect(&url).await;
        url
    }

    /// Removes a database that is no longer needed.
    pub(crate) fn remove(&self, url: &str) {
        match &self.place {
            Place::Folder(_) => {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{suffix}", sqlite_file(url)));
                }
            }
            Place::Server(server) => {
                server.psql(&format!("drop database {} with (force)", database_name(url)));
            }
        }
    }

    /// A database of this content: filled the first time, then copied.
    pub(crate) async fn filled(&mut self, content: Content) -> String {
        let name = format!("filled_{}_{}_{}", std::process::id(), content.completed, content.waiting);
        if self.templates.insert(name.clone()) {
            let template = self.fresh().await;
            fill(&template, content).await;
            self.tidy(&template).await;
            self.rename(&template, &name);
        }
        self.made += 1;
        let copy = format!("bench_{}_{}", std::process::id(), self.made);
        match &self.place {
            Place::Folder(folder) => {
                let file = folder.path().join(&copy);
                fs::copy(folder.path().join(&name), &file).expect("the temporary folder can be written");
                fs::File::open(&file).and_then(|file| file.sync_all()).expect("it can be synced");
                format!("sqlite://{}", file.display())
            }
            Place::Server(server) => {
                server.psql(&format!("create database {copy} template {name} strategy file_copy"));
                let url = server.url_of(&copy);
                // Into the cache, the same way for everyone.
                psql(&url, "select count(*) from claude_jobs.jobs");
                psql(&url, "checkpoint");
                url
            }
        }
    }

    fn rename(&self, url: &str, name: &str) {
        match &self.place {
            Place::Folder(folder) => {
                fs::rename(sqlite_file(url), folder.path().join(name)).expect("the same folder");
            }
            Place::Server(server) => {
                server.psql(&format!("alter database {} rename to {name}", database_name(url)));
            }
        }
    }

    /// Brings a filled database to rest: statistics made, everything written out.
    async fn tidy(&self, url: &str) {
        match &self.place {
            Place::Folder(_) => {
                let mut connection = sqlite(url).await;
                connection.execute("pragma wal_checkpoint(truncate)").await.expect("a checkpoint");
                connection.close().await.expect("it closes");
            }
            Place::Server(_) => {
                psql(url, "vacuum analyze");
                psql(url, "checkpoint");
            }
        }
    }

    /// What the server has used so far, in seconds of CPU: its first process, its dead and living children.
    pub(crate) fn server_cpu(&self) -> f64 {
        match &self.place {
            Place::Folder(_) => 0.0,
            Place::Server(server) => server.process.map_or(0.0, cpu_of_family),
        }
    }

    /// How many transactions a database has seen; for SQLite nobody counts.
    pub(crate) fn transactions(&self, url: &str) -> Option<f64> {
        let Place::Server(server) = &self.place else { return None };
        let name = database_name(url);
        let sql =
            format!("select xact_commit + xact_rollback from pg_stat_database where datname = '{name}'");
        server.psql(&sql).parse().ok()
    }
}

impl Server {
    fn start() -> Server {
        let (url, ours) = match std::env::var("DATABASE_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                let ours = postgres::durable_database();
                (ours.url(), Some(ours))
            }
        };
        // The checkpointer always lives; its parent is the first process.
        let checkpointer = psql(&url, "select pid from pg_stat_activity where backend_type = 'checkpointer'");
        let process = stat(&checkpointer).and_then(|fields| fields.get(1)?.parse().ok());
        let is_here = |id: &u32| {
            fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.starts_with("postgres"))
        };
        Server { url, process: process.filter(is_here), _ours: ours }
    }

    /// The URL of another database of the server.
    fn url_of(&self, name: &str) -> String {
        let own = database_name(&self.url);
        let (scheme, rest) = self.url.split_once("://").expect("a URL");
        format!("{scheme}://{}", rest.replacen(&format!("/{own}"), &format!("/{name}"), 1))
    }

    fn psql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

/// Opens a database and closes it again.
async fn connect(url: &str) {
    Queue::connect(url).await.unwrap_or_else(|error| panic!("{error}"));
}

async fn fill(url: &str, content: Content) {
    let queue = Queue::connect(url).await.expect("it was opened before");
    insert(&queue, 0, content.completed).await;
    if content.completed > 0 {
        complete(url).await;
    }
    insert(&queue, 0, content.waiting).await;
}

async fn insert(queue: &Queue, from: u64, to: u64) {
    const BATCH: u64 = 10_000;
    for start in (from..to).step_by(BATCH as usize) {
        let jobs = (start..to.min(start + BATCH)).map(new_job);
        queue.insert_many(jobs).await.expect("the jobs are valid");
    }
}

/// Makes all jobs completed. To run them would take minutes and leave the same rows.
async fn complete(url: &str) {
    const CHANGE: &str =
        "set state = 'completed', attempt = 1, attempted_at = scheduled_at, finished_at = scheduled_at";
    if url.starts_with("sqlite") {
        let mut connection = sqlite(url).await;
        let sql = format!("update claude_jobs {CHANGE}");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("the columns are there");
        connection.close().await.expect("it closes");
    } else {
        psql(url, &format!("update claude_jobs.jobs {CHANGE}"));
        // As if they had been completed one after another: without a dead row for each.
        psql(url, "vacuum full claude_jobs.jobs");
    }
}

async fn sqlite(url: &str) -> sqlx::SqliteConnection {
    sqlx::SqliteConnection::connect(url).await.expect("it was opened before")
}

fn sqlite_file(url: &str) -> &str {
    url.trim_start_matches("sqlite://")
}

/// The name of the database in a PostgreSQL URL.
fn database_name(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (place, _) = rest.split_once('?').unwrap_or((rest, ""));
    place.rsplit_once('/').map_or("", |(_, name)| name)
}

/// Runs SQL with `psql` and returns the bare rows.
fn psql(url: &str, sql: &str) -> String {
    let program: PathBuf = postgres::programs().join("psql");
    let output = Command::new(program)
        .args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            url,
        ])
        .output()
        .expect("psql can be started");
    assert!(output.status.success(), "{sql}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// The CPU that a process, its dead children and its living children have used, in seconds.
fn cpu_of_family(process: u32) -> f64 {
    let own = cpu_of(&process.to_string(), 4);
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    own + children.split_whitespace().map(|child| cpu_of(child, 2)).sum::<f64>()
}

/// The CPU that this process has used, in seconds.
pub(crate) fn own_cpu() -> f64 {
    cpu_of("self", 2)
}

/// `utime`, `stime` and, of four, those of the dead children.
pub(crate) fn cpu_of(process: &str, fields: usize) -> f64 {
    const TICKS: f64 = 100.0;
    let times = stat(process).unwrap_or_default();
    let ticks = times.iter().skip(11).take(fields).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

/// The fields of `/proc/<process>/stat` from the state on.
fn stat(process: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(Path::new("/proc").join(process).join("stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
