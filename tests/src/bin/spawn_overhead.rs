//! What the supervisor costs: the same trivial run through the wrapper alone and under a supervisor, in
//! turn, and the memory of the two processes of a supervised run.
//!
//! `cargo run --release -p claude-jobs-tests --bin spawn_overhead`

#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use claude_jobs::claude::{Claude, ClaudeCli, Request};
use claude_jobs::options::{ArgMap, Options};
use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::{processes_with_env, wait_until};
use claude_jobs_tests::script::Take;
use claude_wrapper::streaming::stream_query_cancellable;
use claude_wrapper::{OutputFormat, QueryCommand};

const RUNS: usize = 200;

/// Ends at once, prints nothing.
const PROGRAM: &str = "/bin/true";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be started").block_on(async {
        let claude = ClaudeCli::builder().binary(PROGRAM).build();
        let (mut bare, mut supervised) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            bare.push(time(run_bare(&claude)).await);
            supervised.push(time(run_supervised(&claude)).await);
        }
        let (bare, supervised) = (Spread::of(bare), Spread::of(supervised));
        println!("bare       {bare}");
        println!("supervised {supervised}");
        println!("overhead   {:.2} ms (medians)", (supervised.median - bare.median) * 1000.0);
        memory().await;
    });
}

async fn time(run: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    run.await;
    start.elapsed()
}

async fn run_bare(claude: &ClaudeCli) {
    let wrapper = claude_wrapper::Claude::builder()
        .binary(PROGRAM)
        .clear_env()
        .envs(claude.environment().clone())
        .build()
        .expect("a path is given");
    let query = QueryCommand::new("Hello.").prompt_via_stdin(true).output_format(OutputFormat::StreamJson);
    // Its end before it has read the prompt may break the pipe.
    let _ = stream_query_cancellable(&wrapper, &query, std::future::pending(), |_| {}).await;
}

async fn run_supervised(claude: &ClaudeCli) {
    let report = claude.run(request("overhead")).await.expect("a report");
    assert_eq!(report.ending, Ending::Exited(0));
}

fn request(marker: &str) -> Request {
    let options = Options::merge([&ArgMap::new().prompt("Hello.")]).expect("a prompt is enough");
    let mut request = Request::new(options);
    request.marker = Some(format!("{}.{marker}", std::process::id()));
    request
}

/// Prints what the front and the supervisor of a hanging run take.
async fn memory() {
    let fake = FakeClaude::new([Take::hang()]);
    let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
    let request = request("memory");
    let marker = format!("CLAUDE_JOBS_RUN={}", request.marker.as_deref().unwrap_or_default());
    let stop = request.stop.clone();
    let running =
        tokio::spawn(async move { claude.run(request).await.map(drop).map_err(|error| error.to_string()) });
    let started = || processes_with_env(&marker).len() == 3 && !fake.records().is_empty();
    wait_until(Duration::from_secs(10), "the run", started).await;
    for id in processes_with_env(&marker) {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        if name.starts_with("claude-jobs") {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let kib = |field: &str| {
                let line = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
                line.trim_start_matches(':').trim().to_owned()
            };
            println!(
                "{:16} resident {:>9}, its share {:>9}, its own {:>9}",
                name.trim(),
                kib("Rss"),
                kib("Pss"),
                kib("Private_Dirty")
            );
        }
    }
    stop.fire(StopReason::Cancel);
    running.await.expect("it does not panic").expect("a report");
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Spread {
        times.sort_unstable();
        let at = |place: usize| times[place].as_secs_f64();
        Spread { least: at(0), median: at(times.len() / 2), most: at(times.len() - 1) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [least, median, most] = [self.least, self.median, self.most].map(|seconds| seconds * 1000.0);
        write!(formatter, "{least:6.2} / {median:6.2} / {most:6.2} ms (least / median / most of {RUNS})")
    }
}
