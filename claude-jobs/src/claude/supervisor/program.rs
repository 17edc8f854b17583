//! The program that a front is made of: the helper, from memory, or this very program.
//!
//! The helper is a part of this library's code (`build.rs` has compiled it). Once per process it is put
//! into a sealed file in memory, which no one can change and which is gone with the last process that uses
//! it. Children find it as `/proc/self/fd/<number>`: they have this process's descriptors until they
//! execute it. Whether that is possible here is found out by doing it: without an order the helper ends at
//! once, with [`BROKEN`]. Kernels and security policies can forbid to execute from memory.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::{BROKEN, VARIABLE};

/// The helper. Empty where it could not be built.
static HELPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper"));

/// Why it could not.
const PROBLEM: &str = include_str!(concat!(env!("OUT_DIR"), "/helper.problem"));

/// The path of the helper; `Err` says why there is none. Found out once per process.
pub(super) fn helper() -> Result<&'static Path, &'static str> {
    static ANSWER: OnceLock<Result<InMemory, String>> = OnceLock::new();
    let answer = ANSWER.get_or_init(|| {
        if HELPER.is_empty() {
            return Err(format!("the helper program could not be built: {PROBLEM}"));
        }
        let helper = InMemory::new(HELPER).map_err(|error| format!("no file in memory: {error}"))?;
        helper.prove()?;
        Ok(helper)
    });
    answer.as_ref().map(|helper| helper.path.as_path()).map_err(String::as_str)
}

/// This very executable, also after an upgrade has replaced the file, also in tests and examples.
pub(super) fn this_program() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// A program in a file that is in memory only.
#[derive(Debug)]
struct InMemory {
    /// As its children see it.
    path: PathBuf,
    _file: OwnedFd,
}

impl InMemory {
    fn new(program: &[u8]) -> std::io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = match memfd_create("claude-jobs", flags | MemfdFlags::EXEC) {
            // Kernels before 6.3 do not know that it could be otherwise.
            Err(Errno::INVAL) => memfd_create("claude-jobs", flags)?,
            file => file?,
        };
        // Not one of 0 to 2: a child has its streams there.
        let file = fcntl_dupfd_cloexec(file, 3)?;
        let mut file = std::fs::File::from(file);
        file.write_all(program)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Ok(Self { path, _file: file.into() })
    }

    /// Runs it without an order.
    fn prove(&self) -> Result<(), String> {
        let mut command = Command::new(&self.path);
        command.env_remove(VARIABLE).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.code() == Some(BROKEN) => Ok(()),
            Ok(status) => Err(format!("the helper program ends with {status}")),
            Err(error) => Err(format!("the helper program cannot be executed from memory: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_was_built_and_runs() {
        assert_eq!(helper().err(), None);
        assert!(HELPER.len() < 64 * 1024, "{} bytes", HELPER.len());
    }

    #[test]
    fn the_helper_in_memory_cannot_be_changed() {
        let path = helper().expect("it runs");
        let changed =
            std::fs::File::options().write(true).open(path).and_then(|mut file| file.write_all(b"#!"));
        assert!(changed.is_err());
        assert_eq!(std::fs::read(path).expect("it can be read"), HELPER);
    }

    #[test]
    fn what_cannot_be_executed_is_said() {
        let no_program = InMemory::new(b"no program").expect("a file in memory");
        let refused = no_program.prove().expect_err("it is no program");
        assert!(refused.starts_with("the helper program cannot be executed from memory: "), "{refused}");
    }
}
