//! `init`: a new program with a worker of its own, or a worker for a crate that is there.
//!
//! Everything is read and checked first; then files are written, none of them over another. What goes into
//! them are the real files in the folder `templates` of this package; `my_app` in them stands for the
//! crate's name, and nothing else is filled in.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Problem};
use super::output;
use files::Files;
use manifest::Source;

mod existing;
mod files;
mod manifest;
mod name;
mod project;

/// Make a program that runs jobs, or add a worker to a crate
///
/// `init my_app` makes the folder `my_app`: a worker with a git worktree per job, tests for it, SQLite, a
/// systemd unit, a Dockerfile. `init --into PATH` adds worker and tests to the crate that is there. Nothing is
/// overwritten: where a file is in the way, nothing is written at all.
#[derive(Debug, clap::Args)]
pub(super) struct InitCommand {
    /// The new crate's name, and its folder's
    #[arg(required_unless_present = "into", conflicts_with = "into", value_parser = name::checked)]
    name: Option<String>,
    /// The folder of a crate to add a worker to
    #[arg(long, value_name = "PATH")]
    into: Option<PathBuf>,
    /// Depend on claude-jobs in this folder (its repository, or the crate in it) [default: depend on the
    /// published version that this program is of]
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl InitCommand {
    pub(super) fn execute(self) -> Result<Exit, Problem> {
        let source = Source::of(self.path.as_deref())?;
        let (files, next) = match (&self.name, &self.into) {
            (Some(name), _) => (project::files(Path::new(name), name, &source)?, project::next(name)),
            (None, Some(folder)) => (existing::files(folder, &source)?, existing::next(folder)),
            (None, None) => return Err(Problem::usage("give a NAME, or `--into PATH`")),
        };
        let lines: Vec<String> = files.write()?.iter().map(|line| format!("  {line}\n")).collect();
        output::print(&format!("written:\n{}\n{next}", lines.concat()))?;
        Ok(Exit::Complete)
    }
}

/// What a file of the new crate says.
fn filled(template: &str, name: &str) -> String {
    template.replace("my_app", name)
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

const WORKERS: &str = include_str!("../../templates/workers.rs");
const TESTS: &str = include_str!("../../templates/workers/tests.rs");
const APP: &str = include_str!("../../templates/workers/app.rs");

/// The worker, its tests, and the state that its handler takes.
fn add_worker(files: &mut Files, root: &Path) {
    files.create(root.join("src/workers.rs"), WORKERS);
    files.create(root.join("src/workers/tests.rs"), TESTS);
    files.create(root.join("src/workers/app.rs"), APP);
}

/// The same for a program that has state of its own, or none.
fn add_worker_without_state(files: &mut Files, root: &Path) {
    files.create(root.join("src/workers.rs"), without_state(WORKERS));
    files.create(root.join("src/workers/tests.rs"), without_state(TESTS));
}

/// Removes the state from a template: the lines that name it, and the line breaks of calls that are short without it.
fn without_state(template: &str) -> String {
    let names_it = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "App" || word == "app")
    };
    let kept: Vec<&str> = template.lines().filter(|line| !names_it(line)).collect();
    let text = kept.join("\n") + "\n";
    text.replace("\n        .", ".").replace("cx: &mut Ctx", "_cx: &mut Ctx")
}

#[cfg(test)]
mod tests;
