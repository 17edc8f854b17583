//! The throwaway PostgreSQL server works.

use claude_jobs_tests::postgres::database;

#[test]
fn each_database_is_fresh() {
    let (first, second) = (database(), database());
    assert_eq!(first.psql("select 1"), "1");

    first.psql("create table seen (id int)");
    assert_eq!(second.psql("select count(*) from pg_tables where tablename = 'seen'"), "0");
    assert!(first.url().starts_with("postgres://"));
    assert_ne!(first.url(), second.url());
}
