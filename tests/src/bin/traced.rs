//! A runtime in a process of its own that runs what is due: `traced URL CLAUDE [with-tracing]`. With tracing,
//! a real OpenTelemetry is connected, and at its end it prints each span as a line of JSON.

use std::process::ExitCode;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::watching::Exporter;

/// Has the name and the fields of the tests' worker: where it is told to, another job follows.
#[claude_worker(queue = "traced", name = "Traced", max_attempts = 3, prompt = "Follows: {follows}")]
struct Traced {
    follows: bool,
}

impl Handler for Traced {
    async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        if self.follows {
            cx.enqueue(Traced::new(false));
        }
        Ok(Verdict::Complete)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, claude, with_tracing @ ..] = &arguments[..] else {
        eprintln!("usage: traced URL CLAUDE [with-tracing]");
        return ExitCode::from(2);
    };
    let exporter = (with_tracing == ["with-tracing"]).then(Exporter::install);
    let queue = Queue::connect(url).await.expect("the database is there");
    let claude = ClaudeCli::builder().binary(claude).build();
    Runtime::builder(queue).queue("traced", 1).claude(claude).drain().await.expect("it drains");
    for span in exporter.iter().flat_map(Exporter::spans) {
        println!("{}", serde_json::to_string(&span).expect("plain data"));
    }
    ExitCode::SUCCESS
}
