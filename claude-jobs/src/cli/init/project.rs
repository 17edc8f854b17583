//! A new crate in a folder of its own.

use std::fs;
use std::path::Path;

use super::files::Files;
use super::manifest::{Manifest, Source, workspace_above};
use super::{add_worker, filled, shown};
use crate::cli::exit::Problem;

/// The files of a crate: the name of each, and what it says.
const FILES: &[(&str, &str)] = &[
    ("src/main.rs", include_str!("../../../templates/main.rs")),
    (".env.example", include_str!("../../../templates/env.example")),
    (".gitignore", include_str!("../../../templates/gitignore")),
    (".dockerignore", include_str!("../../../templates/dockerignore")),
    ("Dockerfile", include_str!("../../../templates/Dockerfile")),
    ("my_app.service", include_str!("../../../templates/my_app.service")),
    ("README.md", include_str!("../../../templates/README.md")),
];

// Not `Cargo.toml`: packages leave folders out that have one.
const MANIFEST: &str = include_str!("../../../templates/Cargo.toml.template");

/// All that a crate of this name, in this folder, consists of.
pub(super) fn files(root: &Path, name: &str, source: &Source) -> Result<Files, Problem> {
    check_empty(root)?;
    let mut files = Files::default();
    let mut manifest = Manifest::parse(root.join("Cargo.toml"), filled(MANIFEST, name))?;
    if workspace_above(root).is_some() {
        manifest = manifest.with_own_workspace();
    }
    let (path, _, text) = manifest.with_sqlx()?.with_dependencies(source)?;
    files.create(path, text);
    add_worker(&mut files, root);
    for (path, template) in FILES {
        files.create(root.join(filled(path, name)), filled(template, name));
    }
    Ok(files)
}

/// A folder that is not there, or has nothing in it.
fn check_empty(root: &Path) -> Result<(), Problem> {
    let refused = |why: &str, remedy: &str| {
        Err(Problem::usage(format!("`{}` {why}; nothing was written: {remedy}", shown(root))))
    };
    if root.symlink_metadata().is_err() {
        return Ok(());
    }
    match fs::read_dir(root).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => refused(
            "is there already and is not empty",
            "give another name, or `--into PATH` to add a worker to the crate in it",
        ),
        Err(_) => refused("is there already and is no folder", "give another name"),
    }
}

/// What to do next.
pub(super) fn next(name: &str) -> String {
    format!("next:\n  cd {name}\n  cargo test\n  cargo run -- doctor\nREADME.md there says how to go on\n")
}
