//! The recorded transcripts of the real CLI, in `tests/transcripts`; written by the
//! `record_transcripts` binary.
//!
//! They are those of the newest version. A folder with the number of the oldest one holds those in which it
//! behaves differently.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::real_claude::RealClaude;

/// What the index says of one transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The version that printed it.
    pub claude: RealClaude,
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
    /// The newest version's transcript of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn load(name: &str) -> Transcript {
        let entry = index(RealClaude::Newest).remove(name);
        read(
            RealClaude::Newest,
            name,
            entry.unwrap_or_else(|| panic!("no transcript `{name}`: see tests/transcripts/index.json")),
        )
    }

    /// All transcripts of both versions.
    pub fn all() -> Vec<Transcript> {
        let of_version =
            |claude| index(claude).into_iter().map(move |(name, entry)| read(claude, &name, entry));
        RealClaude::ALL.into_iter().flat_map(of_version).collect()
    }

    /// Its name, after the number of the version if that is the oldest: the path of its files.
    pub fn label(&self) -> String {
        match self.claude {
            RealClaude::Oldest => format!("{}/{}", self.claude.supported(), self.name),
            RealClaude::Newest => self.name.clone(),
        }
    }

    /// The path of the recorded standard output, for a fake to replay.
    pub fn path(&self) -> PathBuf {
        folder(self.claude).join(format!("{}.jsonl", self.name))
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

/// The folder of this version's transcripts.
pub fn folder(claude: RealClaude) -> PathBuf {
    let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    match claude {
        RealClaude::Oldest => transcripts.join(claude.supported()),
        RealClaude::Newest => transcripts,
    }
}

fn index(claude: RealClaude) -> BTreeMap<String, Entry> {
    serde_json::from_str(&read_file(&folder(claude).join("index.json"))).expect("the recorder wrote it")
}

fn read(claude: RealClaude, name: &str, entry: Entry) -> Transcript {
    Transcript {
        claude,
        name: name.to_owned(),
        entry,
        stdout: read_file(&folder(claude).join(format!("{name}.jsonl"))),
        stderr: read_file(&folder(claude).join(format!("{name}.stderr"))),
    }
}

fn read_file(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}
