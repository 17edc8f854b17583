//! How a fake `claude` takes signals: as the real CLI does, unless the script makes it stubborn.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Ends the run on SIGTERM, SIGINT and SIGHUP with the exit codes of the real CLI, after `last`.
///
/// Setting the returned flag makes SIGTERM do nothing.
pub(crate) fn obey(last: impl Fn(i32) + Send + 'static) -> Arc<AtomicBool> {
    let ignore_sigterm = Arc::new(AtomicBool::new(false));
    let ignored = ignore_sigterm.clone();
    let mut signals = listen();
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGTERM && ignored.load(Ordering::SeqCst) {
                continue;
            }
            let code = exit_code(signal);
            last(code);
            exit(code);
        }
    });
    ignore_sigterm
}

/// Makes SIGTERM, SIGINT and SIGHUP do nothing, for the rest of the process.
pub(crate) fn ignore_all() {
    let mut signals = listen();
    thread::spawn(move || signals.forever().for_each(drop));
}

fn listen() -> Signals {
    Signals::new([SIGTERM, SIGINT, SIGHUP]).expect("these signals can be handled")
}

/// Claude Code 2.1.309 exits with 143 on SIGTERM and 129 on SIGHUP, but with 0 on SIGINT.
fn exit_code(signal: i32) -> i32 {
    match signal {
        SIGTERM => 143,
        SIGHUP => 129,
        _ => 0,
    }
}
