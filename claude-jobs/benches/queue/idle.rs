//! W6: what a runtime costs that has nothing to do. It is a process of its own, so that its memory is its
//! own: this program again, with another argument.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claude_jobs::{Queue, Runtime};

use crate::database::{Databases, cpu_of};
use crate::measurement::Measurement;
use crate::settings::Sizes;
use crate::worker::{NoClaude, QUEUE, Tracker};
use crate::workloads::{adaptive, measurement};

const ARGUMENT: &str = "--idle-runtime";

/// The database of the idle runtime that this process shall be, if it shall be one.
pub(crate) fn requested() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next().as_deref() == Some(ARGUMENT)).then(|| arguments.next().unwrap_or_default())
}

/// Is an idle runtime until standard input ends.
pub(crate) async fn serve(url: &str) {
    let queue = Queue::connect(url).await.expect("the database is there");
    let runtime =
        Runtime::builder(queue).queue(QUEUE, adaptive(10)).claude(NoClaude::new(&Tracker::new(1, 1)));
    let end = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().count());
    println!("ready");
    runtime.run_until(async { drop(end.await) }).await.expect("it runs");
}

pub(crate) async fn measure(databases: &mut Databases, sizes: &Sizes) -> Vec<Measurement> {
    let url = databases.fresh().await;
    let mut process = start(&url);
    let [settling, length] = sizes.idle.map(Duration::from_secs);
    tokio::time::sleep(settling).await;

    let id = process.id().to_string();
    let (start, transactions) = (Instant::now(), databases.transactions(&url));
    let (cpu, server) = (cpu_of(&id, 2), databases.server_cpu());
    tokio::time::sleep(length).await;
    let seconds = start.elapsed().as_secs_f64();
    let mut values = vec![
        ("CPU % of a core", (cpu_of(&id, 2) - cpu) / seconds * 100.0),
        ("server CPU % of a core", (databases.server_cpu() - server) / seconds * 100.0),
        ("resident MiB", resident(&id)),
    ];
    if let (Some(before), Some(after)) = (transactions, databases.transactions(&url)) {
        values.push(("transactions/s", (after - before) / seconds));
    }
    drop(process.stdin.take());
    assert!(process.wait().expect("it is our child").success(), "the idle runtime ends in order");
    databases.remove(&url);
    vec![measurement(databases, "w6 idle", values)]
}

fn start(url: &str) -> Child {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut process = Command::new(program)
        .args([ARGUMENT, url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let output = process.stdout.take().expect("it was asked to be a pipe");
    let line = BufReader::new(output).lines().next();
    assert_eq!(line.expect("it says when it is ready").expect("it prints text"), "ready");
    process
}

/// Resident memory in MiB.
fn resident(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
