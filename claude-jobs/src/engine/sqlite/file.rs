//! The file of a database: whether its path can be one, how it is made, and how a copy of it is known.

use std::io::ErrorKind;
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
    /// The file itself, wherever it is moved on its disk: inode and birth.
    pub(super) file: String,
}

impl File {
    /// The file at this path. None if there is none, as for a database in memory.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let id = id(&path)?;
        Some(Self { path, id })
    }

    /// SQLite goes on with a file that was deleted or replaced: what is written there nobody ever reads.
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
        let birth = file.created().ok().and_then(|birth| birth.duration_since(UNIX_EPOCH).ok());
        let birth = birth.unwrap_or_default().as_nanos();
        Some(Origin { path: self.path.display().to_string(), file: format!("{}.{birth}", file.ino()) })
    }
}

impl Origin {
    /// Whether a database that says it is from here, and is found at `found`, is a copy. One that was moved keeps its file;
    /// one that was restored in place, or whose disk numbers files anew, keeps its path.
    pub(super) fn is_copied_to(&self, found: &Self) -> bool {
        self.path != found.path && self.file != found.file
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
    if path.is_dir() {
        return Err(format!("`{}` is a folder; name a file in it", path.display()));
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
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(problem) if problem.kind() != ErrorKind::AlreadyExists => Err(format!(
            "the file cannot be created ({problem}): is its folder writable, and space left on the disk?"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_another_file_at_another_path() {
        let origin = |path: &str, file: &str| Origin { path: path.to_owned(), file: file.to_owned() };
        let first = origin("/a/jobs.db", "7.1");
        for (found, is_copy) in [
            (origin("/a/jobs.db", "7.1"), false),
            (origin("/b/jobs.db", "7.1"), false),
            (origin("/a/jobs.db", "8.2"), false),
            (origin("/b/jobs.db", "8.2"), true),
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
        assert_eq!(first.file, origin("c").file);
        assert_ne!(first.file, origin("b").file);
        assert!(File::at(&at("a")).is_none());
    }
}
