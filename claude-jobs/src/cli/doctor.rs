//! `doctor`: whether this machine can run jobs, and what to do where it cannot. Changes nothing.

use std::fmt;

use serde::Serialize;

use super::database::Database;
use super::exit::{Exit, Problem};
use super::output;
use crate::claude::ClaudeCli;

mod cli;
mod machine;

/// Check that this machine can run jobs
#[derive(Debug, clap::Args)]
pub(super) struct DoctorCommand {
    /// The `claude` executable to check
    #[arg(long, value_name = "PATH", default_value = "claude")]
    binary: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    detail: String,
    /// What to do about it.
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// All checks, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Checkup {
    ok: bool,
    checks: Vec<Check>,
}

impl DoctorCommand {
    pub(super) async fn execute(self, database: &Database) -> Result<Exit, Problem> {
        let claude = ClaudeCli::builder().binary(&self.binary).build();
        let mut checks = cli::checks(&claude).await;
        checks.push(machine::git(&claude));
        checks.push(machine::home(&claude));
        checks.push(machine::orphans(&claude.supervision()));
        checks.push(machine::database(database).await);

        let ok = checks.iter().all(|check| check.status != Status::Fail);
        let checkup = Checkup { ok, checks };
        if self.json {
            output::print_json(&checkup)?;
        } else {
            output::print(&checkup.to_string())?;
        }
        Ok(if ok { Exit::Complete } else { Exit::Environment })
    }
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Checkup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, status, detail, remedy } in &self.checks {
            let status = match status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            writeln!(formatter, "{status:4}  {name:8}  {}", output::one_line(detail, 500))?;
            if let Some(remedy) = remedy {
                writeln!(formatter, "      {:8}  -> {remedy}", "")?;
            }
        }
        Ok(())
    }
}
