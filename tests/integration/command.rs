//! The `claude-jobs` command, as a process: enqueue, work, look, with the real CLI against the
//! stand-in of the API, and with a scripted claude where the real one cannot be made to fail so.

mod bad_input;
mod crash;
mod live;
mod looking;
mod program;
mod prune;
mod reach;
mod real_cli;
mod retry;
mod secrets;
mod tail;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;
use serde_json::Value;

/// A machine with a repository, a database and a claude.
struct Machine {
    sandbox: Sandbox,
    repo: PathBuf,
    env: Vec<(String, String)>,
}

impl Machine {
    /// With this executable as `claude`, and no API.
    fn with_claude(claude: &Path) -> Machine {
        let sandbox = Sandbox::new();
        let repo = sandbox.git_repo();
        // Port 9 is nobody's: a fake claude asks no API.
        let mut env = sandbox.env("http://127.0.0.1:9");
        let bin = sandbox.folder("bin");
        std::os::unix::fs::symlink(claude, bin.join("claude")).expect("a link");
        for (name, value) in &mut env {
            if name == "PATH" {
                *value = format!("{}:{value}", bin.display());
            }
        }
        env.push(("CLAUDE_JOBS_DATABASE".into(), format!("sqlite://{}/jobs.db", sandbox.path().display())));
        Machine { sandbox, repo, env }
    }

    /// With the real CLI, talking to this API.
    fn with_api(claude: RealClaude, api: &Api) -> Machine {
        let mut machine = Machine::with_claude(&claude.path());
        machine.set("ANTHROPIC_BASE_URL", &api.url());
        machine
    }

    fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.env.push((name.into(), value.into()));
    }

    fn unset(&mut self, name: &str) {
        self.env.retain(|(key, _)| key != name);
    }

    /// The command with these arguments, ready to be started.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
        command
            .args(arguments)
            .current_dir(self.sandbox.path())
            .env_clear()
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// Runs it, expects success, and reads the JSON it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Enqueues a job for the repository; its id.
    fn enqueue(&self, prompt: &str, flags: &[&str]) -> String {
        let repo = self.repo.to_str().expect("UTF-8");
        let mut arguments = vec!["enqueue", prompt, "--json", "--working-dir", repo];
        arguments.extend(flags);
        self.json(&arguments)["id"].to_string()
    }

    /// Runs what is due.
    fn drain(&self) -> Output {
        let output = self.run(&["work", "--drain"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }

    fn show(&self, id: &str) -> Value {
        self.json(&["jobs", "show", id, "--json"])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stand-in that gives these replies, and a machine that talks to it.
fn machine(claude: RealClaude, replies: impl IntoIterator<Item = Reply>) -> (Api, Machine) {
    let api = Api::start(replies);
    let machine = Machine::with_api(claude, &api);
    (api, machine)
}
