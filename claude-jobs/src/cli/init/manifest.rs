//! `Cargo.toml`: what the worker and its tests need, added without touching the rest.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value, table, value};

use super::shown;
use crate::cli::exit::Problem;

/// Where the crate gets claude-jobs from.
#[derive(Debug)]
pub(super) enum Source {
    /// The version of this program.
    Published,
    /// A folder.
    Folder(String),
}

impl Source {
    /// From the folder that was named: that of the crate, or of its repository.
    pub(super) fn of(path: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = path else { return Ok(Self::Published) };
        let found = [path.to_owned(), path.join("claude-jobs")].into_iter().find(|folder| is_ours(folder));
        let Some(folder) = found else {
            return Err(Problem::usage(format!(
                "`{}` does not hold claude-jobs: `--path` takes the folder of its repository",
                shown(path)
            )));
        };
        let folder = folder.canonicalize().map_err(|error| unreadable(&folder, &error))?;
        // Manifests are text.
        let folder = folder.into_os_string().into_string();
        folder
            .map(Self::Folder)
            .map_err(|_| Problem::usage("`--path` is not UTF-8, which Cargo.toml must be"))
    }

    fn dependency(&self) -> Item {
        match self {
            Self::Published => value(env!("CARGO_PKG_VERSION")),
            Self::Folder(folder) => {
                let mut dependency = InlineTable::new();
                dependency.insert("path", folder.as_str().into());
                value(dependency)
            }
        }
    }
}

fn is_ours(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: DocumentMut = manifest.parse().unwrap_or_default();
    manifest.get("package").and_then(|package| package.get("name")).and_then(Item::as_str)
        == Some("claude-jobs")
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::usage(format!("cannot read `{}`: {error}", shown(path)))
}

/// A crate's manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) path: PathBuf,
    pub(super) text: String,
    document: DocumentMut,
}

impl Manifest {
    /// Of the crate in this folder.
    pub(super) fn read(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        Self::parse(path, text)
    }

    /// From its text.
    pub(super) fn parse(path: PathBuf, text: String) -> Result<Self, Problem> {
        let document: DocumentMut = text.parse().map_err(|error| unreadable(&path, &error))?;
        let Some(package) = document.get("package").and_then(Item::as_table_like) else {
            return Err(Problem::usage(format!(
                "`{}` is not the manifest of a crate: it has no `[package]`; give the folder of a member",
                shown(&path)
            )));
        };
        if let Some(edition) = package.get("edition").map_or(Some("2015"), Item::as_str)
            && ["2015", "2018"].contains(&edition)
        {
            return Err(Problem::usage(format!(
                "`{}` is of edition {edition}, and workers need 2021 or newer: run `cargo fix --edition` first",
                shown(&path)
            )));
        }
        Ok(Self { path, text, document })
    }

    /// What it says with claude-jobs, and with tokio for the tests. Both stay as they are where they are there.
    pub(super) fn with_dependencies(mut self, source: &Source) -> Result<(PathBuf, String, String), Problem> {
        let has_tokio = ["dependencies", "dev-dependencies"]
            .into_iter()
            .any(|table| self.document.get(table).is_some_and(|table| table.get("tokio").is_some()));
        let dependencies = self.dependencies("dependencies")?;
        if !dependencies.contains_key("claude-jobs") {
            dependencies.insert("claude-jobs", source.dependency());
        }
        if !has_tokio {
            let mut tokio = InlineTable::new();
            tokio.insert("version", "1".into());
            tokio.insert("features", Value::from_iter(["macros", "rt"]));
            self.dependencies("dev-dependencies")?.insert("tokio", value(tokio));
        }
        Ok((self.path, self.text, self.document.to_string()))
    }

    /// With a pool of its own: in the version of claude-jobs, because a program links SQLite once.
    pub(super) fn with_sqlx(mut self) -> Result<Self, Problem> {
        let mut sqlx = InlineTable::new();
        sqlx.insert("version", "0.9".into());
        sqlx.insert("default-features", false.into());
        sqlx.insert("features", Value::from_iter(["runtime-tokio", "sqlite-bundled"]));
        self.dependencies("dependencies")?.insert("sqlx", value(sqlx));
        Ok(self)
    }

    /// Stands alone, whatever workspace is around it.
    pub(super) fn with_own_workspace(mut self) -> Self {
        self.document.entry("workspace").or_insert_with(table);
        self
    }

    fn dependencies(&mut self, name: &str) -> Result<&mut dyn TableLike, Problem> {
        let path = shown(&self.path);
        let item = self.document.entry(name).or_insert_with(table);
        item.as_table_like_mut().ok_or_else(|| {
            Problem::usage(format!("`{path}`: `{name}` is not a table; write it as `[{name}]`"))
        })
    }
}

/// The manifest of a workspace in a folder above, which would claim a crate that is none of its members.
pub(super) fn workspace_above(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().skip(1).map(|above| above.join("Cargo.toml")).find(|manifest| {
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        text.parse::<DocumentMut>().is_ok_and(|document| document.contains_key("workspace"))
    })
}
