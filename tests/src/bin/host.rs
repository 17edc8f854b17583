//! A program that uses claude-jobs to run one request, for tests that kill or stop it.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claude_jobs::claude::{Claude, ClaudeCli, Request};
use claude_jobs::clock::Uptime;
use claude_jobs::options::{ArgMap, Options};
use claude_jobs_tests::host::{Order, Summary};

#[tokio::main]
async fn main() {
    let order = std::env::args().nth(1).expect("the order is the first argument");
    let order: Order = serde_json::from_str(&order).expect("an order is JSON");
    if order.without_its_file {
        let file = std::env::current_exe().expect("a running program has a file");
        std::fs::remove_file(file).expect("the test has made it for this");
    }
    let mut builder = ClaudeCli::builder().binary(&order.binary).grace(Duration::from_millis(order.grace_ms));
    if order.without_helper {
        builder = builder.without_helper();
    }
    for (name, value) in &order.env {
        builder = builder.env(name, value);
    }
    let claude = builder.build();
    let args: ArgMap = serde_json::from_value(order.args.into()).expect("args are an object");
    let options = Options::merge([&args.prompt(&order.prompt)]).expect("the options are valid");
    let mut request = Request::new(options);
    request.marker = Some(order.marker);
    if let Some(millis) = order.lease_ms {
        let lease = request.lease.clone();
        let length = Duration::from_millis(millis);
        lease.extend(Uptime::now().plus(length));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(length / 10).await;
                lease.extend(Uptime::now().plus(length));
            }
        });
    }
    let has_started = AtomicBool::new(false);
    request.observer = Some(Arc::new(move |_| {
        if !has_started.swap(true, Ordering::SeqCst) {
            println!("started");
        }
    }));
    let before_kib = peak_kib();
    let report = claude.run(request).await.expect("the command line answers with a report");
    let ending = report.ending.to_string();
    let summary = Summary { ending, events: report.events, peak_kib: peak_kib(), before_kib };
    println!("{}", serde_json::to_string(&summary).expect("a summary is plain data"));
}

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}
