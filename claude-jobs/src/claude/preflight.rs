//! What can be known before a process is started, and is told apart badly afterwards: the system
//! answers "no such file" alike for a missing executable, a missing interpreter and a missing
//! working directory.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::options::Options;
use crate::outcome::NotStarted;

/// Where the executable is: `name` as a path, or looked for on `search_path`.
pub fn find_binary(name: &str, search_path: Option<&str>) -> Result<PathBuf, NotStarted> {
    let given = Path::new(name);
    if given.components().count() > 1 {
        return check_binary(given.to_owned());
    }
    let (mut refused, mut closed) = (None, String::new());
    // An empty entry would mean the folder in which the runtime was started. Nobody has chosen the programs in it.
    let folders = std::env::split_paths(search_path.unwrap_or_default());
    for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
        let path = folder.join(name);
        match path.metadata() {
            Ok(data) => match check_file(path, &data) {
                Ok(found) => return Ok(found),
                Err(why) => refused = Some(why),
            },
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            // Another user's folder, for example: what is in it is not ours to know.
            Err(error) => closed = format!(" (`{}` could not be searched: {error})", folder.display()),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let problem = format!("`{name}` is not on PATH{closed}");
        NotStarted::BinaryMissing(format!("{problem}: install Claude Code, or set `binary`"))
    }))
}

fn check_binary(path: PathBuf) -> Result<PathBuf, NotStarted> {
    let shown = path.display();
    match path.metadata() {
        Ok(data) => check_file(path, &data),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(NotStarted::BinaryMissing(format!("`{shown}` does not exist: set `binary` to the CLI")))
        }
        Err(error) => Err(NotStarted::BinaryNotRunnable(format!("`{shown}`: {error}"))),
    }
}

fn check_file(path: PathBuf, data: &Metadata) -> Result<PathBuf, NotStarted> {
    let shown = path.display();
    if !data.is_file() {
        return Err(NotStarted::BinaryNotRunnable(format!("`{shown}` is not a file")));
    }
    if access(&path, Access::EXEC_OK).is_err() {
        return Err(NotStarted::BinaryNotRunnable(format!("`{shown}` is not executable: `chmod +x` it")));
    }
    Ok(path)
}

/// Whether the working directory can be worked in.
pub(super) fn check_working_dir(path: &str) -> Result<(), NotStarted> {
    let problem = match Path::new(path).metadata() {
        Ok(data) if data.is_dir() => return Ok(()),
        Ok(_) => "is not a directory".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(NotStarted::WorkingDirMissing(format!("working_dir `{path}` {problem}")))
}

/// Whether there is a git that runs would find.
pub(super) fn has_git(environment: &BTreeMap<String, String>) -> bool {
    find_binary("git", environment.get("PATH").map(String::as_str)).is_ok()
}

/// Whether the folders are there that the CLI writes to: without the first it fails, without the second it keeps no
/// session, silently.
pub(super) fn check_folders(
    environment: &BTreeMap<String, String>,
    keeps_session: bool,
) -> Result<(), NotStarted> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let temporary = ["CLAUDE_CODE_TMPDIR", "TMPDIR"].iter().find_map(|name| Some((*name, variable(name)?)));
    let (name, folder) = temporary.map_or(("TMPDIR", "/tmp"), |(name, folder)| (name, folder.as_str()));
    usable(Path::new(folder)).map_err(|problem| {
        let what = format!("the temporary folder `{folder}` {problem}");
        NotStarted::Environment(format!("{what}: make it writable, or set `{name}` to one that is"))
    })?;
    let own = variable("CLAUDE_CONFIG_DIR").map(|folder| ("CLAUDE_CONFIG_DIR", PathBuf::from(folder)));
    let home = || Some(("HOME", Path::new(variable("HOME")?).join(".claude")));
    let Some((name, folder)) = own.or_else(home).filter(|_| keeps_session) else { return Ok(()) };
    // The CLI makes what is missing of the path.
    let there = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(&folder);
    usable(there).map_err(|problem| {
        let what =
            format!("claude's folder `{}` cannot be used: `{}` {problem}", folder.display(), there.display());
        let remedy = format!("set `{name}` to a folder that can be written, or `no_session_persistence`");
        NotStarted::Environment(format!("{what}: {remedy}"))
    })
}

fn usable(folder: &Path) -> Result<(), String> {
    match folder.metadata() {
        Ok(data) if !data.is_dir() => Err("is not a directory".to_owned()),
        Ok(_) => access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| format!("cannot be written ({error})")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) => Err(format!("cannot be looked at ({error})")),
    }
}

