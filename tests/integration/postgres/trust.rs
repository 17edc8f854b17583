//! Who may connect, and by what: passwords that are checked, and TLS.

use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::{private_database, tls_database};

use crate::workers::Plain;

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let database = private_database();
    database.psql("create role guarded login password 'right'; grant create on database postgres to guarded");
    let rules = database.psql("show hba_file");
    let others = std::fs::read_to_string(&rules).expect("the server's rules");
    std::fs::write(&rules, format!("local all guarded scram-sha-256\n{others}")).expect("the server's rules");
    database.psql("select pg_reload_conf()");

    let with = |user: &str| database.url().replace("postgres://postgres@", &format!("postgres://{user}@"));
    // The server reads its rules when it comes to it.
    let refused = loop {
        if let Err(error) = Queue::connect(&with("guarded:hunter2")).await {
            break error;
        }
    };
    for refused in [refused, Queue::connect(&with("guarded")).await.expect_err("no password")] {
        let error = format!("{refused} {refused:?}");
        assert!(error.contains("check user and password"), "{error}");
        assert!(error.contains("postgres://guarded@") && !error.contains("hunter2"), "{error}");
    }
    let queue = Queue::connect(&with("guarded:right")).await.expect("the right password");
    Plain::new("hello").insert(&queue).await.expect("it may write");
}

#[tokio::test]
async fn who_asks_for_tls_gets_it_or_is_told_why_not() {
    let (database, certificate) = tls_database();
    let certificate = certificate.display();
    let by_socket = format!("{}&sslmode=require", database.url());
    let error = Queue::connect(&by_socket).await.expect_err("a socket has no TLS").to_string();
    assert!(error.contains("server does not support TLS") && error.contains("another `sslmode`"), "{error}");

    let url = database.url_by_own_port();
    let error =
        Queue::connect(&format!("{url}?sslmode=verify-full")).await.expect_err("an unknown certificate");
    assert!(error.to_string().contains("give `sslrootcert=FILE`"), "{error}");

    let verified = format!("sslmode=verify-full&sslrootcert={certificate}");
    let other_name = url.replace("localhost", "127.0.0.1");
    let error = Queue::connect(&format!("{other_name}?{verified}")).await.expect_err("another name");
    assert!(error.to_string().contains("another `sslmode`"), "{error}");

    for parameters in ["sslmode=require", &verified] {
        let queue = Queue::connect(&format!("{url}?{parameters}")).await.expect(parameters);
        Plain::new("hello").insert(&queue).await.expect("valid");
        let encrypted = "select count(*) > 0 and bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
            where client_addr is not null";
        assert_eq!(database.psql(encrypted), "t");
    }
}
