//! Records what the real CLI prints in every scenario that the stand-in can provoke.
//!
//! `cargo run -p claude-jobs-tests --bin record_transcripts [NAME]…` writes `tests/transcripts`:
//! `<name>.jsonl` is standard output, `<name>.stderr` standard error, and `index.json` says for each
//! name what was done, how it ended and how many API calls it took. These are the newest version's; where the
//! oldest does something else, its recording is in a folder of its number. Run it again after a change of
//! either version; the difference in git is what the new version does differently.

#![forbid(unsafe_code)]

mod behaviour;
mod finished;
mod limits;
mod provider;
mod scenario;
mod startup;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::transcript::{Entry, folder};
use scenario::{Recording, Scenario};

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut newest = Folder::open(RealClaude::Newest);
    let mut oldest = Folder::open(RealClaude::Oldest);
    for scenario in all() {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == scenario.name) {
            continue;
        }
        let (of_oldest, of_newest) =
            tokio::join!(scenario.play(RealClaude::Oldest), scenario.play(RealClaude::Newest));
        let differs = behaviour::of(&of_oldest) != behaviour::of(&of_newest);
        println!(
            "{:32} exit {:?}{}",
            scenario.name,
            of_newest.entry.exit,
            if differs { ", otherwise in the oldest version" } else { "" }
        );
        newest.put(scenario.name, of_newest);
        if differs {
            oldest.put(scenario.name, of_oldest);
        } else {
            oldest.remove(scenario.name);
        }
    }
    newest.close();
    oldest.close();
}

fn all() -> Vec<Scenario> {
    [finished::scenarios(), provider::scenarios(), limits::scenarios(), startup::scenarios()].concat()
}

/// The recordings of one version.
struct Folder {
    path: PathBuf,
    index: BTreeMap<String, Entry>,
}

impl Folder {
    fn open(claude: RealClaude) -> Folder {
        let path = folder(claude);
        fs::create_dir_all(&path).expect("the package folder can be written");
        let text = fs::read(path.join("index.json")).unwrap_or_else(|_| b"{}".to_vec());
        Folder { path, index: serde_json::from_slice(&text).expect("we wrote the index") }
    }

    fn put(&mut self, name: &str, recording: Recording) {
        let [stdout, stderr] = self.files(name);
        write_file(&stdout, &recording.stdout);
        write_file(&stderr, &recording.stderr);
        self.index.insert(name.to_owned(), recording.entry);
    }

    fn remove(&mut self, name: &str) {
        if self.index.remove(name).is_some() {
            for file in self.files(name) {
                fs::remove_file(file).expect("it was recorded once");
            }
        }
    }

    fn files(&self, name: &str) -> [PathBuf; 2] {
        ["jsonl", "stderr"].map(|extension| self.path.join(format!("{name}.{extension}")))
    }

    fn close(self) {
        let text = serde_json::to_string_pretty(&self.index).expect("the index is plain data");
        write_file(&self.path.join("index.json"), &(text + "\n"));
    }
}

fn write_file(path: &Path, text: &str) {
    fs::write(path, text).expect("the package folder can be written");
}
