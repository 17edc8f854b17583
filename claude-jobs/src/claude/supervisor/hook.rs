//! How the host program becomes a front when it is started again: a function that the loader runs before
//! `main`. For where the [helper](super::program) cannot be used.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::keeper::{self, text::Invocation, text::Text};

/// [`VARIABLE`](super::VARIABLE) for C.
const VARIABLE: &CStr = c"CLAUDE_JOBS_SUPERVISE";

/// Run by the loader before `main`, and before other initialisers: std's own, at 00099, is done.
// SAFETY: the section holds pointers to functions that the loader calls once each; `hook` is one, and
// does not unwind (an `extern "C"` function aborts instead).
#[used]
#[unsafe(link_section = ".init_array.00100")]
static HOOK: extern "C" fn() = hook;

/// Whether the loader of this process has run the hook.
static HAS_RUN: AtomicBool = AtomicBool::new(false);

/// In a process that is to be a front, never returns. In all others it costs one look into the
/// environment.
extern "C" fn hook() {
    HAS_RUN.store(true, Ordering::Relaxed);
    // SAFETY: no other thread exists yet that could change the environment.
    if unsafe { libc::getenv(VARIABLE.as_ptr()) }.is_null() {
        return;
    }
    // A program with more rights than its caller takes no orders from the caller's environment.
    // SAFETY: no preconditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    match invocation() {
        Ok((arguments, variables)) => {
            let (mut arguments, mut variables) = (texts(&arguments), texts(&variables));
            keeper::main(Invocation { arguments: &mut arguments, variables: &mut variables })
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "claude-jobs cannot supervise the run: {problem}");
            keeper::sys::exit(keeper::protocol::BROKEN)
        }
    }
}

/// Whether the loader ran the hook in this process, and where the hook is in memory.
pub(super) fn hook_run() -> Option<usize> {
    HAS_RUN.load(Ordering::Relaxed).then_some(hook as *const () as usize)
}

/// Arguments and environment. The arguments not from `std::env`, which has none before `main` on every C
/// library.
fn invocation() -> std::io::Result<(Vec<CString>, Vec<CString>)> {
    let mut line = std::fs::read("/proc/self/cmdline")?;
    // Each argument ends with NUL.
    line.pop();
    let arguments = line.split(|byte| *byte == 0).map(CString::new);
    let variables = std::env::vars_os().map(|(mut name, value): (OsString, _)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec())
    });
    Ok((arguments.collect::<Result<_, _>>()?, variables.collect::<Result<_, _>>()?))
}

fn texts(strings: &[CString]) -> Vec<Option<Text<'_>>> {
    strings.iter().map(|string| Some(Text::of(string))).chain([None]).collect()
}
