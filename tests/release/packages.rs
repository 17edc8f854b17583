//! The packages: whole, without anything that does not belong there, and what is built from them works.

use std::process::Command;

use serde_json::Value;

use super::{builds_alone, cargo, repository, said, target};

/// What is published, in the order in which it must be.
const PUBLISHED: [&str; 4] =
    ["claude-jobs-json-schema", "claude-jobs-schedule", "claude-jobs-macros", "claude-jobs"];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// In every package, besides its sources.
const ALWAYS: [&str; 7] = [
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
];

fn in_package(file: &str) -> bool {
    let is_source = file.starts_with("src/") && file.ends_with(".rs");
    let is_ours = file == "build.rs" || file.starts_with("templates/");
    let is_migration = file.starts_with("migrations/") && file.ends_with(".sql");
    is_source || is_ours || is_migration || ALWAYS.contains(&file)
}

/// The files of a package.
fn files(package: &str) -> Vec<String> {
    let archive = target().join(format!("package/{package}-{VERSION}.crate"));
    let text = said(Command::new("tar").arg("tzf").arg(archive));
    let folder = format!("{package}-{VERSION}/");
    text.lines().map(|line| line.strip_prefix(&folder).expect("one folder").to_owned()).collect()
}

/// Builds the program from what is in the packages, and from nothing else of ours.
///
/// Not by `cargo package`'s own verification: what it unpacks of one package for the next stays where it is
/// when the package changes, as long as the version is the same.
fn build_from_packages() {
    let unpacked = target().join("unpacked");
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked).expect("removed");
    }
    std::fs::create_dir_all(&unpacked).expect("a folder");
    let mut arguments = vec!["build".to_owned()];
    for package in PUBLISHED {
        let archive = target().join(format!("package/{package}-{VERSION}.crate"));
        // With the present time: files of packages are all equally old, and cargo goes by that.
        said(Command::new("tar").args(["-x", "-z", "-m", "-C"]).arg(&unpacked).arg("-f").arg(archive));
        let folder = unpacked.join(format!("{package}-{VERSION}"));
        // The target folder may be in the repository, whose workspace these are none of.
        let manifest = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).expect("a manifest");
        std::fs::write(&manifest, text + "\n[workspace]\n").expect("written");
        if package != "claude-jobs" {
            arguments.push("--config".to_owned());
            arguments.push(format!("patch.crates-io.{package}.path={folder:?}"));
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    said(&mut cargo(&unpacked.join(format!("claude-jobs-{VERSION}")), &arguments));
}

/// Packs all of them, looks at what is in them, and builds and runs the program from them.
#[test]
fn the_packages_are_whole_and_build() {
    let _alone = builds_alone();
    let mut arguments = vec!["package", "--locked", "--allow-dirty", "--no-verify"];
    arguments.extend(PUBLISHED.iter().flat_map(|&package| ["-p", package]));
    said(&mut cargo(&repository(), &arguments));

    for package in PUBLISHED {
        let files = files(package);
        let junk: Vec<_> = files.iter().filter(|file| !in_package(file)).collect();
        assert!(junk.is_empty(), "{package}: {junk:?}");
        for file in ALWAYS.into_iter().filter(|&file| file != ".cargo_vcs_info.json") {
            assert!(files.iter().any(|found| found == file), "{package}: {file}");
        }
    }
    build_from_packages();
    // Those that only we use are of exactly our version.
    for package in ["claude-jobs", "claude-jobs-macros"] {
        let manifest = target().join(format!("unpacked/{package}-{VERSION}/Cargo.toml"));
        let manifest = std::fs::read_to_string(manifest).expect("a manifest");
        assert!(manifest.contains("[dependencies.claude-jobs-schedule]"), "{manifest}");
        for section in
            manifest.split("\n\n").filter(|section| section.starts_with("[dependencies.claude-jobs-"))
        {
            assert!(section.contains(&format!("version = \"={VERSION}\"")), "{section}");
        }
    }

    // A package without the sources of the helper would build, but without the helper.
    let program = target().join("debug/claude-jobs");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let doctor = Command::new(&program).args(["doctor", "--json"]).current_dir(folder.path()).output();
    let doctor: Value = serde_json::from_slice(&doctor.expect("it starts").stdout).expect("JSON");
    let checks = doctor["checks"].as_array().expect("checks");
    let orphans = checks.iter().find(|check| check["name"] == "orphans").expect("one about orphans");
    assert!(orphans["detail"].as_str().expect("text").contains("a helper of 20 KiB"), "{orphans}");
    said(Command::new(&program).args(["init", "my_app"]).current_dir(folder.path()));
    said(Command::new(&program).args(["enqueue", "hello"]).current_dir(folder.path()));
    said(Command::new(&program).args(["jobs", "list"]).current_dir(folder.path()));
}

/// Their order is the order of publishing: each needs only those before it.
#[test]
fn nothing_is_published_before_what_it_needs() {
    for (index, package) in PUBLISHED.iter().enumerate() {
        let manifest = repository().join(package).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        let dependencies = dependencies.split("\n[").next().expect("a section");
        for later in &PUBLISHED[index..] {
            assert!(!dependencies.contains(&format!("\n{later}.workspace")), "{package} needs {later}");
        }
    }
}
