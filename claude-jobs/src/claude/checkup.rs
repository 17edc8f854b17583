//! What a machine needs to run the CLI, and what can be found out about it for free: the executable, its version, its
//! login, git, folders to write to. `doctor` shows all of it; [`probe`] asks what keeps runs from starting.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_wrapper::{AuthStatusCommand, ClaudeCommand, CliVersion, Error};
use rustix::fs::{Access, access};
use serde_json::Value;

use super::{ClaudeCli, OLDEST_TESTED, Problem, credential, preflight};
use crate::outcome::{FailureKind, NotStarted};

/// How long the CLI may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the CLI could run now. In the order in which a run would need it; git last, which only some jobs need.
pub(super) async fn probe(claude: &ClaudeCli) -> Result<(), Problem> {
    let path = binary(claude).map_err(|why| not_started(&why))?;
    let environment = claude.environment();
    for (name, folder) in folders(environment) {
        usable(folder)
            .map_err(|why| Problem::new(FailureKind::Environment, format!("{name} is `{folder}`: {why}")))?;
    }
    // A run finds out what this check cannot.
    let Ok(client) = client(&path, claude) else { return Ok(()) };
    match version(&client).await {
        Ok(version) if version < oldest() => {
            let text =
                format!("{version} is older than {OLDEST_TESTED}: upgrade Claude Code (`claude update`)");
            return Err(Problem::new(FailureKind::UnsupportedVersion, text));
        }
        Ok(_) => {}
        Err(Error::CommandFailed { exit_code, stderr, .. }) => {
            let said = stderr.trim().lines().next().unwrap_or("it says nothing").to_owned();
            let text = format!("`{} --version` failed (exit code {exit_code}): {said}", path.display());
            return Err(Problem::new(FailureKind::BinaryNotRunnable, text));
        }
        Err(error) => refused(&error).map_or(Ok(()), Err)?,
    }
    if credential::is_checked_by_the_cli(environment) && matches!(login(&client).await, Login::Out) {
        return Err(Problem::new(FailureKind::Authentication, LOGGED_OUT));
    }
    match git(claude) {
        Some(_) => Ok(()),
        None => Err(Problem::new(FailureKind::GitUnusable, "`git` is not on PATH")),
    }
}

fn oldest() -> CliVersion {
    OLDEST_TESTED.parse().expect("a constant of three numbers")
}

pub(crate) const LOGGED_OUT: &str =
    "not logged in: run `claude` and `/login`, or set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN)";

fn not_started(why: &NotStarted) -> Problem {
    match why {
        NotStarted::BinaryMissing(what) => Problem::new(FailureKind::BinaryMissing, what.clone()),
        NotStarted::BinaryNotRunnable(what) => Problem::new(FailureKind::BinaryNotRunnable, what.clone()),
        other => Problem::new(FailureKind::Environment, format!("{other:?}")),
    }
}

/// The executable, where jobs do not say otherwise.
pub(crate) fn binary(claude: &ClaudeCli) -> Result<PathBuf, NotStarted> {
    preflight::find_binary(claude.binary(), claude.environment().get("PATH").map(String::as_str))
}

/// Agents work in repositories, and `worktree` needs it.
pub(crate) fn git(claude: &ClaudeCli) -> Option<PathBuf> {
    preflight::find_binary("git", claude.environment().get("PATH").map(String::as_str)).ok()
}

/// The CLI as runs get it: same executable, same environment.
pub(crate) fn client(path: &Path, claude: &ClaudeCli) -> claude_wrapper::Result<claude_wrapper::Claude> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let environment = claude.environment().clone();
    claude_wrapper::Claude::builder().binary(path).clear_env().envs(environment).timeout(PATIENCE).build()
}

pub(crate) async fn version(client: &claude_wrapper::Claude) -> claude_wrapper::Result<CliVersion> {
    client.cli_version().await
}

/// Why the system does not start a process, where that is clear.
fn refused(error: &Error) -> Option<Problem> {
    let Error::Io { source, .. } = error else { return None };
    let kind = refusal(source)?;
    Some(Problem::new(kind, format!("no process can be started: {source}")))
}

