//! What can be known before a process is started, and is told apart badly afterwards: the system
//! answers "no such file" alike for a missing executable, a missing interpreter and a missing
//! working directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::outcome::NotStarted;

/// Where the executable is: `name` as a path, or looked for on `search_path`.
pub fn find_binary(name: &str, search_path: Option<&str>) -> Result<PathBuf, NotStarted> {
    let given = Path::new(name);
    if given.components().count() > 1 {
        return check_binary(given.to_owned());
    }
    let folders = std::env::split_paths(search_path.unwrap_or_default());
    let mut refused = None;
    for folder in folders {
        match check_binary(folder.join(name)) {
            Ok(found) => return Ok(found),
            Err(NotStarted::BinaryNotRunnable(why)) => refused = Some(NotStarted::BinaryNotRunnable(why)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        NotStarted::BinaryMissing(format!("`{name}` is not on PATH: install Claude Code, or set `binary`"))
    }))
}

fn check_binary(path: PathBuf) -> Result<PathBuf, NotStarted> {
    let shown = path.display();
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(NotStarted::BinaryMissing(format!("`{shown}` does not exist: set `binary` to the CLI")))
        }
        Err(error) => Err(NotStarted::BinaryNotRunnable(format!("`{shown}`: {error}"))),
        Ok(data) if !data.is_file() => Err(NotStarted::BinaryNotRunnable(format!("`{shown}` is not a file"))),
        Ok(_) if access(&path, Access::EXEC_OK).is_err() => {
            Err(NotStarted::BinaryNotRunnable(format!("`{shown}` is not executable: `chmod +x` it")))
        }
        Ok(_) => Ok(path),
    }
}

/// Whether the working directory can be worked in.
pub(super) fn check_working_dir(path: &str) -> Result<(), NotStarted> {
    let problem = match Path::new(path).metadata() {
        Ok(data) if data.is_dir() => return Ok(()),
        Ok(_) => "is not a directory".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(NotStarted::WorkingDirMissing(format!("working_dir `{path}` {problem}")))
}

/// The executable of a run, after both checks.
pub(super) fn check(
    binary: &str,
    working_dir: Option<&str>,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, NotStarted> {
    working_dir.map_or(Ok(()), check_working_dir)?;
    let found = find_binary(binary, environment.get("PATH").map(String::as_str))?;
    // The child starts in its working directory; a relative path is ours.
    Ok(std::path::absolute(&found).unwrap_or(found))
}
