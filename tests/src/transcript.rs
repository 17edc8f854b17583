//! The recorded transcripts of the real CLI, in `tests/transcripts`; written by the
//! `record_transcripts` binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the index says of one transcript.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// What was provoked, in the words of the catalogue.
    pub about: String,
    /// The arguments after the streaming ones.
    pub arguments: Vec<String>,
    /// The exit code; none when a signal ended the run.
    pub exit: Option<i32>,
    /// How many message requests reached the stand-in.
    pub api_calls: usize,
}

/// One recorded run.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// The name of its files.
    pub name: String,
    /// What was provoked and how it ended.
    pub entry: Entry,
    /// Standard output as printed: one JSON event a line.
    pub stdout: String,
    /// Standard error as printed.
    pub stderr: String,
}

impl Transcript {
    /// The transcript of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn load(name: &str) -> Transcript {
        let entry = index().remove(name);
        read(
            name,
            entry.unwrap_or_else(|| panic!("no transcript `{name}`: see tests/transcripts/index.json")),
        )
    }

    /// All transcripts, by name.
    pub fn all() -> Vec<Transcript> {
        let entries = index().into_iter();
        entries.map(|(name, entry)| read(&name, entry)).collect()
    }

    /// The path of the recorded standard output, for a fake to replay.
    pub fn path(&self) -> PathBuf {
        folder().join(format!("{}.jsonl", self.name))
    }

    /// The events.
    ///
    /// # Panics
    /// When a line is not JSON.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("every recorded line is JSON")).collect()
    }
}

fn index() -> BTreeMap<String, Entry> {
    serde_json::from_str(&read_file(&folder().join("index.json"))).expect("the recorder wrote it")
}

fn read(name: &str, entry: Entry) -> Transcript {
    Transcript {
        name: name.to_owned(),
        entry,
        stdout: read_file(&folder().join(format!("{name}.jsonl"))),
        stderr: read_file(&folder().join(format!("{name}.stderr"))),
    }
}

fn read_file(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}
