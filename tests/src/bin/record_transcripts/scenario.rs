//! One scenario and how it is played: a fresh sandbox, a stand-in, one run (or two), a recording.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::invocation::{Finished, Invocation};
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::{Sandbox, wait_until};
use claude_jobs_tests::transcript::Entry;
use rustix::process::Signal;

/// What is done to provoke one outcome. Start from [`Scenario::new`] and say what differs.
#[derive(Clone)]
pub(crate) struct Scenario {
    /// The name of the files.
    pub(crate) name: &'static str,
    /// What happens, in the words of the catalogue.
    pub(crate) about: &'static str,
    pub(crate) prompt: String,
    pub(crate) arguments: &'static [&'static str],
    /// Added to the environment; an empty value removes.
    pub(crate) env: &'static [(&'static str, &'static str)],
    pub(crate) replies: Vec<Reply>,
    pub(crate) credential: Credential,
    pub(crate) place: Place,
    /// The arguments of a run that comes first and is not recorded.
    pub(crate) earlier: Option<&'static [&'static str]>,
    /// A signal sent to the run when its first request has come, or when its tool is running.
    pub(crate) signal: Option<Signal>,
    /// A file written into the private home before the run.
    pub(crate) home_file: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy)]
pub(crate) enum Credential {
    Key,
    OauthToken,
    Nothing,
}

#[derive(Clone, Copy)]
pub(crate) enum Place {
    GitRepo,
    GitRepoWithoutCommit,
    PlainFolder,
}

/// What a played scenario left.
pub(crate) struct Recording {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) entry: Entry,
}

impl Scenario {
    /// A scenario in which the model says `Done.` at once.
    pub(crate) fn new(name: &'static str, about: &'static str) -> Scenario {
        Scenario {
            name,
            about,
            prompt: "Do the task.".into(),
            arguments: &[],
            env: &[],
            replies: vec![Reply::text("Done.")],
            credential: Credential::Key,
            place: Place::GitRepo,
            earlier: None,
            signal: None,
            home_file: None,
        }
    }

    /// Runs the real CLI and keeps what it printed.
    pub(crate) async fn play(&self, claude: RealClaude) -> Recording {
        let sandbox = Sandbox::new();
        let cwd = self.place.prepare(&sandbox);
        let api = Api::start(self.replies.clone());
        if let Some((name, text)) = self.home_file {
            fs::write(sandbox.home().join(name), text).expect("the sandbox can be written");
        }
        if let Some(arguments) = self.earlier {
            let first_api = Api::start([Reply::text("The first answer.")]);
            let env = self.env(&sandbox, &first_api);
            Invocation::new(claude, &cwd, env, arguments).run("First.").await;
        }

        let finished = self.run(claude, &cwd, self.env(&sandbox, &api), &api).await;
        let url = api.url();
        let host = url.trim_start_matches("http://");
        let tidy = |text: &str| tidy(text, &cwd, sandbox.path()).replace(host, "127.0.0.1:80");
        Recording {
            stdout: tidy(&finished.stdout),
            stderr: tidy(&finished.stderr),
            entry: Entry {
                about: self.about.into(),
                arguments: self.arguments.iter().map(|it| (*it).to_owned()).collect(),
                exit: finished.status.code(),
                api_calls: api.requests().len(),
            },
        }
    }

    async fn run(&self, claude: RealClaude, cwd: &Path, env: Vec<(String, String)>, api: &Api) -> Finished {
        let mut invocation = Invocation::new(claude, cwd, env, self.arguments);
        invocation.prompt.clone_from(&self.prompt);
        let running = invocation.start();
        if let Some(signal) = self.signal {
            let tool_started = cwd.join("tool-started");
            let waits_for_tool = self.replies.len() > 1;
            wait_until(Duration::from_secs(30), "the moment for the signal", || {
                if waits_for_tool { tool_started.exists() } else { !api.requests().is_empty() }
            })
            .await;
            running.signal(signal);
        }
        running.finish().await
    }

    fn env(&self, sandbox: &Sandbox, api: &Api) -> Vec<(String, String)> {
        let mut env = match self.credential {
            Credential::OauthToken => sandbox.oauth_env(&api.url()),
            Credential::Key | Credential::Nothing => sandbox.env(&api.url()),
        };
        if matches!(self.credential, Credential::Nothing) {
            env.retain(|(key, _)| key != "ANTHROPIC_API_KEY");
        }
        for (key, value) in self.env {
            env.retain(|(other, _)| other != key);
            if !value.is_empty() {
                env.push(((*key).into(), (*value).into()));
            }
        }
        env
    }
}

impl Place {
    fn prepare(self, sandbox: &Sandbox) -> PathBuf {
        match self {
            Place::GitRepo => sandbox.git_repo(),
            Place::GitRepoWithoutCommit => {
                let repo = sandbox.folder("repo");
                sandbox.git(&repo, &["init", "--quiet", "--initial-branch=main"]);
                repo
            }
            Place::PlainFolder => sandbox.folder("repo"),
        }
    }
}

/// Replaces the paths of this machine, also in the form in which the CLI names folders by them.
fn tidy(text: &str, repo: &Path, sandbox: &Path) -> String {
    let home = sandbox.join("home");
    let replacements = [(repo, "/repo"), (home.as_path(), "/home/user"), (sandbox, "/sandbox")];
    replacements.iter().fold(text.to_owned(), |text, (path, name)| {
        let path = path.to_str().expect("temporary folders are UTF-8");
        text.replace(path, name).replace(&slug(path), &slug(name))
    })
}

fn slug(path: &str) -> String {
    path.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}
