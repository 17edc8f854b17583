//! The `claude` command: there, of a known version, logged in.

use claude_wrapper::{Claude, CliVersion, CliVersionStatus};

use super::Check;
use crate::claude::checkup::{self, Login};
use crate::claude::{ClaudeCli, NEWEST_TESTED, OLDEST_TESTED};
use crate::outcome::NotStarted;

const INSTALL: &str =
    "install Claude Code (`npm install -g @anthropic-ai/claude-code`), or name it with `--binary PATH`";

/// The checks; without an executable only the first.
pub(super) async fn checks(claude: &ClaudeCli) -> Vec<Check> {
    let path = match checkup::binary(claude) {
        Ok(path) => path,
        Err(NotStarted::BinaryMissing(why) | NotStarted::BinaryNotRunnable(why)) => {
            return vec![Check::fail("binary", why, INSTALL)];
        }
        Err(_) => return vec![Check::fail("binary", "cannot be run", INSTALL)],
    };
    let mut checks = vec![Check::ok("binary", path.display().to_string())];
    match checkup::client(&path, claude) {
        Ok(client) => {
            let (version, login) = tokio::join!(version(&client), login(&client));
            checks.extend([version, login]);
        }
        Err(error) => checks.push(Check::fail("version", error.to_string(), INSTALL)),
    }
    checks
}

async fn version(client: &Claude) -> Check {
    match checkup::version(client).await {
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
    match checkup::login(client).await {
        Login::In(method) => Check::ok("login", format!("logged in ({method}); the credential is not tried")),
        Login::Out => Check::fail(
            "login",
            "not logged in",
            "run `claude` and `/login`, or set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN)",
        ),
        Login::Unknown(why) => {
            Check::warn("login", format!("unknown: {why}"), "try one run: `claude-jobs run \"say hi\"`")
        }
    }
}

#[cfg(test)]
mod tests {
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
}
