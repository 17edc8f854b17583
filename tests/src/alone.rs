//! A test in a process of its own, because it changes what holds for a whole process: its limits, or
//! what is mounted where.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tells the inner process its folder.
const INSIDE: &str = "CLAUDE_JOBS_TEST_ALONE";

/// Mounts a file system of this size (in MiB) on the folder, for nobody else to see.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size="$1"m tmpfs "$2" && shift 2 && exec "$@""#;

/// Forbids the processes of a new process namespace to execute files that are in memory only.
const WITHOUT_PROGRAMS_IN_MEMORY: &str = r#"echo 2 >/proc/sys/vm/memfd_noexec && exec "$@""#;

/// The folder of a test, if this process is the inner one.
pub fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// Runs this test of this program again in a process of its own, with a folder of its own.
///
/// # Panics
/// When it fails there.
pub fn run(test: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    go(Command::new(this()), test, folder.path());
}

/// The same, as a user whom file modes bind: root without the capability to go past them.
///
/// # Panics
/// When it fails there.
pub fn run_without_privilege(test: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(this());
    if rustix::process::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--"]).arg(this());
    }
    go(command, test, folder.path());
}

/// The same, with a disk of its own behind the folder. False, and nothing run, where this user may mount
/// nothing.
///
/// # Panics
/// When it fails there.
#[must_use]
pub fn run_on_a_disk(test: &str, mebibytes: u32) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--", "sh", "-c", ON_A_SMALL_DISK, "sh"]).arg(mebibytes.to_string());
        command.arg(folder.path()).arg(program);
        command
    };
    let may_mount = command(Path::new("true")).stderr(Stdio::null()).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return false;
    }
    go(command(&this()), test, folder.path());
    true
}

/// The same, where the kernel executes no file that is in memory only. False, and nothing run, where this
/// user may not forbid it, or the kernel (before 6.3) does not know how to.
#[must_use]
pub fn run_without_programs_in_memory(test: &str) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--", "sh", "-c", WITHOUT_PROGRAMS_IN_MEMORY, "sh"]).arg(program);
        command
    };
    let may_forbid = command(Path::new("true")).stderr(Stdio::null()).status();
    if !may_forbid.is_ok_and(|status| status.success()) {
        return false;
    }
    go(command(&this()), test, folder.path());
    true
}

fn this() -> PathBuf {
    std::env::current_exe().expect("a running program has a path")
}

fn go(mut command: Command, test: &str, folder: &Path) {
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, folder)
        .stdin(Stdio::null())
        .output()
        .expect("this program can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
    println!("{out}");
}
