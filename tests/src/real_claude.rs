//! Where the real `claude` CLI is: installed by `tests/run`, never taken from the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The version that the tests are written against, and that `tests/run` installs.
pub const VERSION: &str = "2.1.309";

/// The path of the real CLI: `CLAUDE_JOBS_TEST_CLAUDE`, else the copy under `target/tools`.
///
/// # Panics
/// When it is not installed. A test that needs it fails; it is never skipped.
pub fn real_claude() -> PathBuf {
    if let Some(path) = env::var_os("CLAUDE_JOBS_TEST_CLAUDE") {
        return PathBuf::from(path);
    }
    let packages =
        workspace().join(format!("target/tools/claude-{VERSION}")).join("node_modules/@anthropic-ai");
    native_binary(&packages).unwrap_or_else(|| {
        panic!("no claude {VERSION} under `{}`: run `tests/run`, which installs it", packages.display())
    })
}

/// npm installs the one package `claude-code-<platform>` that fits the machine.
fn native_binary(packages: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(packages).ok()?;
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"claude-code-"))
        .map(|entry| entry.path().join("claude"))
        .find(|path| path.is_file())
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the workspace")
}
