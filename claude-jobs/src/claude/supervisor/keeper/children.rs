//! The children of this process: reaping them, and ending all that are left.
//!
//! This process is a subreaper: whatever a descendant leaves behind, however often it forked and
//! whatever session it opened, becomes its child. So only children are ever signalled, level by level.
//! That is safe without looking at anybody's past: a child's process id cannot be given away before we
//! reap it, and nobody else can.

use core::ffi::CStr;

use super::sys::{self, Access, Errno, Millis, Pid, Signals, Status, signal};
use super::text::{self, Line};

/// How long ending the killed ones may take. Only a process that the kernel cannot end (one that waits
/// for a dead disk or network file system) needs longer; it is given up and reported.
const KILL_LIMIT: Millis = 3000;

/// How long to wait for the next child to end before looking again.
const TICK: Millis = 5;

/// Process ids are below (`PID_MAX_LIMIT`).
const IDS: usize = 4 * 1024 * 1024;

/// Reaps the children that have ended, and hands each to `seen`. False when there is no child left.
pub(super) fn reap(mut seen: impl FnMut(Pid, Status)) -> bool {
    loop {
        match sys::reap_next() {
            Ok(Some((pid, status))) => seen(pid, status),
            Ok(None) => return true,
            Err(Errno::INTERRUPTED) => {}
            Err(_) => return false,
        }
    }
}

/// Ends every descendant: SIGTERM and some time for those that may still have something to save, then
/// SIGKILL until none is left. Answers how many could not be ended.
pub(super) fn end_all(signals: &Signals, patience: Millis) -> u32 {
    if !reap(|_, _| {}) {
        return 0;
    }
    let start = sys::stopwatch();
    let mut asked = Ids::new();
    while reap(|_, _| {}) {
        let waited = sys::stopwatch().saturating_sub(start);
        if waited >= patience.saturating_add(KILL_LIMIT) {
            let mut left = 0;
            each(|_| left += 1);
            return left;
        }
        each(|child| {
            if waited >= patience {
                sys::kill(child, signal::KILL);
            } else if asked.insert(child) {
                // Once: a second SIGTERM makes some programs give up saving. A stopped one takes none.
                sys::kill(child, signal::TERM);
                sys::kill(child, signal::CONT);
            }
        });
        pause(signals);
    }
    0
}

/// Waits until a child has ended, not for long.
fn pause(signals: &Signals) {
    let _ = sys::wait_for(&mut [signals.source()], Some(TICK));
    while signals.next().is_some() {}
}

/// A set of process ids: a bit for each that there can be. The memory is taken up page by page, as ids
/// come.
struct Ids(&'static mut [u64]);

impl Ids {
    fn new() -> Self {
        Self(sys::memory(IDS / 64))
    }

    /// False when it was in the set. Where there was no memory, nothing comes in.
    fn insert(&mut self, id: Pid) -> bool {
        let Some(word) = self.0.get_mut(id as usize / 64) else { return false };
        let bit = 1 << (id % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Shows each child, dead ones included.
fn each(seen: impl FnMut(Pid)) {
    // A kernel without CONFIG_PROC_CHILDREN has no such file.
    match sys::open(c"/proc/thread-self/children", Access::Read) {
        Ok(list) => read_numbers(|buffer| list.read(buffer), seen),
        Err(_) => scan(seen),
    }
}

/// Reads numbers that are separated by single characters, in whatever parts they come.
fn read_numbers(mut read: impl FnMut(&mut [u8]) -> sys::Result<usize>, mut seen: impl FnMut(Pid)) {
    let mut buffer = [0; 512];
    let mut number = 0;
    while let Ok(length @ 1..) = read(&mut buffer) {
        for byte in &buffer[..length] {
            match byte {
                b'0'..=b'9' => number = number * 10 + Pid::from(byte - b'0'),
                _ if number > 0 => {
                    seen(number);
                    number = 0;
                }
                _ => {}
            }
        }
    }
    if number > 0 {
        seen(number);
    }
}

/// The same as [`each`], from every process of the machine.
fn scan(mut seen: impl FnMut(Pid)) {
    let this = sys::this();
    let Ok(processes) = sys::open(c"/proc", Access::Read) else { return };
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = processes.entries(&mut buffer) {
        let mut rest = &buffer[..length];
        while let Some((name, next)) = first_entry(rest) {
            let id = text::number(name.to_bytes()).and_then(|id| Pid::try_from(id).ok());
            if let Some(id) = id.filter(|id| parent(*id) == Some(this)) {
                seen(id);
            }
            rest = next;
        }
    }
}

/// The name of the first of some entries of a folder, and the entries after it. `struct linux_dirent64`:
/// 16 bytes, the length of the whole, the kind, the name.
fn first_entry(entries: &[u8]) -> Option<(&CStr, &[u8])> {
    let length = u16::from_ne_bytes([*entries.get(16)?, *entries.get(17)?]);
    let (entry, rest) = entries.split_at_checked(length.into())?;
    Some((CStr::from_bytes_until_nul(entry.get(19..)?).ok()?, rest))
}

fn parent(id: Pid) -> Option<Pid> {
    let path = Line::<32>::new().text(b"/proc/").number(id.unsigned_abs()).text(b"/stat");
    let stat = sys::open(path.string()?, Access::Read).ok()?;
    let mut buffer = [0; 512];
    let length = stat.read(&mut buffer).ok()?;
    // The name in parentheses may hold anything; state and parent follow it.
    let name_end = buffer[..length].iter().rposition(|byte| *byte == b')')?;
    let parent = buffer[name_end..length].split(|byte| *byte == b' ').nth(2)?;
    Pid::try_from(text::number(parent)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_finds_a_child_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep exists");
        let id = Pid::try_from(child.id()).expect("an id is positive");
        let found = || {
            let mut found = Vec::new();
            scan(|child| found.push(child));
            found
        };
        assert!(found().contains(&id));
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert!(!found().contains(&id));
    }

    #[test]
    fn the_list_of_children_may_come_in_any_parts() {
        let list = b"1 23 4567 4194303 ";
        for part in 1..=list.len() {
            let (mut parts, mut found) = (list.chunks(part), Vec::new());
            let read = |buffer: &mut [u8]| {
                let part = parts.next().unwrap_or_default();
                buffer[..part.len()].copy_from_slice(part);
                Ok(part.len())
            };
            read_numbers(read, |id| found.push(id));
            assert_eq!(found, [1, 23, 4567, 4_194_303]);
        }
    }

    #[test]
    fn an_id_is_new_once() {
        let mut ids = Ids::new();
        for id in [1, 63, 64, 4_194_303] {
            assert_eq!([ids.insert(id), ids.insert(id)], [true, false]);
        }
    }
}
