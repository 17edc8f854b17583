//! A fake `claude` for one test: the executable, its script and its records in a folder of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::chaos::journal::Journal;
use crate::record::Record;
use crate::script::{CHILD_COMMAND, Script, Take};

/// A fake `claude`; dropping it ends whatever its runs have left alive.
#[derive(Debug)]
pub struct FakeClaude {
    folder: TempDir,
}

impl FakeClaude {
    /// A fake that plays these takes, one per invocation; the last repeats.
    pub fn new(takes: impl IntoIterator<Item = Take>) -> FakeClaude {
        FakeClaude::from_script(Script { takes: takes.into_iter().collect(), ..Script::default() })
    }

    /// A fake that plays a whole script, with its own answers to `--version` and `auth status`.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn from_script(script: Script) -> FakeClaude {
        let folder = tempfile::Builder::new()
            .prefix("fake-claude-")
            .tempdir()
            .expect("the temporary folder can be written");
        let fake = FakeClaude { folder };
        link(&program("fake_claude"), &fake.path());
        fake.rewrite(&script);
        fake
    }

    /// A fake for thousands of runs: each does what its prompt says (`<milliseconds> <whether it starts
    /// a tool> <answer>`) and is told in the journal.
    pub fn journalled() -> (FakeClaude, Journal) {
        let fake = FakeClaude::from_script(Script::default());
        let journal = Journal::new(fake.folder().join("journal"));
        fake.rewrite(&Script { journal: Some(journal.folder().to_owned()), ..Script::default() });
        (fake, journal)
    }

    /// The executable to be run in place of `claude`.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("claude")
    }

    /// The folder of the executable, to be put on a `PATH`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the script; invocations are counted on.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn rewrite(&self, script: &Script) {
        let draft = self.folder.path().join("script.draft");
        let text = serde_json::to_vec_pretty(script).expect("a script is plain data");
        fs::write(&draft, text).expect("the temporary folder can be written");
        fs::rename(draft, self.script_path()).expect("the temporary folder can be written");
    }

    /// What the invocations so far have seen, in the order in which they started.
    pub fn records(&self) -> Vec<Record> {
        let mut folder = self.script_path().into_os_string();
        folder.push(".records");
        Record::read_all(Path::new(&folder))
    }

    /// The records, once there are at least `count` of them.
    ///
    /// # Panics
    /// When there are fewer after `deadline`.
    pub async fn wait_for_records(&self, count: usize, deadline: Duration) -> Vec<Record> {
        crate::sandbox::wait_until(deadline, "the fake claude to be run", || self.records().len() >= count)
            .await;
        self.records()
    }

    fn script_path(&self) -> PathBuf {
        self.folder.path().join("claude.script.json")
    }
}

impl Drop for FakeClaude {
    fn drop(&mut self) {
        for record in self.records() {
            for pid in record.children.iter().copied().chain([record.pid]) {
                if is_still(pid, &record) {
                    kill(pid);
                }
            }
        }
    }
}

/// Whether the process is the recorded run or its child: ids are reused, so look before ending one.
fn is_still(pid: u32, record: &Record) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
    words == record.argv || words.get(1) == Some(&CHILD_COMMAND)
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Already gone is what we want.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A hard link survives a caller that resolves symbolic links; across file systems there is none.
/// Never a copy: a file being written while another thread forks cannot be executed (`ETXTBSY`).
fn link(program: &Path, link: &Path) {
    fs::hard_link(program, link)
        .or_else(|_| std::os::unix::fs::symlink(program, link))
        .expect("the temporary folder can be written");
}

/// A binary of this package, which cargo builds beside its test binaries.
pub(crate) fn program(name: &str) -> PathBuf {
    let this = env::current_exe().expect("a running program has a path");
    this.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(
        || panic!("no `{name}` beside `{}`: run `cargo build -p claude-jobs-tests --bins`", this.display()),
    )
}
