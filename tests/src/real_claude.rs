//! The real `claude` CLI in the oldest and in the newest supported version: installed by `tests/run`, never
//! taken from the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_jobs::claude::{NEWEST_TESTED, OLDEST_TESTED};

/// A version of the real CLI. Where the two differ, a test says in a `match` what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealClaude {
    /// The oldest one that is supported.
    Oldest,
    /// The one that the tests are written against, or the executable `CLAUDE_JOBS_TEST_CLAUDE` in its place.
    Newest,
}

/// Makes two tests of each of these functions, which take a [`RealClaude`]: `v2_1_309::name` and
/// `v2_1_332::name`. A function that is missing from the list is dead code, which the lints refuse.
///
/// `on_each_claude! { async name, … }` is for async functions, `on_each_claude! { name, … }` for others.
#[macro_export]
macro_rules! on_each_claude {
    (@ $version:ident async $($name:ident)+) => {
        mod $version {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::real_claude::RealClaude::named(stringify!($version))).await;
            })+
        }
    };
    (@ $version:ident $($name:ident)+) => {
        mod $version {
            $(#[test]
            fn $name() {
                super::$name($crate::real_claude::RealClaude::named(stringify!($version)));
            })+
        }
    };
    (async $($name:ident),+ $(,)?) => {
        $crate::on_each_claude! { @ v2_1_309 async $($name)+ }
        $crate::on_each_claude! { @ v2_1_332 async $($name)+ }
    };
    ($($name:ident),+ $(,)?) => {
        $crate::on_each_claude! { @ v2_1_309 $($name)+ }
        $crate::on_each_claude! { @ v2_1_332 $($name)+ }
    };
}

impl RealClaude {
    /// Both, the oldest first.
    pub const ALL: [RealClaude; 2] = [RealClaude::Oldest, RealClaude::Newest];

    /// The version whose tests are in this module.
    ///
    /// # Panics
    /// When the module has the name of a version that the library does not name.
    pub fn named(module: &str) -> RealClaude {
        let number = module.trim_start_matches('v').replace('_', ".");
        let mut versions = RealClaude::ALL.into_iter();
        versions.find(|claude| claude.supported() == number).unwrap_or_else(|| {
            panic!("`on_each_claude` names {number}; supported are {OLDEST_TESTED} and {NEWEST_TESTED}")
        })
    }

    /// Its number in the library.
    pub fn supported(self) -> &'static str {
        match self {
            RealClaude::Oldest => OLDEST_TESTED,
            RealClaude::Newest => NEWEST_TESTED,
        }
    }

    /// The number that it tells of itself: another one than [`supported`](Self::supported) only where another
    /// executable is in its place.
    ///
    /// # Panics
    /// When it does not start, or prints no version.
    pub fn number(self) -> String {
        let output =
            Command::new(self.path()).arg("--version").output().expect("the real CLI can be started");
        let line = String::from_utf8(output.stdout).expect("a version is ASCII");
        let number = line.strip_suffix(" (Claude Code)\n");
        number.unwrap_or_else(|| panic!("`{line}` is no version")).to_owned()
    }

    /// The path of the executable.
    ///
    /// # Panics
    /// When it is not installed. A test that needs it fails; it is never skipped.
    pub fn path(self) -> PathBuf {
        if let (RealClaude::Newest, Some(path)) = (self, env::var_os("CLAUDE_JOBS_TEST_CLAUDE")) {
            return PathBuf::from(path);
        }
        let number = self.supported();
        let packages =
            workspace().join(format!("target/tools/claude-{number}")).join("node_modules/@anthropic-ai");
        native_binary(&packages).unwrap_or_else(|| {
            panic!("no claude {number} under `{}`: run `tests/run`, which installs it", packages.display())
        })
    }
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
