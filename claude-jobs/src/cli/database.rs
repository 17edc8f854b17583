//! Which database: the flag, the environment, the default.

use super::exit::Problem;
use super::live;
use crate::engine::{Inspection, Purpose, url};
use crate::error::Error;
use crate::passthrough::Passthrough;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::worker::Worker;

const DEFAULT: &str = "sqlite://claude-jobs.db";

/// Variables that name the database, the first one that is set.
const VARIABLES: [&str; 2] = ["CLAUDE_JOBS_DATABASE", "DATABASE_URL"];

/// The flag that every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Database {
    /// The database, such as `sqlite://jobs.db` [default: $CLAUDE_JOBS_DATABASE, else $DATABASE_URL,
    /// else sqlite://claude-jobs.db]
    #[arg(long = "database", value_name = "URL", global = true)]
    url: Option<String>,
}

impl Database {
    /// The URL, and the variable it was taken from. Refuses one that only this process would see.
    pub(super) fn url(&self) -> Result<(String, Option<&'static str>), Problem> {
        let (url, variable) = self.named()?;
        if is_in_memory(&url) {
            let reason =
                "the URL names no file, and a database in memory is gone when this command ends".to_owned();
            return Err(of(Error::Connect { url, reason }, variable));
        }
        Ok((url, variable))
    }

    fn named(&self) -> Result<(String, Option<&'static str>), Problem> {
        if let Some(url) = &self.url {
            return Ok((url.clone(), None));
        }
        for name in VARIABLES {
            match std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(std::ffi::OsString::into_string)
            {
                Some(Ok(url)) => return Ok((url, Some(name))),
                Some(Err(_)) => return Err(Problem::usage(format!("${name} is not UTF-8"))),
                None => {}
            }
        }
        Ok((DEFAULT.to_owned(), None))
    }

    /// Opens one that is there: none is made or brought up to date. Says which one it is, if it is to be named.
    pub(super) async fn look(&self, is_named: bool) -> Result<Queue, Problem> {
        let (url, variable) = self.url()?;
        let from = variable.map(|name| format!(" (from ${name})")).unwrap_or_default();
        let name = format!("`{}`{from}", url::shown(&url));
        let missing = match url::inspect(&url).await.map_err(|error| of(error, variable))? {
            Inspection::Ready => None,
            Inspection::Missing => Some("no such database"),
            Inspection::NotMigrated => Some("not migrated"),
        };
        if let Some(missing) = missing {
            return Err(Problem::general(format!(
                "{missing}: {name}; name another one with `--database URL`, or run `enqueue` or `work`, which make \
                 the tables"
            )));
        }
        if is_named {
            live::say(&format!("database: {name}"));
        }
        self.open(Purpose::Look).await
    }

    /// Opens the database, and makes what is missing. The queue knows every linked worker, and `claude`.
    pub(super) async fn connect(&self) -> Result<Queue, Problem> {
        self.open(Purpose::Use).await
    }

    async fn open(&self, purpose: Purpose) -> Result<Queue, Problem> {
        let (url, variable) = self.url()?;
        let queue = Queue::open(&url, purpose).await.map_err(|error| of(error, variable))?;
        if queue.registry().get(Passthrough::DEFINITION.name).is_ok() {
            return Ok(queue);
        }
        Ok(queue.register::<Passthrough>()?)
    }
}

/// What went wrong with a URL from this variable.
fn of(error: Error, variable: Option<&str>) -> Problem {
    let problem = Problem::from(error);
    match variable {
        Some(name) => problem.with_remark(&format!(" (the URL is from ${name})")),
        None => problem,
    }
}

fn is_in_memory(url: &str) -> bool {
    url.starts_with("sqlite:") && (url.contains(":memory:") || url.contains("mode=memory"))
}

/// Every linked worker, and `claude`.
pub(super) fn registry() -> Result<Registry, Problem> {
    let mut registry = Registry::linked()?;
    if registry.get(Passthrough::DEFINITION.name).is_err() {
        registry.add(Passthrough::registration())?;
    }
    Ok(registry)
}
