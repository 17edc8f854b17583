//! The real CLI against the stand-in of the API: the facts on which the product is built
//! (`claude-cli.md`), so that a new version of the CLI shows here first.

mod failures;
mod finished;
mod rights;
mod startup;

use std::path::PathBuf;

use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::invocation::{Finished, Invocation};
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;
use serde_json::Value;

/// A sandbox with a git repository and a stand-in, ready for runs of the CLI.
struct Stage {
    claude: RealClaude,
    sandbox: Sandbox,
    repo: PathBuf,
    api: Api,
}

impl Stage {
    fn new(claude: RealClaude, replies: impl IntoIterator<Item = Reply>) -> Stage {
        let sandbox = Sandbox::new();
        let repo = sandbox.git_repo();
        Stage { claude, sandbox, repo, api: Api::start(replies) }
    }

    fn env(&self) -> Vec<(String, String)> {
        self.sandbox.env(&self.api.url())
    }

    async fn run(&self, arguments: &[&str], prompt: &str) -> Finished {
        Invocation::new(self.claude, &self.repo, self.env(), arguments).run(prompt).await
    }

    /// A run with an OAuth token in place of the key.
    async fn run_oauth(&self, prompt: &str) -> Finished {
        let env = self.sandbox.oauth_env(&self.api.url());
        Invocation::new(self.claude, &self.repo, env, &[]).run(prompt).await
    }
}

/// The library's two numbers, what `tests/run` installs and the modules that `on_each_claude` makes agree.
#[test]
fn the_supported_versions_are_the_ones_that_are_installed() {
    for claude in RealClaude::ALL {
        assert_eq!(claude.number(), claude.supported());
    }
    assert_ne!(RealClaude::named("v2_1_309"), RealClaude::named("v2_1_332"));
}

/// What the runs since the last result cost: the only per-run cost, as `total_cost_usd` adds up over
/// resumes.
fn cost_of_run(result: &Value) -> f64 {
    let models = result["model_usage_since_last_result"].as_object().expect("every result has it");
    models.values().filter_map(|model| model["costUSD"].as_f64()).sum()
}
