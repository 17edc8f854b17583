//! A stand-in for the `claude` CLI: a real process that plays a script instead of calling a model.
//!
//! The script is the file named by `FAKE_CLAUDE_SCRIPT`, else `<path of this program>.script.json`,
//! so that a link to this program carries its script where the environment does not reach.
//! See `claude_jobs_tests::script` for what a script can say.

#![forbid(unsafe_code)]

mod child;
mod journal;
mod placeholders;
mod signals;
mod stage;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::exit;

use claude_jobs_tests::script::{Answer, CHILD_COMMAND, Script, version};

fn main() {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if words.first().is_some_and(|word| word == CHILD_COMMAND) {
        child::live(&words[1..]);
    }

    let path = script_path().unwrap_or_else(|| fail("no script found for this fake claude"));
    let script = read_script(&path);
    if words.iter().any(|word| word == "--version") {
        answer(&script.version, &version());
    }
    if words.starts_with(&["auth".into(), "status".into()]) {
        answer(&script.auth, r#"{"loggedIn":true,"authMethod":"api_key"}"#);
    }

    if let Some(folder) = &script.journal
        && script.takes.is_empty()
    {
        journal::play(folder);
    }

    let records = env::var_os("FAKE_CLAUDE_RECORD")
        .map(PathBuf::from)
        .or_else(|| script.record.clone())
        .unwrap_or_else(|| with_suffix(path, ".records"));
    stage::play(&script, records)
}

/// Where the script is: the environment, else beside the name we were called by (a symbolic link
/// keeps it), else beside the file that is running (a hard link or a copy).
fn script_path() -> Option<PathBuf> {
    if let Some(path) = env::var_os("FAKE_CLAUDE_SCRIPT") {
        return Some(PathBuf::from(path));
    }
    let called = env::args_os().next().map(PathBuf::from);
    [called.and_then(on_path), env::current_exe().ok()]
        .into_iter()
        .flatten()
        .map(|program| with_suffix(program, ".script.json"))
        .find(|path| path.exists())
}

/// A name with a slash is a path; a bare name was found by the caller on `PATH`, as we do.
fn on_path(name: PathBuf) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return Some(name);
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.exists())
}

fn read_script(path: &PathBuf) -> Script {
    let text =
        fs::read(path).unwrap_or_else(|error| fail(&format!("cannot read `{}`: {error}", path.display())));
    serde_json::from_slice(&text)
        .unwrap_or_else(|error| fail(&format!("bad script `{}`: {error}", path.display())))
}

fn answer(answer: &Answer, usual: &str) -> ! {
    println!("{}", answer.stdout.as_deref().unwrap_or(usual));
    exit(answer.exit)
}

/// Ends a fake that cannot play, with a code that no script would choose.
fn fail(message: &str) -> ! {
    eprintln!("fake_claude: {message}");
    exit(97)
}

fn with_suffix(path: PathBuf, suffix: &str) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
