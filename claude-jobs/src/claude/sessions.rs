//! Where the CLI keeps its sessions, and whether it has one.
//!
//! A session's transcript is a file in the CLI's config folder, `projects/<folder of the project>/<session>.jsonl`. It is
//! written before the first request to the API is made. Which config folder it is, a file of ours in it tells: host
//! names do not, since a container starts anew under the same name with an empty folder, and under another name with the
//! old one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::host_name;

/// The file that names a config folder.
const NAME: &str = ".claude-jobs-host";

/// What tells the config folder from every other; this machine's name and the folder's path where nothing can be written
/// into it.
pub(super) fn host(environment: &BTreeMap<String, String>) -> String {
    let Some(folder) = config_folder(environment) else { return host_name() };
    named(&folder).unwrap_or_else(|_| format!("{}:{}", host_name(), folder.display()))
}

/// Whether the transcript of a session is there. `None`: that cannot be known.
pub(super) fn has(environment: &BTreeMap<String, String>, session: &str) -> Option<bool> {
    let folder = config_folder(environment)?;
    // A folder that cannot be written to holds no transcript even of a run that has begun.
    named(&folder).ok()?;
    let projects = match fs::read_dir(folder.join("projects")) {
        Ok(projects) => projects,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let file = format!("{session}.jsonl");
    Some(projects.flatten().any(|project| project.path().join(&file).is_file()))
}

fn config_folder(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = environment.get("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    named.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".claude")))
}

/// The name of a folder; given to it now where it has none.
fn named(folder: &Path) -> std::io::Result<String> {
    let path = folder.join(NAME);
    if let Ok(name) = fs::read_to_string(&path)
        && !name.trim().is_empty()
    {
        return Ok(name.trim().to_owned());
    }
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{NAME}.{}", Uuid::now_v7()));
    let name = Uuid::now_v7().to_string();
    let mut file = fs::File::create_new(&draft)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    // Of several that do this at once the first one's name stays.
    let given = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match given {
        Ok(()) => Ok(name),
        Err(_) => fs::read_to_string(&path).map(|name| name.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str, folder: &Path) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), folder.to_str().expect("UTF-8").to_owned())])
    }

    #[test]
    fn a_config_folder_has_one_name_however_it_is_reached() {
        let home = tempfile::tempdir().expect("a folder");
        let by_home = environment("HOME", home.path());
        let name = host(&by_home);
        assert!(Uuid::parse_str(&name).is_ok(), "{name}");
        assert_eq!(host(&by_home), name);
        assert_eq!(host(&environment("CLAUDE_CONFIG_DIR", &home.path().join(".claude"))), name);
        let other = tempfile::tempdir().expect("a folder");
        assert_ne!(host(&environment("HOME", other.path())), name);
        let names: Vec<_> = fs::read_dir(home.path().join(".claude")).expect("there").flatten().collect();
        assert_eq!(names.len(), 1, "no draft stays");
    }

    #[test]
    fn many_that_name_a_folder_at_once_agree() {
        let home = tempfile::tempdir().expect("a folder");
        let environment = environment("HOME", home.path());
        let names: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| host(&environment))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    }

    #[test]
    fn a_session_is_there_when_its_transcript_is() {
        let home = tempfile::tempdir().expect("a folder");
        let environment = environment("HOME", home.path());
        assert_eq!(has(&environment, "s"), Some(false));
        let project = home.path().join(".claude/projects/-work-app");
        fs::create_dir_all(&project).expect("a folder");
        fs::write(project.join("s.jsonl"), "{}").expect("a file");
        assert_eq!((has(&environment, "s"), has(&environment, "t")), (Some(true), Some(false)));
        assert_eq!(
            has(&BTreeMap::from([("CLAUDE_CONFIG_DIR".to_owned(), "/proc/none".to_owned())]), "s"),
            None
        );
        assert_eq!(has(&BTreeMap::new(), "s"), None);
    }
}
