//! The `claude` command: there, of a known version, logged in.

use claude_wrapper::{Claude, CliVersion, CliVersionStatus, TESTED_CLI_VERSION_MAX, TESTED_CLI_VERSION_MIN};

use super::Check;
use crate::claude::ClaudeCli;
use crate::claude::checkup::{self, Login};
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
    let range = format!("tested with {TESTED_CLI_VERSION_MIN} to {TESTED_CLI_VERSION_MAX}");
    match version.status_within(&TESTED_CLI_VERSION_MIN, &TESTED_CLI_VERSION_MAX) {
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
        let newer = CliVersion::new(TESTED_CLI_VERSION_MAX.major + 1, 0, 0);
        assert_eq!(judged(TESTED_CLI_VERSION_MIN).status, Status::Ok);
        assert_eq!(judged(TESTED_CLI_VERSION_MAX).status, Status::Ok);
        assert_eq!(judged(newer).status, Status::Warn);
        assert_eq!(judged(CliVersion::new(1, 0, 0)).status, Status::Fail);
    }
}
