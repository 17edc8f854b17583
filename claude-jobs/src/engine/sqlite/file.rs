//! The file of a database: whether its path can be one, how it is made, and how a copy of it is known.

use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file that was opened.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    id: FileId,
}

/// Device and inode.
type FileId = (u64, u64);

/// Where a database is: what its own tables say of it differs in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The file's path, links resolved.
    pub(super) path: String,
    /// The file itself, wherever it is moved on its disk: its inode.
    pub(super) file: u64,
    /// When it was made, in nanoseconds since 1970. None where the disk does not say.
    pub(super) born: Option<u64>,
}

impl File {
    /// The file at this path, if there is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let id = id(&path)?;
        Some(Self { path, id })
    }

    /// An error if the file was deleted or replaced. SQLite would go on writing into the old one, which nobody reads.
    pub(super) fn check(&self) -> Result<()> {
        if id(&self.path) == Some(self.id) {
            return Ok(());
        }
        Err(Error::DatabaseReplaced { path: self.path.display().to_string() })
    }

    /// How many bytes its disk has left.
    pub(super) fn free_disk(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Where it is.
    pub(super) fn origin(&self) -> Option<Origin> {
        let file = self.path.metadata().ok()?;
        // Not the device: its number may change when the disk is mounted again.
        let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.map(|born| born.as_nanos() as u64);
        Some(Origin { path: self.path.display().to_string(), file: file.ino(), born })
    }
}

impl Origin {
    /// Whether a database that says it is from here, and is found at `found`, is a copy: it is another file. One that was
    /// moved is the same. Where a disk does not say when files were made it may number them anew whenever it is mounted:
    /// there another file at the same path is taken for the same.
    pub(super) fn is_copied_to(&self, found: &Self) -> bool {
        let is_sure = self.born.is_some() && found.born.is_some();
        (self.file, self.born) != (found.file, found.born) && (is_sure || self.path != found.path)
    }
}

fn id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Says what is wrong with the path before SQLite does with less words.
pub(super) fn check_path(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() {
        return Err("the URL names no file; write it as `sqlite://path/to/jobs.db`".to_owned());
    }
    if path.to_string_lossy().starts_with("file:") {
        return Err("`file:` is no part of a path here; write it as `sqlite://path/to/jobs.db`".to_owned());
    }
    if path.metadata().is_ok_and(|file| file.is_file() && file.nlink() > 1) {
        let path = path.display();
        return Err(format!(
            "`{path}` is a file of several names (hard links), of which each would have a log of its own, so that jobs \
             are lost: copy it"
        ));
    }
    if path.is_dir() {
        return Err(format!("`{}` is a folder; name a file in it", path.display()));
    }
    if path.exists() && !path.is_file() {
        return Err(format!("`{}` is no regular file", path.display()));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("the folder `{}` does not exist; create it first", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the file, if it is not there, for its owner only: prompts and answers are in it. SQLite gives the files that it
/// makes beside it (`-wal`, `-shm`) the same permissions.
pub(super) fn create(path: &Path) -> Result<(), String> {
    // Also through a link that leads to no file yet.
    match std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path) {
        Err(problem) if !path.exists() => Err(format!(
            "the file cannot be created ({problem}): is its folder writable, and space left on the disk?"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_another_file() {
        let origin = |path: &str, file, born| Origin { path: path.to_owned(), file, born };
        let first = origin("/a/jobs.db", 7, Some(1));
        for (found, is_copy) in [
            (origin("/a/jobs.db", 7, Some(1)), false),
            (origin("/b/jobs.db", 7, Some(1)), false),
            (origin("/a/jobs.db", 8, Some(2)), true),
            (origin("/a/jobs.db", 7, Some(2)), true),
            (origin("/b/jobs.db", 8, Some(2)), true),
            (origin("/a/jobs.db", 8, None), false),
            (origin("/b/jobs.db", 8, None), true),
        ] {
            assert_eq!(first.is_copied_to(&found), is_copy, "{found:?}");
        }
    }

    #[test]
    fn a_file_keeps_its_identity_where_it_is_moved_but_no_copy_has_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let origin = |name: &str| File::at(&at(name)).and_then(|file| file.origin()).expect("it is there");
        create(&at("a")).expect("a folder of ours");
        let first = origin("a");
        create(&at("a")).expect("it is there");
        std::fs::copy(at("a"), at("b")).expect("a copy");
        std::fs::rename(at("a"), at("c")).expect("moved");
        assert!(!first.is_copied_to(&origin("c")) && first.is_copied_to(&origin("b")));
        assert!(File::at(&at("a")).is_none());
    }
}
