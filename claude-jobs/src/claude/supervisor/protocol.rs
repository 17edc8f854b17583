//! What host, front and supervisor say to each other: the order at the start, the words on the control
//! pipe, the verdict at the end.
//!
//! All of it is a few bytes, so that every write to a pipe is atomic and a reader needs no buffering.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Uptime;

/// The variable that makes a process of this program a front. The CLI never sees it.
pub(in crate::claude) const VARIABLE: &str = "CLAUDE_JOBS_SUPERVISE";

/// What a front is told, in its environment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    /// The process id of the host.
    pub(super) host: i32,
    /// The host's end of the control pipe.
    pub(super) control: Door,
    /// The host's end of the status pipe.
    pub(super) status: Door,
    /// How long the CLI may take to end itself.
    pub(super) grace: Duration,
    /// When the run must be gone, unless the host says otherwise by then.
    pub(super) until: Option<Uptime>,
    /// What to run, with this process's own arguments.
    pub(super) binary: PathBuf,
}

/// A pipe as found in the host's `/proc/<pid>/fd`: by number, and by inode to be sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Door {
    pub(super) descriptor: RawFd,
    pub(super) inode: u64,
}

impl Order {
    /// The variable's value. `None` when the path is not text, which the wrapper could not pass on.
    pub(super) fn encode(&self) -> Option<String> {
        let until = self.until.map_or(0, millis);
        Some(format!(
            "{} {} {} {} {} {} {until} {}",
            self.host,
            self.control.descriptor,
            self.control.inode,
            self.status.descriptor,
            self.status.inode,
            self.grace.as_millis(),
            self.binary.to_str()?
        ))
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut words = text.splitn(8, ' ');
        let host = words.next()?.parse().ok()?;
        let mut door = || {
            let descriptor = words.next()?.parse().ok()?;
            Some(Door { descriptor, inode: words.next()?.parse().ok()? })
        };
        let (control, status) = (door()?, door()?);
        let grace = Duration::from_millis(words.next()?.parse().ok()?);
        let until = Some(words.next()?.parse().ok()?).filter(|millis| *millis != 0).map(moment);
        let binary = PathBuf::from(words.next()?);
        Some(Self { host, control, status, grace, until, binary })
    }
}

/// One word on the control pipe. The pipe's end means that the host is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word {
    /// End the run.
    Stop,
    /// The run may live until then. An absolute moment, so that a word which was delayed (a host
    /// stopped in mid-call, a suspended machine) does not grant more than was meant.
    Until(Uptime),
    /// The run may live for ever.
    Unlimited,
}

impl Word {
    pub(super) const LENGTH: usize = 8;

    pub(super) fn encode(self) -> [u8; Self::LENGTH] {
        let number = match self {
            Self::Stop => 0,
            Self::Until(until) => millis(until),
            Self::Unlimited => u64::MAX,
        };
        number.to_le_bytes()
    }

    pub(super) fn decode(bytes: [u8; Self::LENGTH]) -> Self {
        match u64::from_le_bytes(bytes) {
            0 => Self::Stop,
            u64::MAX => Self::Unlimited,
            millis => Self::Until(moment(millis)),
        }
    }
}

/// How a run ended, on the status pipe to the host and on the line to the front.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::claude) struct Verdict {
    /// What became of the CLI.
    pub(in crate::claude) end: End,
    /// Why it ended.
    pub(in crate::claude) cause: Cause,
    /// How many processes of the run could not be ended; 0 unless the system refuses.
    pub(in crate::claude) left: u32,
}

/// What became of the CLI.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::claude) enum End {
    Exited(i32),
    Signalled(i32),
    /// It could not be started, for this error of the system.
    NotStarted(i32),
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::claude) enum Cause {
    /// The CLI ended by itself.
    Itself,
    /// The host asked for it.
    Asked,
    /// The host did not extend the deadline.
    Deadline,
    /// The host is gone.
    HostGone,
    /// The front is gone: the wrapper gave the run up.
    FrontGone,
    /// Somebody sent the supervisor a signal to end.
    Signal,
    /// The supervisor was killed; the front ended the run.
    SupervisorGone,
}

impl Verdict {
    pub(super) const LENGTH: usize = 16;

    const CAUSES: [Cause; 7] = [
        Cause::Itself,
        Cause::Asked,
        Cause::Deadline,
        Cause::HostGone,
        Cause::FrontGone,
        Cause::Signal,
        Cause::SupervisorGone,
    ];

    pub(super) fn encode(self) -> [u8; Self::LENGTH] {
        let (kind, value) = match self.end {
            End::Exited(code) => (1, code),
            End::Signalled(signal) => (2, signal),
            End::NotStarted(error) => (3, error),
        };
        let mut bytes = [0; Self::LENGTH];
        let fields: [u32; 4] = [kind, value as u32, self.cause as u32, self.left];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: [u8; Self::LENGTH]) -> Option<Self> {
        let field = |index: usize| {
            let place = &bytes[index * 4..index * 4 + 4];
            place.iter().rev().fold(0, |number: u32, byte| number << 8 | u32::from(*byte))
        };
        let value = field(1) as i32;
        let end = match field(0) {
            1 => End::Exited(value),
            2 => End::Signalled(value),
            3 => End::NotStarted(value),
            _ => return None,
        };
        let cause = *Self::CAUSES.get(usize::try_from(field(2)).ok()?)?;
        Some(Self { end, cause, left: field(3) })
    }
}

fn millis(moment: Uptime) -> u64 {
    u64::try_from(moment.elapsed_since_boot().as_millis()).unwrap_or(u64::MAX - 1).max(1)
}

fn moment(millis: u64) -> Uptime {
    Uptime::since_boot(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_environment() {
        let order = Order {
            host: 4711,
            control: Door { descriptor: 7, inode: 99 },
            status: Door { descriptor: 8, inode: u64::MAX },
            grace: Duration::from_millis(3000),
            until: Some(moment(123_456)),
            binary: "/a path/with  spaces/claude".into(),
        };
        let text = order.encode().expect("the path is text");
        assert_eq!(Order::decode(&text), Some(order.clone()));
        let unlimited = Order { until: None, ..order };
        assert_eq!(Order::decode(&unlimited.encode().expect("text")), Some(unlimited));
        assert_eq!(Order::decode("4711 7 99"), None);
    }

    #[test]
    fn words_and_verdicts_survive_their_pipes() {
        for word in [Word::Stop, Word::Until(moment(1)), Word::Until(moment(98_765)), Word::Unlimited] {
            assert_eq!(Word::decode(word.encode()), word);
        }
        for end in [End::Exited(0), End::Exited(255), End::Signalled(9), End::NotStarted(2)] {
            for cause in Verdict::CAUSES {
                let verdict = Verdict { end, cause, left: 3 };
                assert_eq!(Verdict::decode(verdict.encode()), Some(verdict));
            }
        }
        assert_eq!(Verdict::decode([0; Verdict::LENGTH]), None);
    }
}
