//! The `claude-jobs` command, as a library.
//!
//! A program of your own that ends in [`main`] is the same command, and its `work` serves the workers
//! that are linked into it:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     claude_jobs::cli::main()
//! }
//! ```
//!
//! One whose handlers need a database pool or other state ends in [`main_with`].
//!
//! Each command is a file: its flags (a struct) and its `execute`. A command answers with an
//! [`Exit`]; results go to standard output, everything else to standard error:
//!
//! | code | when |
//! |---|---|
//! | 0 | complete: the run, or the command, did what was asked |
//! | 1 | a queue would run it again; or the command failed (the database, an unknown job) |
//! | 2 | usage: a flag, a value, the args or the job cannot be right |
//! | 3 | the classifier cancels: the same run would fail the same way |
//! | 4 | `timeout`, `idle_timeout` or `tool_timeout` passed |
//! | 5 | a rail stop: `max_turns` or `max_budget_usd` |
//! | 6 | a fault of the machine or the account: the CLI, its login, git |
//!
//! `tail JOB --follow` ends with what became of the job: 0 completed, 1 discarded, 3 cancelled.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod args;
mod database;
mod doctor;
mod duration;
mod enqueue;
mod exit;
mod flags;
mod init;
mod jobs;
mod json;
mod live;
mod output;
mod queues;
mod run;
mod signals;
mod tail;
mod timeline;
mod watched;
mod wipe;
mod work;
mod workers;

pub use exit::Exit;

use crate::runtime::RuntimeBuilder;
use database::Database;
use exit::Problem;

/// Claude Code jobs on a durable queue
#[derive(Debug, Parser)]
#[command(name = "claude-jobs", version, after_help = exit::help())]
struct Cli {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunCommand),
    Args(args::ArgsCommand),
    Init(init::InitCommand),
    Doctor(doctor::DoctorCommand),
    Enqueue(enqueue::EnqueueCommand),
    Work(work::WorkCommand),
    Jobs(jobs::JobsCommand),
    Tail(tail::TailCommand),
    Queues(queues::QueuesCommand),
    Workers(workers::WorkersCommand),
}

/// Runs the command that this process was started as, to its exit code.
///
/// To be called first of all in `main`, before there are other threads: it changes the environment and the arguments of
/// the process, so that agents do not find the way to the queue in `/proc`.
pub fn main() -> ExitCode {
    main_with(async |runtime| Ok(runtime))
}

/// Configures the runtime that `work` runs.
pub(crate) trait Configure:
    AsyncFnOnce(RuntimeBuilder) -> crate::worker::Result<RuntimeBuilder>
{
}

impl<C: AsyncFnOnce(RuntimeBuilder) -> crate::worker::Result<RuntimeBuilder>> Configure for C {}

/// [`main`] for a program that configures the runtime which `work` runs: state for the handlers, limits, retention,
/// schedules, options, a listener.
///
/// `setup` is called by `work` alone, before it claims a job: there a program opens its pools. An error ends the command
/// with it, and nothing was claimed. Flags of the command that are given count for more than what `setup` says;
/// signals, and with them the end of the runtime, are the command's.
///
/// ```no_run
/// use claude_jobs::prelude::*;
/// use claude_jobs::{Limits, cli};
///
/// struct App {
///     greeting: String,
/// }
///
/// #[claude_worker(queue = "greetings", state = App, prompt = "Who is there?")]
/// struct Greet;
///
/// impl Handler for Greet {
///     async fn handle_result(&self, name: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
///         println!("{}, {name}", cx.state::<App>().greeting);
///         Ok(Verdict::Complete)
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     cli::main_with(async |setup| {
///         let app = App { greeting: std::env::var("GREETING")? };
///         Ok(setup.state(app).queue("greetings", Limits::local(4)))
///     })
/// }
/// ```
pub fn main_with<C>(setup: C) -> ExitCode
where
    C: AsyncFnOnce(RuntimeBuilder) -> crate::worker::Result<RuntimeBuilder>,
{
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody may be reading; the code says it all the same.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Complete }.into();
        }
    };
    if let Ok((url, _)) = cli.database.url() {
        wipe::wipe(&crate::engine::url::access(&url));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Problem::general(format!("cannot start threads: {error}"))),
    };
    match runtime.block_on(cli.execute(setup)) {
        Ok(exit) => exit.into(),
        Err(problem) => report(&problem),
    }
}

fn report(problem: &Problem) -> ExitCode {
    live::say(&format!("error: {problem}"));
    problem.exit().into()
}

impl Cli {
    async fn execute(self, setup: impl Configure) -> Result<Exit, Problem> {
        let database = self.database;
        match self.command {
            Command::Run(command) => command.execute().await,
            Command::Args(command) => command.execute(),
            Command::Init(command) => command.execute(),
            Command::Doctor(command) => command.execute(&database).await,
            Command::Enqueue(command) => command.execute(&database).await,
            Command::Work(command) => command.execute(&database, setup).await,
            Command::Jobs(command) => command.execute(&database).await,
            Command::Tail(command) => command.execute(&database).await,
            Command::Queues(command) => command.execute(&database).await,
            Command::Workers(command) => command.execute(),
        }
    }
}

#[cfg(test)]
mod tests;
