//! What a run and the queue need besides the CLI: git, a home to write to, a supervisor, the database.

use std::path::Path;

use rustix::fs::{Access, access};

use super::Check;
use crate::claude::{ClaudeCli, Supervision, checkup};
use crate::cli::database::Database;
use crate::engine::Inspection;
use crate::engine::url;
use crate::error::Error;

/// Agents work in repositories, and `worktree` needs it.
pub(super) fn git(claude: &ClaudeCli) -> Check {
    match checkup::git(claude) {
        Some(path) => Check::ok("git", path.display().to_string()),
        None => Check::fail("git", "`git` is not on PATH", "install git, or add its folder to PATH"),
    }
}

/// The CLI keeps its login and its transcripts there; without them no session can be resumed.
pub(super) fn home(claude: &ClaudeCli) -> Check {
    let environment = claude.environment();
    let set = |name: &'static str| {
        environment.get(name).filter(|folder| !folder.is_empty()).map(|folder| (name, folder.as_str()))
    };
    let Some((name, folder)) = set("CLAUDE_CONFIG_DIR").or_else(|| set("HOME")) else {
        return Check::fail(
            "home",
            "neither HOME nor CLAUDE_CONFIG_DIR is set",
            "set HOME to a writable folder",
        );
    };
    let shown = format!("{name} is `{folder}`");
    let path = Path::new(folder);
    if !path.is_dir() {
        let remedy = "create the folder, or set the variable to one that exists";
        return Check::fail("home", format!("{shown}, which is no folder"), remedy);
    }
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let remedy = "make it writable for this user, or set CLAUDE_CONFIG_DIR to a folder that is";
        return Check::fail("home", format!("{shown}, which is not writable"), remedy);
    }
    Check::ok("home", format!("{shown}, writable"))
}

/// What becomes of processes that a run leaves behind.
pub(super) fn orphans(supervision: &Supervision) -> Check {
    let none = "a supervisor process per run leaves none";
    match supervision {
        Supervision::Supervisor => Check::ok("orphans", format!("{none}: a helper of 20 KiB, from memory")),
        Supervision::ThisProgram(why) => Check::warn(
            "orphans",
            format!("{none}; but it is this program, started again, as {why}"),
            "runs are safe; to spare each some CPU and 400 KiB, let this user execute files from memory \
             (`sysctl vm.memfd_noexec`, security policies)",
        ),
        Supervision::ProcessGroup(why) => Check::warn(
            "orphans",
            format!("what tools detach can outlive its run, and the CLI a sudden death of `work`: {why}"),
            "run workers on Linux (x86-64 or ARM64) with /proc, as a user who may start processes from it",
        ),
    }
}

/// Reachable, and its tables up to date.
pub(super) async fn database(database: &Database) -> Check {
    let remedy = "name another database with `--database URL` or CLAUDE_JOBS_DATABASE";
    let (url, variable) = match database.url() {
        Ok(found) => found,
        Err(problem) => return Check::fail("database", problem.to_string(), remedy),
    };
    let from = variable.map(|name| format!(" (from ${name})")).unwrap_or_default();
    let said = |error: Error| {
        let said = error.to_string();
        // The check's name stands before it.
        format!("{}{from}", said.strip_prefix("database: ").unwrap_or(&said))
    };
    let found = match url::inspect(&url).await {
        Ok(Inspection::Missing) => "does not exist yet; the first command that needs it will make it",
        Ok(Inspection::NotMigrated) => {
            "has no tables of this version; the next command will bring them up to date"
        }
        Ok(Inspection::Ready) => match url::check_use(&url).await {
            Ok(()) => "reachable, its tables up to date",
            Err(error) => {
                let remedy = "until then jobs are neither inserted nor run there";
                return Check::fail("database", said(error), remedy);
            }
        },
        Err(error) => return Check::fail("database", said(error), remedy),
    };
    Check::ok("database", format!("`{}`{from} {found}", url::shown(&url)))
}
