//! Public types whose variants or fields everybody sees: each can grow without breaking a program, or is on the
//! list of those that cannot, with the reason.

use std::fs;
use std::path::{Path, PathBuf};

/// Complete by their nature, or written out by those who use them.
const CLOSED: &[(&str, &str)] = &[
    // One of so many, and programs decide on all of them.
    ("State", "the seven states are a promise"),
    ("Outcome", "a success or a failure"),
    ("Runtime", "has no values"),
    // Generated code writes them out, and it is of the same version.
    ("Const", "the attribute"),
    ("Definition", "the attribute"),
    ("Linked", "the attribute"),
    ("Literal", "the attribute"),
    ("LoadedWorker", "the attribute"),
    ("OutputType", "the attribute"),
    ("Part", "the attribute"),
    ("Placeholder", "the attribute"),
    ("Registration", "the attribute"),
    ("Setting", "the attribute"),
    ("Settings", "the attribute"),
    ("Template", "the attribute"),
    ("Templates", "the attribute"),
    ("UniqueDefault", "the attribute"),
    ("WorkerCron", "the attribute"),
    // An engine answers with them, or must not overlook one.
    ("AccountRow", "made by engines"),
    ("Claimed", "made by engines"),
    ("LedgerPage", "made by engines"),
    ("LedgerRun", "made by engines"),
    ("LogRow", "written by engines"),
    ("NodeRow", "made by engines"),
    ("Place", "made by engines"),
    ("RunningRun", "made by engines"),
    ("QueueChange", "an engine knows all"),
    ("TickAction", "an engine knows all"),
    ("Turn", "made by engines"),
    // A runner of the user's own answers with them.
    ("Footprint", "made by runners"),
    ("Problem", "made by runners"),
    ("JobId", "a number"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("__private") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("__private.rs")
        {
            found.push(path);
        }
    }
}

/// The names of public types that show what is in them and may not grow.
fn closed(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut names = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let (rest, is_enum) = match (line.strip_prefix("pub enum "), line.strip_prefix("pub struct ")) {
            (Some(rest), _) => (rest, true),
            (_, Some(rest)) => (rest, false),
            _ => continue,
        };
        let attributes =
            lines[..index].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
        let may_grow = attributes.clone().any(|line| *line == "#[non_exhaustive]");
        let body = lines[index + 1..].iter().take_while(|line| !line.starts_with('}'));
        let fields: Vec<&str> = body
            .map(|line| line.trim())
            .filter(|line| !line.starts_with("//") && !line.starts_with("#["))
            .collect();
        // A private field keeps others from writing the type out.
        let is_shown = is_enum
            || rest.contains("(pub ")
            || (!fields.is_empty()
                && fields.iter().all(|field| field.starts_with("pub ") && !field.starts_with("pub(")));
        if is_shown && !may_grow {
            let name = rest.split(|character: char| !character.is_alphanumeric()).next().expect("a name");
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn public_types_may_grow_unless_they_are_closed_for_a_reason() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../claude-jobs/src"), &mut files);
    // The helper is a program of its own.
    files.retain(|path| !path.components().any(|part| part.as_os_str() == "supervisor"));
    let mut found: Vec<String> =
        files.iter().flat_map(|path| closed(&fs::read_to_string(path).expect("a file"))).collect();
    found.sort();
    let mut listed: Vec<String> = CLOSED.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn what_may_not_grow_is_seen() {
    assert_eq!(closed("pub enum A {\n    B,\n}\n"), ["A"]);
    assert_eq!(closed("pub struct A {\n    /// B.\n    pub b: u8,\n}\n"), ["A"]);
    assert_eq!(closed("pub struct A(pub u8);\n"), ["A"]);
    assert!(closed("#[non_exhaustive]\npub enum A {\n    B,\n}\n").is_empty());
    assert!(closed("pub struct A {\n    pub b: u8,\n    c: u8,\n}\n").is_empty());
    assert!(closed("pub(crate) enum A {\n    B,\n}\n").is_empty());
}
