//! Connecting: migrations by many at once, schemas, what is said when it cannot be done.

use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::database;
use futures_util::future::join_all;

use super::Server;
use crate::workers::Plain;

#[tokio::test]
async fn many_may_open_a_new_database_at_once() {
    let database = database();
    let url = database.url();
    let opened = join_all((0..16).map(|_| Queue::connect(&url))).await;
    for queue in opened {
        Plain::new("hello").insert(&queue.expect("one migrates, the others wait")).await.expect("tables");
    }
    assert_eq!(database.psql("select count(*), count(distinct id) from claude_jobs.jobs"), "16|16");
    assert_eq!(database.psql("select count(*) from claude_jobs.migrations"), "1");
    assert_eq!(database.psql("select count(*) from claude_jobs.meta where key = 'database_id'"), "1");
}

#[tokio::test]
async fn only_its_own_schema_is_touched() {
    let database = database();
    database.psql(
        "create table jobs (id int); create schema other; create table other.jobs (id int); \
         do $$ begin execute format('alter database %I set search_path = other', current_database()); end $$",
    );
    let both = database.url();
    let first = Queue::connect(&format!("{both}&schema=first")).await.expect("a schema of its own");
    // A reserved word, and the name of nothing that is ours.
    let second = Queue::connect(&format!("{both}&schema=order")).await.expect("a schema of its own");
    Plain::new("hello").insert(&first).await.expect("tables");
    assert!(second.counts().await.expect("a read").is_empty());
    assert_eq!(database.psql("select (select count(*) from jobs) + (select count(*) from other.jobs)"), "0");
    assert_eq!(database.psql("select count(*) from first.jobs"), "1");
    let schemas = "select string_agg(nspname, ' ' order by nspname) from pg_namespace \
        where nspname not like 'pg_%' and nspname <> 'information_schema'";
    assert_eq!(database.psql(schemas), "first order other public");
    let types = "select count(*) from pg_type where typnamespace = 'public'::regnamespace";
    assert_eq!(database.psql(types), "2", "the user's own table, and an array of it");
}

#[tokio::test]
async fn a_row_written_by_hand_is_a_job() {
    let server = Server::new().await;
    server.database.psql("insert into claude_jobs.jobs (queue, worker) values ('tests', 'Plain')");
    let jobs = server.queue.list(&claude_jobs::engine::Filter::default()).await.expect("a read");
    assert_eq!((jobs.len(), jobs[0].state, jobs[0].max_attempts), (1, State::Available, 3));
    assert_eq!(jobs[0].damage, None);
    server
        .database
        .psql("update claude_jobs.jobs set tags = '\"x\"', args = '[1]', scheduled_at = 'infinity'");
    let filter = {
        let mut filter = claude_jobs::engine::Filter::default();
        filter.tag = Some("x".to_owned());
        filter
    };
    assert!(server.queue.list(&filter).await.expect("a read").is_empty(), "no list of tags");
    let job = server.queue.get(jobs[0].id).await.expect("a read").expect("the job");
    assert_eq!(job.damage.as_deref(), Some("column `args` is not a JSON object"));
}

#[tokio::test]
async fn who_may_not_make_tables_can_use_them() {
    let server = Server::new().await;
    let name = server.database.psql("select current_database()");
    let role = format!("guest_{name}");
    server.database.psql(&format!("create role {role} login password 'secret'"));
    let url = server.url().replace("postgres://postgres@", &format!("postgres://{role}:secret@"));

    let error = Queue::connect(&format!("{url}&schema=mine")).await.expect_err("no right").to_string();
    assert!(error.contains(&format!("postgres://{role}@")), "{error}");
    assert!(error.contains("CREATE SCHEMA mine AUTHORIZATION"), "{error}");
    assert!(!error.contains("secret"), "{error}");

    server.database.psql(&format!(
        "grant usage on schema claude_jobs to {role}; \
         grant select, insert, update, delete on all tables in schema claude_jobs to {role}"
    ));
    let queue = Queue::connect(&url).await.expect("the tables are there");
    Plain::new("hello").insert(&queue).await.expect("it may write");
    drop(queue);
    server.database.psql(&format!("drop owned by {role}; drop role {role}"));
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_left_alone() {
    let server = Server::new().await;
    server.database.psql("insert into claude_jobs.migrations values (1000)");
    let error = Queue::connect(&server.url()).await.expect_err("newer").to_string();
    assert!(error.contains("schema version 1000") && error.contains("upgrade"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_a_url_is_said_without_its_password() {
    let server = Server::new().await;
    let url = server.url();
    let socket = url.split_once("host=").expect("a socket").1.to_owned();
    let cases = [
        ("postgres://me:hunter2@127.0.0.1:1/db".to_owned(), "no server answers there"),
        ("postgres://me:hunter2@no.such.host.invalid/db".to_owned(), "no server answers there"),
        (format!("postgres://postgres:hunter2@localhost/nothing?host={socket}"), "createdb nothing"),
        (format!("postgres://nobody:hunter2@localhost/postgres?host={socket}"), "check user and password"),
        ("postgres://me:hunter2@host/db?schema=Mine".to_owned(), "schema `Mine`"),
        ("postgres://me:hunter2@host:port/db".to_owned(), "percent-encoded"),
        ("mysql://me:hunter2@host/db".to_owned(), "write `sqlite://path/to/jobs.db` or `postgres://"),
    ];
    for (url, expected) in cases {
        let error = Queue::connect(&url).await.expect_err(expected);
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{expected} not in {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let with_password = url.replace("postgres@", "postgres:hunter2@");
    let queue = Queue::connect(&with_password).await.expect("the server trusts everybody");
    assert!(!format!("{queue:?}").contains("hunter2"));
}

/// A role that may read everything and write nothing.
#[tokio::test]
async fn a_role_that_may_not_write_is_told_what_it_lacks() {
    let server = Server::new().await;
    let role = format!("reader_{}", std::process::id());
    server.database.psql(&format!(
        "create role {role} login; grant usage on schema claude_jobs to {role}; \
         grant select on all tables in schema claude_jobs to {role}"
    ));
    let url = server.database.url();
    let (_, place) = url.split_once('@').expect("user and place");
    let url = format!("postgres://{role}@{place}");
    let queue = Queue::connect(&url).await.expect("it may read");
    assert!(queue.counts().await.expect("a read").is_empty());
    let error = Plain::new("hello").insert(&queue).await.expect_err("it may not write").to_string();
    assert!(error.contains("permission denied") && error.contains("grant this role"), "{error}");
    let doctor =
        std::process::Command::new(env!("CARGO_BIN_EXE_jobs")).args(["doctor", "--database", &url]).output();
    let told = String::from_utf8(doctor.expect("it starts").stdout).expect("UTF-8");
    assert!(told.contains("this role has no INSERT, UPDATE, DELETE on \"claude_jobs\".accounts; "), "{told}");
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_jobs"))
        .args(["jobs", "list", "--database", &url])
        .status();
    assert!(listed.expect("it starts").success(), "it may look");
    server.database.psql(&format!("drop owned by {role}; drop role {role}"));
}
