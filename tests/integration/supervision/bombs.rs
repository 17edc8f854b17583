//! Tools that multiply or run away.

use std::time::Instant;

use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::wait_until;
use claude_jobs_tests::script::{Step, Take};

use super::{LIMIT, MADE, SOON, Start, processes};

/// Each process forks two, nine levels deep: 511 of them and a sleep each. None minds SIGTERM.
const BOMB: &str = "trap '' TERM INT HUP; bomb() { \
    [ $1 -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; sleep 60; }; bomb 8";

/// Forks and lets the parent die, again and again, 100,000 times: a new process id every moment. It
/// opens sessions as it goes.
const RUNAWAY: &str = "$SIG{TERM} = $SIG{INT} = $SIG{HUP} = 'IGNORE'; use POSIX; \
    for (1 .. 100000) { my $child = fork; exit 0 if $child; POSIX::setsid() if $_ % 7 == 0; } sleep 60";

/// Eight at once that fork children without end and never wait for them, up to 500 each.
const SPRAY: &str = "$SIG{TERM} = $SIG{CHLD} = 'IGNORE'; fork for 1 .. 3; \
    for (1 .. 500) { my $child = fork; if (defined $child && !$child) { sleep 60; exit } \
    select undef, undef, undef, 0.0005 } sleep 60";

fn tool(words: &[&str]) -> Take {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Take::hang().then(Step::Tool(words))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_gone_soon() {
    let cases = [
        ("bomb", &["setsid", "sh", "-c", BOMB][..], 500),
        ("runaway", &["perl", "-e", RUNAWAY], 4),
        ("spray", &["setsid", "perl", "-e", SPRAY], 500),
    ];
    for (made, (name, words, at_least)) in MADE.into_iter().flat_map(|made| cases.map(|case| (made, case))) {
        let fake = FakeClaude::new([tool(words)]);
        let running = Start::of(fake.path()).made(made).go();
        let marker = running.marker.clone();
        wait_until(SOON, name, || processes(&marker).len() >= at_least).await;
        let count = processes(&marker).len();
        running.stop.fire(StopReason::Cancel);
        let start = Instant::now();
        assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Cancel));
        let took = start.elapsed();
        assert_eq!(processes(&marker), [0; 0]);
        println!("{name}, {made:?}: {count} processes gone after {} ms", took.as_millis());
        assert!(took < LIMIT, "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_runaway_does_not_outlive_a_normal_end() {
    let take = Take::success("Done.").then(Step::Tool(vec!["perl".into(), "-e".into(), RUNAWAY.into()]));
    let fake = FakeClaude::new([take]);
    let start = Instant::now();
    let (report, marker) = Start::of(fake.path()).run().await;
    assert_eq!(report.ending, Ending::Exited(0));
    assert_eq!(processes(&marker), [0; 0]);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
