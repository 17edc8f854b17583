//! Records what the real CLI prints in every scenario that the stand-in can provoke.
//!
//! `cargo run -p claude-jobs-tests --bin record_transcripts [NAME]…` writes `tests/transcripts`:
//! `<name>.jsonl` is standard output, `<name>.stderr` standard error, and `index.json` says for each
//! name what was done, how it ended and how many API calls it took. Run it again after a change of
//! the CLI's version; the difference in git is what the new version does differently.

#![forbid(unsafe_code)]

mod finished;
mod limits;
mod provider;
mod scenario;
mod startup;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use claude_jobs_tests::transcript::Entry;
use scenario::Scenario;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    fs::create_dir_all(&folder).expect("the package folder can be written");

    let mut index = read_index(&folder);
    for scenario in all() {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == scenario.name) {
            continue;
        }
        let recording = scenario.play().await;
        println!("{:32} exit {:?}", scenario.name, recording.entry.exit);
        write(&folder, scenario.name, "jsonl", &recording.stdout);
        write(&folder, scenario.name, "stderr", &recording.stderr);
        index.insert(scenario.name.to_owned(), recording.entry);
    }
    let text = serde_json::to_string_pretty(&index).expect("the index is plain data");
    write_file(&folder.join("index.json"), &(text + "\n"));
}

fn all() -> Vec<Scenario> {
    [finished::scenarios(), provider::scenarios(), limits::scenarios(), startup::scenarios()].concat()
}

fn read_index(folder: &Path) -> BTreeMap<String, Entry> {
    let text = fs::read(folder.join("index.json")).unwrap_or_else(|_| b"{}".to_vec());
    serde_json::from_slice(&text).expect("we wrote the index")
}

fn write(folder: &Path, name: &str, extension: &str, text: &str) {
    write_file(&folder.join(format!("{name}.{extension}")), text);
}

fn write_file(path: &PathBuf, text: &str) {
    fs::write(path, text).expect("the package folder can be written");
}