/// The executable of a run, after all checks.
pub(super) fn check(
    binary: &str,
    options: &Options,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, NotStarted> {
    options.working_dir.as_deref().map_or(Ok(()), check_working_dir)?;
    let found = find_binary(binary, environment.get("PATH").map(String::as_str))?;
    check_folders(environment, options.no_session_persistence != Some(true))?;
    // The child starts in its working directory; a relative path is ours.
    Ok(std::path::absolute(&found).unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_claude_cannot_write_to_is_told_before_the_start() {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name).display().to_string();
        std::fs::write(path("file"), "").expect("a file");
        let check = |pairs: &[(&str, &str)], keeps| {
            let environment =
                pairs.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect();
            match check_folders(&environment, keeps) {
                Ok(()) => String::new(),
                Err(NotStarted::Environment(why)) => why,
                Err(other) => panic!("{other:?}"),
            }
        };
        let (good, gone, file) = (path(""), path("gone"), path("file"));
        let below = path("file/below");
        for (variables, keeps, expected) in [
            (vec![("TMPDIR", &good), ("HOME", &good)], true, vec![]),
            (vec![("HOME", &gone)], true, vec![]),
            (vec![("TMPDIR", &gone)], true, vec![gone.as_str(), "does not exist", "`TMPDIR`"]),
            (vec![("TMPDIR", &gone), ("CLAUDE_CODE_TMPDIR", &good)], true, vec![]),
            (vec![("CLAUDE_CODE_TMPDIR", &file)], true, vec!["is not a directory", "`CLAUDE_CODE_TMPDIR`"]),
            (vec![("HOME", &file)], true, vec![file.as_str(), "`HOME`", "no_session_persistence"]),
            (vec![("HOME", &file)], false, vec![]),
            (vec![("HOME", &file), ("CLAUDE_CONFIG_DIR", &good)], true, vec![]),
            (vec![("CLAUDE_CONFIG_DIR", &below)], true, vec!["`CLAUDE_CONFIG_DIR`"]),
        ] {
            let variables: Vec<_> = variables.iter().map(|(name, path)| (*name, path.as_str())).collect();
            let told = check(&variables, keeps);
            assert_eq!(told.is_empty(), expected.is_empty(), "{variables:?}: {told}");
            assert!(expected.iter().all(|part| told.contains(part)), "{variables:?}: {told}");
        }
    }

    /// Tests run in the folder of `Cargo.toml`.
    #[test]
    fn the_current_folder_is_not_searched() {
        assert!(Path::new("Cargo.toml").is_file());
        for search_path in [None, Some(""), Some(":"), Some(":/nowhere")] {
            let found = find_binary("Cargo.toml", search_path);
            assert!(matches!(found, Err(NotStarted::BinaryMissing(_))), "{search_path:?}: {found:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_searched_hides_nothing_and_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let [tools, plain, circle] = ["tools", "plain", "circle"].map(|name| folder.path().join(name));
        std::fs::create_dir(&tools).expect("a folder");
        std::os::unix::fs::symlink("/bin/true", tools.join("claude")).expect("a link");
        std::fs::write(&plain, "").expect("a file");
        std::os::unix::fs::symlink(&circle, &circle).expect("a link");
        let look = |name, folders: &[&PathBuf]| {
            let path = std::env::join_paths(folders).expect("no colon");
            find_binary(name, path.to_str())
        };
        let all = [&plain, &circle, &tools];
        assert_eq!(look("claude", &all).expect("it is in the last"), tools.join("claude"));
        let missing = |name, folders: &[&PathBuf]| match look(name, folders) {
            Err(NotStarted::BinaryMissing(why)) => why,
            other => panic!("{other:?}"),
        };
        let remedy = ": install Claude Code, or set `binary`";
        assert_eq!(missing("absent", &[&plain, &tools]), format!("`absent` is not on PATH{remedy}"));
        let told = missing("absent", &all);
        let closed = format!("`absent` is not on PATH (`{}` could not be searched: ", circle.display());
        assert!(told.starts_with(&closed) && told.ends_with(&format!("){remedy}")), "{told}");
        std::fs::write(tools.join("text"), "").expect("a file");
        let found = look("text", &all);
        assert!(
            matches!(&found, Err(NotStarted::BinaryNotRunnable(why)) if why.contains("chmod +x")),
            "{found:?}"
        );
    }
}
