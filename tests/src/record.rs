//! What one invocation of a fake `claude` saw: the record file, and how it is written and read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One invocation. The file exists from the first moment; fields fill in as the run goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The number of the invocation, counted from 1 over all processes that share the folder.
    pub take: usize,
    /// The command line, program name first.
    pub argv: Vec<String>,
    /// Standard input, lossily decoded; none until it has been read to its end.
    pub stdin: Option<String>,
    /// The number of bytes of standard input; none until it has been read to its end.
    pub stdin_bytes: Option<usize>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The process id.
    pub pid: u32,
    /// The process ids of the children that `fork_child` started (of the daemon, if it forks twice).
    pub children: Vec<u32>,
    /// Wall time at the start, in milliseconds since 1970.
    pub started_ms: u64,
    /// Wall time at the end; none while it runs, and none for ever when it was killed outright.
    pub ended_ms: Option<u64>,
    /// The exit code, when the run got so far as to choose one.
    pub exit: Option<i32>,
}

impl Record {
    /// Claims the next take of a folder and describes this process in it.
    ///
    /// `create_new` is atomic, so parallel invocations each get a number of their own.
    ///
    /// # Errors
    /// When the folder cannot be created or written.
    pub fn start(folder: &Path) -> io::Result<Record> {
        fs::create_dir_all(folder)?;
        let record = Record {
            take: claim_take(folder)?,
            argv: std::env::args_os().map(lossy).collect(),
            stdin: None,
            stdin_bytes: None,
            env: std::env::vars_os().map(|(key, value)| (lossy(key), lossy(value))).collect(),
            cwd: std::env::current_dir().unwrap_or_default(),
            pid: std::process::id(),
            children: Vec::new(),
            started_ms: now_ms(),
            ended_ms: None,
            exit: None,
        };
        record.save(folder)?;
        Ok(record)
    }

    /// Writes the record so that a reader sees either the old one or the new one, never a part.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join(format!("{}.draft", self.take));
        fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        fs::rename(draft, folder.join(format!("{}.json", self.take)))
    }

    /// Notes the end of the run.
    pub fn end(&mut self, exit: Option<i32>) {
        self.ended_ms = Some(now_ms());
        self.exit = exit;
    }

    /// The value that follows a flag on the command line.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let position = self.argv.iter().position(|word| word == name)?;
        self.argv.get(position + 1).map(String::as_str)
    }

    /// All records of a folder, by take; none when nothing has run yet.
    ///
    /// # Panics
    /// When a record cannot be read, which would be a defect of the fake.
    pub fn read_all(folder: &Path) -> Vec<Record> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut records: Vec<Record> = entries
            .map(|entry| entry.expect("a listed folder can be read").path())
            .filter(|path| path.extension().is_some_and(|it| it == "json"))
            .map(|path| {
                let text = fs::read(&path).expect("a record is renamed into place whole");
                serde_json::from_slice(&text).expect("a record is valid JSON")
            })
            .collect();
        records.sort_by_key(|record| record.take);
        records
    }
}

fn claim_take(folder: &Path) -> io::Result<usize> {
    for take in 1.. {
        match fs::File::create_new(folder.join(format!("{take}.claim"))) {
            Ok(_) => return Ok(take),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the numbers do not end")
}

fn lossy(text: std::ffi::OsString) -> String {
    text.to_string_lossy().into_owned()
}

fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = elapsed.expect("the clock is past 1970").as_millis();
    u64::try_from(millis).expect("the milliseconds of this age fit 64 bits")
}
