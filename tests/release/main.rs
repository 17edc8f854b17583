//! What a user gets: the packages, the programs that `init` makes, the guides' commands as they stand.
//!
//! These tests call cargo, which builds everything once more, so they are apart from the others. They need no
//! network: everything comes from this workspace's lock file.

mod dependencies;
mod guides;
mod packages;
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// To be held by each test that builds: they share a target folder, and each build takes all processors anyway.
fn builds_alone() -> MutexGuard<'static, ()> {
    static BUILDS: Mutex<()> = Mutex::new(());
    BUILDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The root of this repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A target folder that is kept between runs, so that only the first one is slow.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("release-test")
}

/// Cargo, as a user calls it.
fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(folder).envs(quick_builds());
    command
}

/// Where cargo puts things, and what it need not do.
fn quick_builds() -> [(&'static str, String); 3] {
    let target = target().into_os_string().into_string().expect("UTF-8");
    [("CARGO_TARGET_DIR", target), ("CARGO_NET_OFFLINE", "true".into()), ("CARGO_INCREMENTAL", "0".into())]
}

/// Runs it, expects success; what it printed, standard error first.
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text =
        [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The `claude-jobs` command, run in a folder.
fn claude_jobs(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
    command.args(arguments).current_dir(folder);
    command
}

/// Takes the versions that this workspace is built with: they are on this machine.
fn take_lock_file(folder: &Path) {
    std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).expect("a lock file");
}
