//! A machine of its own for one test: a private home, a cleared environment, git repositories, and
//! the means to wait for something and to find what has survived.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A temporary folder with a private home in it; removed when dropped.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    /// A fresh sandbox.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn new() -> Sandbox {
        let root = tempfile::Builder::new()
            .prefix("claude-jobs-test-")
            .tempdir()
            .expect("the temporary folder can be written");
        for folder in ["home", "tmp"] {
            fs::create_dir(root.path().join(folder)).expect("the temporary folder can be written");
        }
        Sandbox { root }
    }

    /// The folder of the sandbox.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The private home folder.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The whole environment for a real CLI in this sandbox, to be set after clearing: a private
    /// home and temporary folder, a dummy key, no traffic but to `api_url`, no retries inside the CLI.
    pub fn env(&self, api_url: &str) -> Vec<(String, String)> {
        let path = std::env::var("PATH").expect("a test machine has a PATH");
        let home = self.home();
        let temporary = self.path().join("tmp");
        let pairs = [
            ("HOME", home.to_str().expect("temporary folders are UTF-8")),
            // The CLI leaves sockets and folders there.
            ("TMPDIR", temporary.to_str().expect("temporary folders are UTF-8")),
            ("PATH", &path),
            ("TZ", "UTC"),
            ("LANG", "C.UTF-8"),
            ("ANTHROPIC_API_KEY", "dummy-key"),
            ("ANTHROPIC_BASE_URL", api_url),
            ("DISABLE_AUTOUPDATER", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "0"),
        ];
        pairs.map(|(key, value)| (key.into(), value.into())).into()
    }

    /// The same with an OAuth token in place of the key: usage limits exist only for subscriptions.
    pub fn oauth_env(&self, api_url: &str) -> Vec<(String, String)> {
        let mut env = self.env(api_url);
        env.retain(|(key, _)| key != "ANTHROPIC_API_KEY");
        env.push(("CLAUDE_CODE_OAUTH_TOKEN".into(), "dummy-token".into()));
        env
    }

    /// A new empty folder.
    ///
    /// # Panics
    /// When it exists already or cannot be created.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        fs::create_dir(&folder).expect("a new folder can be created in the sandbox");
        folder
    }

    /// A git repository named `repo` with one commit, untouched by this machine's git settings.
    ///
    /// # Panics
    /// When git is missing or fails.
    pub fn git_repo(&self) -> PathBuf {
        let repo = self.folder("repo");
        fs::write(repo.join("README.md"), "A repository for a test.\n").expect("the sandbox can be written");
        let commands: [&[&str]; 5] = [
            &["init", "--quiet", "--initial-branch=main"],
            &["config", "user.name", "Test"],
            &["config", "user.email", "test@example.invalid"],
            &["add", "."],
            &["commit", "--quiet", "--message=Start"],
        ];
        for arguments in commands {
            self.git(&repo, arguments);
        }
        repo
    }

    /// Runs git in a folder of this sandbox and returns what it printed.
    ///
    /// # Panics
    /// When git is missing or fails.
    pub fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(folder)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git is installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Sandbox::new()
    }
}

/// Waits until the condition holds, looking every few milliseconds.
///
/// # Panics
/// When it does not hold within `deadline`; the message names what was awaited.
pub async fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The live processes whose environment has exactly this `KEY=value`, other than this process.
///
/// Zombies have no environment and are not listed.
pub fn processes_with_env(marker: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            // Gone since the listing, or somebody else's: either way not ours.
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes())
        })
        .collect()
}