fn refusal(error: &io::Error) -> Option<FailureKind> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM => Some(FailureKind::Environment),
        Errno::NOEXEC | Errno::ACCESS => Some(FailureKind::BinaryNotRunnable),
        Errno::NOENT => Some(FailureKind::BinaryMissing),
        _ => None,
    }
}

/// Whether the CLI is logged in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// By this method. Whether the API accepts the credential only a run can tell.
    In(String),
    Out,
    /// It does not say; why.
    Unknown(String),
}

pub(crate) async fn login(client: &claude_wrapper::Claude) -> Login {
    // Logged out, it exits with 1 and says so on standard output.
    let said = match AuthStatusCommand::new().execute(client).await {
        Ok(output) => output.stdout,
        Err(Error::CommandFailed { stdout, .. }) => stdout,
        Err(Error::Auth { message, .. }) => message,
        Err(error) => return Login::Unknown(error.to_string()),
    };
    match serde_json::from_str::<Value>(&said) {
        Ok(status) => login_from(&status),
        Err(_) => Login::Unknown("`claude auth status --json` printed no JSON".to_owned()),
    }
}

fn login_from(status: &Value) -> Login {
    match status["loggedIn"].as_bool() {
        Some(true) => Login::In(status["authMethod"].as_str().unwrap_or("unknown").to_owned()),
        Some(false) => Login::Out,
        None => Login::Unknown("`claude auth status --json` does not say".to_owned()),
    }
}

/// The folders that the CLI writes to, with the variables that name them: temporary files, and its login and
/// transcripts. Of those that are set.
fn folders(environment: &BTreeMap<String, String>) -> impl Iterator<Item = (&'static str, &str)> {
    let set = |name: &'static str| {
        environment.get(name).filter(|folder| !folder.is_empty()).map(|folder| (name, folder.as_str()))
    };
    let temporary =
        set("CLAUDE_CODE_TMPDIR").or_else(|| set("TMPDIR")).or(Some(("the temporary folder", "/tmp")));
    temporary.into_iter().chain(set("CLAUDE_CONFIG_DIR").or_else(|| set("HOME")))
}

/// Whether a folder can be written to, or made.
fn usable(folder: &str) -> Result<(), &'static str> {
    let path = Path::new(folder);
    match path.metadata() {
        Ok(data) if !data.is_dir() => Err("it is no folder"),
        Ok(_) if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() => Err("it is not writable"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.ancestors().skip(1).find(|parent| parent.exists());
            let may_make = parent.is_some_and(|parent| access(parent, Access::WRITE_OK).is_ok());
            if may_make { Ok(()) } else { Err("it does not exist and cannot be made") }
        }
        Err(_) => Err("it cannot be reached"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logins_are_judged_by_what_the_cli_says() {
        let cases = [
            (json!({"loggedIn": true, "authMethod": "api_key"}), "In(\"api_key\")"),
            (json!({"loggedIn": false, "authMethod": "none"}), "Out"),
            (json!({}), "Unknown(\"`claude auth status --json` does not say\")"),
        ];
        for (said, expected) in cases {
            assert_eq!(format!("{:?}", login_from(&said)), expected, "{said}");
        }
    }

    #[test]
    fn folders_are_usable_if_they_can_be_written_to_or_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("file"), "").expect("a file");
        assert_eq!(usable(&path("")), Ok(()));
        assert_eq!(usable(&path("new/and/newer")), Ok(()));
        assert_eq!(usable(&path("file")), Err("it is no folder"));
    }

    #[test]
    fn what_the_system_refuses_is_told_from_what_is_unclear() {
        let kind = |code| refusal(&io::Error::from_raw_os_error(code));
        assert_eq!(kind(24), Some(FailureKind::Environment), "too many open files");
        assert_eq!(kind(11), Some(FailureKind::Environment), "too many processes");
        assert_eq!(kind(8), Some(FailureKind::BinaryNotRunnable), "no format that can be executed");
        assert_eq!(kind(32), None, "a broken pipe");
    }
}
