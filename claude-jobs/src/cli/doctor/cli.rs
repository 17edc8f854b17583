//! The `claude` command: there, of a known version, logged in.

use std::path::Path;
use std::time::Duration;

use claude_wrapper::{AuthStatusCommand, Claude, ClaudeCommand, CliVersion, CliVersionStatus, Error};
use serde_json::Value;

use super::Check;
use crate::claude::{ClaudeCli, NEWEST_TESTED, OLDEST_TESTED, find_binary};
use crate::outcome::NotStarted;

/// How long the CLI may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(10);

const INSTALL: &str =
    "install Claude Code (`npm install -g @anthropic-ai/claude-code`), or name it with `--binary PATH`";

/// The checks; without an executable only the first.
pub(super) async fn checks(claude: &ClaudeCli) -> Vec<Check> {
    let search_path = claude.environment().get("PATH").map(String::as_str);
    let path = match find_binary(claude.binary(), search_path) {
        Ok(path) => path,
        Err(NotStarted::BinaryMissing(why) | NotStarted::BinaryNotRunnable(why)) => {
            return vec![Check::fail("binary", why, INSTALL)];
        }
        Err(_) => return vec![Check::fail("binary", "cannot be run", INSTALL)],
    };
    let mut checks = vec![Check::ok("binary", path.display().to_string())];
    match client(&path, claude) {
        Ok(client) => {
            let (version, login) = tokio::join!(version(&client), login(&client));
            checks.extend([version, login]);
        }
        Err(error) => checks.push(Check::fail("version", error.to_string(), INSTALL)),
    }
    checks
}

/// The CLI as runs get it: same executable, same environment.
fn client(path: &Path, claude: &ClaudeCli) -> claude_wrapper::Result<Claude> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let environment = claude.environment().clone();
    Claude::builder().binary(path).clear_env().envs(environment).timeout(PATIENCE).build()
}

async fn version(client: &Claude) -> Check {
    match client.cli_version().await {
        Ok(version) => judged(version),
        Err(error) => {
            let remedy = "run `claude --version` by hand: it should print a version and `(Claude Code)`";
            Check::fail("version", format!("no answer to `--version`: {error}"), remedy)
        }
    }
}

fn judged(version: CliVersion) -> Check {
    let range = format!("tested with {OLDEST_TESTED} to {NEWEST_TESTED}");
    match version.status_within(&parsed(OLDEST_TESTED), &parsed(NEWEST_TESTED)) {
        CliVersionStatus::Tested => Check::ok("version", format!("{version} ({range})")),
        CliVersionStatus::NewerUntested { .. } => Check::warn(
            "version",
            format!("{version} is newer than what claude-jobs was {range}"),
            "most likely fine; upgrade claude-jobs when jobs fail in new ways",
        ),
        CliVersionStatus::OlderThanMinimum { .. } => Check::fail(
            "version",
            format!("{version} is older than what claude-jobs was {range}"),
            "upgrade Claude Code: `claude update`",
        ),
    }
}

fn parsed(tested: &str) -> CliVersion {
    tested.parse().expect("a constant of three numbers")
}

async fn login(client: &Claude) -> Check {
    // Logged out, it exits with 1 and says so on standard output.
    let said = match AuthStatusCommand::new().execute(client).await {
        Ok(output) => output.stdout,
        Err(Error::CommandFailed { stdout, .. }) => stdout,
        Err(Error::Auth { message, .. }) => message,
        Err(error) => return unknown_login(&error.to_string()),
    };
    match serde_json::from_str::<Value>(&said) {
        Ok(status) => login_from(&status),
        Err(_) => unknown_login("`claude auth status --json` printed no JSON"),
    }
}

fn login_from(status: &Value) -> Check {
    let method = status["authMethod"].as_str().unwrap_or("unknown");
    match status["loggedIn"].as_bool() {
        Some(true) => Check::ok("login", format!("logged in ({method}); the credential is not tried")),
        Some(false) => Check::fail(
            "login",
            "not logged in",
            "run `claude` and `/login`, or set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN)",
        ),
        None => unknown_login("`claude auth status --json` does not say"),
    }
}

fn unknown_login(why: &str) -> Check {
    Check::warn("login", format!("unknown: {why}"), "try one run: `claude-jobs run \"say hi\"`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn versions_are_judged_by_the_tested_range() {
        let (oldest, newest) = (parsed(OLDEST_TESTED), parsed(NEWEST_TESTED));
        for tested in [oldest, newest] {
            let check = judged(tested);
            let detail = format!("{tested} (tested with {OLDEST_TESTED} to {NEWEST_TESTED})");
            assert_eq!((check.status, check.detail), (Status::Ok, detail));
        }
        let patch = |version: CliVersion, patch| CliVersion { patch, ..version };
        assert_eq!(judged(patch(newest, newest.patch + 1)).status, Status::Warn);
        assert_eq!(judged(patch(oldest, oldest.patch - 1)).status, Status::Fail);
    }

    #[test]
    fn logins_are_judged_by_what_the_cli_says() {
        let cases = [
            (json!({"loggedIn": true, "authMethod": "api_key"}), Status::Ok),
            (json!({"loggedIn": false, "authMethod": "none"}), Status::Fail),
            (json!({}), Status::Warn),
        ];
        for (said, status) in cases {
            assert_eq!(login_from(&said).status, status, "{said}");
        }
    }
}
