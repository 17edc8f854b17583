//! [`Files`]: what is to be written, checked as a whole before anything is.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::shown;
use crate::cli::exit::Problem;

/// Files to write: all of them or, as far as the disk lets us, none.
#[derive(Debug, Default)]
pub(super) struct Files {
    new: Vec<(PathBuf, String)>,
    changed: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    path: PathBuf,
    before: String,
    after: String,
}

impl Files {
    /// A file that must not be there yet.
    pub(super) fn create(&mut self, path: PathBuf, text: impl Into<String>) {
        self.new.push((path, text.into()));
    }

    /// A file that is there and says something else afterwards.
    pub(super) fn change(&mut self, path: PathBuf, before: String, after: String) {
        if before != after {
            self.changed.push(Change { path, before, after });
        }
    }

    /// Writes them; what was done, a line for each.
    pub(super) fn write(self) -> Result<Vec<String>, Problem> {
        self.check()?;
        let mut done = Done::default();
        match self.write_all(&mut done) {
            Ok(()) => Ok(self.lines()),
            Err((path, error)) => {
                done.undo();
                Err(Problem::general(format!("cannot write `{}`: {error}; nothing was left", shown(path))))
            }
        }
    }

    /// Nothing may be in the way.
    fn check(&self) -> Result<(), Problem> {
        let in_the_way: Vec<String> = self
            .new
            .iter()
            .filter(|(path, _)| path.symlink_metadata().is_ok())
            .map(|(path, _)| shown(path))
            .collect();
        if in_the_way.is_empty() {
            return Ok(());
        }
        let verb = if in_the_way.len() == 1 { "is" } else { "are" };
        Err(Problem::usage(format!(
            "`{}` {verb} there already and would be overwritten; nothing was written: move what is there away, or \
             begin in a new folder",
            in_the_way.join("`, `")
        )))
    }

    fn write_all<'a>(&'a self, done: &mut Done<'a>) -> Result<(), (&'a Path, io::Error)> {
        for (path, text) in &self.new {
            done.create(path, text).map_err(|error| (path.as_path(), error))?;
        }
        for change in &self.changed {
            done.changed.push(change);
            fs::write(&change.path, &change.after).map_err(|error| (change.path.as_path(), error))?;
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let new = self.new.iter().map(|(path, _)| shown(path));
        new.chain(self.changed.iter().map(|change| format!("{} (changed)", shown(&change.path)))).collect()
    }
}

/// What has been done so far.
#[derive(Default)]
struct Done<'a> {
    folders: Vec<PathBuf>,
    created: Vec<&'a Path>,
    changed: Vec<&'a Change>,
}

impl<'a> Done<'a> {
    fn create(&mut self, path: &'a Path, text: &str) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        // `create_new` also holds against somebody who makes the file in this moment.
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.created.push(path);
        file.write_all(text.as_bytes())
    }

    fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folder(parent)?;
        }
        match fs::create_dir(folder) {
            Ok(()) => self.folders.push(folder.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whatever cannot be undone stays: there is nothing better to do about it.
    fn undo(self) {
        for change in self.changed {
            let _ = fs::write(&change.path, &change.before);
        }
        for path in self.created {
            let _ = fs::remove_file(path);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
