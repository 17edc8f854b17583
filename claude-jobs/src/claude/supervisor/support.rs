//! What a front can be made of here: the [helper](super::program), or this program itself, or nothing.
//!
//! For the second there is a proof that starts nothing. Such a front is made by executing
//! `/proc/self/exe` again. That is safe only if the hook is in that file
//! and its loader runs it; otherwise the host program would be started a second time, with the CLI's
//! arguments. Asking it ("run yourself and give the answer") would risk just that. So two facts are
//! looked up instead: the loader of *this* process has run the hook, and the hook's code is mapped from
//! the very file that `/proc/self/exe` is. What was loaded from the file once is loaded from it again.
//!
//! It fails, rightly, in a library loaded by another program (Python, Java, Node), in a program
//! started through an explicit loader or an emulator, and without `/proc`.

use std::path::Path;
use std::sync::OnceLock;

use rustix::process::{DumpableBehavior, dumpable_behavior, geteuid};

use super::{hook, program};

/// A program that becomes a front when it is started with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::claude) struct Front {
    pub(super) program: &'static Path,
}

impl Front {
    /// The helper; `Err` says why not.
    pub(in crate::claude) fn of_helper() -> Result<Self, &'static str> {
        check_pipes()?;
        Ok(Self { program: program::helper()? })
    }

    /// This program itself; `Err` says why not.
    pub(in crate::claude) fn of_this_program() -> Result<Self, &'static str> {
        check_pipes()?;
        // Found out once per process.
        static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
        let answer = ANSWER.get_or_init(|| prove(hook::hook_run()));
        answer.as_ref().map(|()| Self { program: program::this_program() }).map_err(String::as_str)
    }
}

/// A process that has changed its user since its start is closed to others, its pipes included. It can
/// become so at any time.
fn check_pipes() -> Result<(), &'static str> {
    let is_open = matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
    if is_open || geteuid().is_root() {
        Ok(())
    } else {
        Err("the process is not dumpable, so its pipes cannot be opened by another")
    }
}

/// Given where the hook is, if it has been run.
fn prove(hook: Option<usize>) -> Result<(), String> {
    let hook = hook.ok_or("the loader did not run the hook")?;
    let program = std::fs::read_link("/proc/self/exe").map_err(|error| format!("/proc/self/exe: {error}"))?;
    let maps =
        std::fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    let file = file_at(&maps, hook).ok_or("the hook is in no file")?;
    // By name, not by device and inode: on overlay file systems the two places disagree about those.
    // A program that was replaced or removed has the mark ` (deleted)` in both.
    if program.to_str() == Some(file) {
        Ok(())
    } else {
        Err(format!("this crate is in `{file}`, but the program is `{}`", program.display()))
    }
}

/// The file that is mapped at an address.
fn file_at(maps: &str, address: usize) -> Option<&str> {
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        // Permissions, offset, device and inode come before the name.
        let name = rest.find('/').map(|place| &rest[place..]);
        (start..end).contains(&address).then_some(name).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_can() {
        assert_eq!(Front::of_helper().err(), None);
        assert_eq!(Front::of_this_program().map(|front| front.program), Ok(Path::new("/proc/self/exe")));
    }

    #[test]
    fn a_program_that_only_loads_this_crate_cannot() {
        assert_eq!(prove(None), Err("the loader did not run the hook".to_owned()));
        // Stands for a hook in a shared library.
        let elsewhere = libc::getenv as *const () as usize;
        let refused = prove(Some(elsewhere)).expect_err("the C library is not this program");
        assert!(refused.starts_with("this crate is in `/"), "{refused}");
        assert_eq!(prove(Some(0)), Err("the hook is in no file".to_owned()));
    }

    #[test]
    fn the_file_at_an_address() {
        let maps = "00400000-00500000 r-xp 00000000 fe:00 12 /a b/program (deleted)\n\
                    7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n";
        assert_eq!(file_at(maps, 0x0040_0010), Some("/a b/program (deleted)"));
        assert_eq!(file_at(maps, 0x7f00_0000_0010), None);
        assert_eq!(file_at(maps, 0x10), None);
    }
}
