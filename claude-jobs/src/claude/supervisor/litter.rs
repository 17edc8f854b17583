//! What a killed CLI leaves in the temporary folder: its socket, `cc-socks/<process id>.sock`.
//!
//! Only that. A private temporary folder per run, removed at the end, would take more than litter: tools
//! write what the user wants to keep to `$TMPDIR`, and a continued session goes on with files in
//! `claude-<uid>/` that the run before has written there.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::{Pid, getuid};

/// Removes the socket of a CLI that has ended. A process of another container may have the same id and
/// share the folder, so a socket that somebody listens on stays.
pub(super) fn clear(cli: Pid) {
    let named = ["CLAUDE_CODE_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    for folder in named.map(PathBuf::from).chain(["/tmp".into()]) {
        // The second name is for a folder that belongs to somebody else.
        for name in ["cc-socks".to_owned(), format!("cc-socks-{}", getuid().as_raw())] {
            let socket = folder.join(name).join(format!("{}.sock", cli.as_raw_nonzero()));
            let is_socket = socket.symlink_metadata().is_ok_and(|data| data.file_type().is_socket());
            let is_dead = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
            if is_socket && UnixStream::connect(&socket).is_err_and(is_dead) {
                let _ = std::fs::remove_file(socket);
            }
        }
    }
}
