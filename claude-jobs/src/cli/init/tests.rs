//! Names, refusals, and manifests that keep their form. That the result compiles, tests and runs is shown in
//! `tests/release`.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::cli::exit::Problem;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Every path below a folder, with what the file says.
fn tree(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        found.push((path.display().to_string(), fs::read_to_string(&path).unwrap_or_default()));
        if path.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

fn existing_crate(manifest: &str) -> TempDir {
    let folder = folder();
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").expect("a file");
    folder
}

const MINIMAL: &str = "[package]\nname = \"mine\"\nedition = \"2024\"\n";

fn add(folder: &Path) -> Result<Vec<String>, Problem> {
    existing::files(folder, &Source::Published)?.write()
}

/// Refused with these words, and not a byte is different.
fn refused(folder: &Path, expected: &[&str]) {
    let before = tree(folder);
    let message = add(folder).expect_err("refused").to_string();
    for words in expected {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(tree(folder), before);
}

#[test]
fn names_are_those_that_cargo_takes() {
    for name in ["a", "my_app", "my-app-2", &"x".repeat(64)] {
        assert_eq!(name::checked(name).as_deref(), Ok(name));
    }
    let hostile = [
        "",
        ".",
        "..",
        "../x",
        "/etc/x",
        "a/b",
        "a\\b",
        "-x",
        "--help",
        "2fast",
        "_x",
        "MyApp",
        "my app",
        "ä",
        "a\0b",
        "a\nb",
        "a;b",
        "$(x)",
        "a.b",
        "fn",
        "test",
        "std",
        "con",
        "claude-jobs",
        "claude_jobs",
        "tokio",
    ];
    for name in hostile {
        assert!(name::checked(name).is_err(), "{name:?}");
    }
    assert!(name::checked(&"x".repeat(65)).is_err());
}

#[test]
fn a_new_crate_has_all_its_files_and_its_own_name() {
    let above = folder();
    let root = above.path().join("night-shift");
    project::files(&root, "night-shift", &Source::Published).expect("planned").write().expect("written");
    let names: Vec<String> = tree(&root)
        .iter()
        .map(|(path, text)| {
            assert!(!text.contains("my_app"), "{path}: {text}");
            path[root.display().to_string().len() + 1..].to_owned()
        })
        .collect();
    let expected = [
        ".dockerignore",
        ".env.example",
        ".gitignore",
        "Cargo.toml",
        "Dockerfile",
        "README.md",
        "night-shift.service",
        "src",
        "src/main.rs",
        "src/workers",
        "src/workers.rs",
        "src/workers/app.rs",
        "src/workers/tests.rs",
    ];
    assert_eq!(names, expected);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    let version = env!("CARGO_PKG_VERSION");
    let sqlx = "sqlx = { version = \"0.9\", default-features = false, features = [\"runtime-tokio\", \"sqlite-bundled\"] }";
    assert!(
        manifest.contains(&format!("[dependencies]\n{sqlx}\nclaude-jobs = \"{version}\"\n")),
        "{manifest}"
    );
    let ours = include_str!("../../../../Cargo.toml");
    assert!(ours.contains("\nsqlx = { version = \"0.9\","), "the version that claude-jobs has");
    assert!(
        manifest.ends_with("tokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n"),
        "{manifest}"
    );
}

#[test]
fn within_a_workspace_a_new_crate_stands_alone() {
    let above = folder();
    fs::write(above.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").expect("a file");
    let root = above.path().join("my_app");
    project::files(&root, "my_app", &Source::Published).expect("planned").write().expect("written");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    assert!(manifest.ends_with("\n[workspace]\n"), "{manifest}");
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let above = folder();
    let root = above.path().join("my_app");
    let plan = || project::files(&root, "my_app", &Source::Published);
    fs::create_dir(&root).expect("a folder");
    plan().expect("an empty folder will do");
    fs::write(root.join("notes"), "mine").expect("a file");
    assert!(plan().expect_err("refused").to_string().contains("is not empty; nothing was written"));
    fs::remove_dir_all(&root).expect("removed");
    fs::write(&root, "a file").expect("a file");
    assert!(plan().expect_err("refused").to_string().contains("is no folder"));
    assert_eq!(tree(above.path()).len(), 1);
}

#[test]
fn a_manifest_keeps_its_form() {
    let before = "# Mine.\n[package]\nname    = \"mine\" # aligned\nedition = \"2021\"\n\n[dependencies]\n\
                  serde   = { version = \"1\" }   # why\n\n[dependencies.other]\npath = \"../other\"\n\n\
                  [profile.release]\nlto = true\n";
    let folder = existing_crate(before);
    add(folder.path()).expect("added");
    let version = env!("CARGO_PKG_VERSION");
    let expected = before.replace("# why\n", &format!("# why\nclaude-jobs = \"{version}\"\n"))
        + "\n[dev-dependencies]\ntokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n";
    assert_eq!(fs::read_to_string(folder.path().join("Cargo.toml")).expect("a manifest"), expected);
}

#[test]
fn what_a_crate_depends_on_already_stays() {
    let before = format!("{MINIMAL}[dependencies]\nclaude-jobs.workspace = true\ntokio = \"1\"\n");
    let folder = existing_crate(&before);
    let written = add(folder.path()).expect("added");
    assert_eq!(fs::read_to_string(folder.path().join("Cargo.toml")).expect("a manifest"), before);
    assert!(!written.iter().any(|line| line.contains("Cargo.toml")), "{written:?}");
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written() {
    let folder = existing_crate(MINIMAL);
    let path = folder.path();
    fs::create_dir(path.join("src/workers")).expect("a folder");
    fs::write(path.join("src/workers/tests.rs"), "mine").expect("a file");
    refused(
        path,
        &["src/workers/tests.rs` is there already", "nothing was written", "move what is there away"],
    );
    fs::write(path.join("src/workers.rs"), "mine").expect("a file");
    refused(path, &["src/workers.rs`, `", "are there already"]);
    fs::remove_dir_all(path.join("src/workers")).expect("removed");
    fs::remove_file(path.join("src/workers.rs")).expect("removed");
    fs::write(path.join("src/main.rs"), "mod workers {}\nfn main() {}\n").expect("a file");
    refused(path, &["src/main.rs` has a module `workers` already"]);
}

#[test]
fn a_failure_in_the_middle_takes_everything_back() {
    let folder = existing_crate(MINIMAL);
    // A file where a folder must be: found only when it is written to.
    let plan = || existing::files(folder.path(), &Source::Published).expect("planned");
    let mut files = plan();
    files.create(folder.path().join("src/main.rs/impossible"), "");
    let before = tree(folder.path());
    assert!(files.write().expect_err("cannot be written").to_string().contains("nothing was left"));
    assert_eq!(tree(folder.path()), before);
    plan().write().expect("can be");
}

#[test]
fn what_is_no_crate_is_refused_with_a_remedy() {
    let cases = [
        ("[workspace]\nmembers = []\n", "it has no `[package]`; give the folder of a member"),
        ("[package]\nname = \"mine\"\n", "is of edition 2015"),
        ("[package]\nname = \"mine\"\nedition = \"2018\"\n", "run `cargo fix --edition` first"),
        ("[package\n", "cannot read"),
        (
            "dependencies = 1\n[package]\nname = \"mine\"\nedition = \"2024\"\n",
            "write it as `[dependencies]`",
        ),
    ];
    for (manifest, words) in cases {
        refused(existing_crate(manifest).path(), &[words]);
    }
    let empty = folder();
    refused(empty.path(), &["Cargo.toml`: No such file"]);
    fs::write(empty.path().join("Cargo.toml"), MINIMAL).expect("a file");
    refused(empty.path(), &["neither `src/lib.rs` nor `src/main.rs`"]);
}

#[test]
fn a_checkout_is_found_by_its_folder_or_its_crates() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in [package, package.parent().expect("the repository")] {
        let Ok(Source::Folder(found)) = Source::of(Some(path)) else { panic!("{path:?}") };
        assert_eq!(Path::new(&found), package.canonicalize().expect("a folder"));
    }
    let elsewhere = folder();
    let problem = Source::of(Some(elsewhere.path())).expect_err("not there").to_string();
    assert!(
        problem.contains("does not hold claude-jobs: `--path` takes the folder of its repository"),
        "{problem}"
    );
}
