//! What a killed CLI leaves in the temporary folder: its socket, `cc-socks/<process id>.sock`.
//!
//! Only that. A private temporary folder per run, removed at the end, would take more than litter: tools
//! write what the user wants to keep to `$TMPDIR`, and a continued session goes on with files in
//! `claude-<uid>/` that the run before has written there.

use super::sys::{self, Errno, Kind, Pid};
use super::text::{Invocation, Line};

/// Removes the socket of a CLI that has ended. A process of another container may have the same id and
/// share the folder, so a socket that somebody listens on stays.
pub(super) fn clear(cli: Pid, invocation: &Invocation<'_>) {
    let named = ["CLAUDE_CODE_TMPDIR", "TMPDIR"].map(|name| invocation.variable(name));
    for folder in named.into_iter().flatten().chain([c"/tmp"]) {
        for has_user in [false, true] {
            // A longer path than a socket can have is no socket's.
            let path = Line::<{ sys::SOCKET_PATH }>::new().text(folder.to_bytes()).text(b"/cc-socks");
            // The second name is for a folder that belongs to somebody else.
            let path = if has_user { path.text(b"-").number(sys::user()) } else { path };
            let path = path.text(b"/").number(cli.unsigned_abs()).text(b".sock");
            let Some(path) = path.string() else { continue };
            if sys::kind(path) == Ok(Kind::Socket) && sys::knock(path) == Err(Errno::REFUSED) {
                sys::remove(path);
            }
        }
    }
}
