//! What host, front and supervisor say to each other: the order at the start, the words on the control
//! pipe, the verdict at the end.
//!
//! All of it is a few bytes, so that every write to a pipe is atomic and a reader needs no buffering.

use core::ffi::CStr;
use core::fmt;

use super::sys::Millis;
use super::text;

/// The variable that makes a process a front. The CLI never sees it.
pub(crate) const VARIABLE: &str = "CLAUDE_JOBS_SUPERVISE";

/// A front's exit code when it cannot work itself; the CLI has not been started then.
pub(crate) const BROKEN: i32 = 125;

/// What a front is told, in its environment; after it comes the path of what to run with the front's own
/// arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    /// The process id of the host.
    pub(crate) host: i32,
    /// The host's end of the control pipe.
    pub(crate) control: Door,
    /// The host's end of the status pipe.
    pub(crate) status: Door,
    /// How long the CLI may take to end itself.
    pub(crate) grace: Millis,
    /// When the run must be gone, unless the host says otherwise by then: a moment since the start of the
    /// machine.
    pub(crate) until: Option<Millis>,
}

/// A pipe as found in the host's `/proc/<pid>/fd`: by number, and by inode to be sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Door {
    pub(crate) descriptor: i32,
    pub(crate) inode: u64,
}

/// All but the path.
impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, control, status, grace, until } = self;
        write!(formatter, "{host} ")?;
        for Door { descriptor, inode } in [control, status] {
            write!(formatter, "{descriptor} {inode} ")?;
        }
        write!(formatter, "{grace} {}", until.unwrap_or(0))
    }
}

impl Order {
    /// The order and the path.
    pub(super) fn decode(text: &CStr) -> Option<(Self, &CStr)> {
        let mut words = text.to_bytes_with_nul().splitn(8, |byte| *byte == b' ');
        let mut next = || text::number(words.next()?);
        let host = next()?.try_into().ok()?;
        let mut door = || Some(Door { descriptor: next()?.try_into().ok()?, inode: next()? });
        let (control, status) = (door()?, door()?);
        let grace = next()?;
        let until = Some(next()?).filter(|until| *until != 0);
        let binary = CStr::from_bytes_with_nul(words.next()?).ok()?;
        Some((Self { host, control, status, grace, until }, binary))
    }
}

/// One word on the control pipe. The pipe's end means that the host is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Word {
    /// End the run.
    Stop,
    /// The run may live until then. An absolute moment, so that a word which was delayed (a host
    /// stopped in mid-call, a suspended machine) does not grant more than was meant.
    Until(Millis),
    /// The run may live for ever.
    Unlimited,
}

impl Word {
    pub(crate) const LENGTH: usize = 8;

    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
        let number = match self {
            Self::Stop => 0,
            Self::Until(until) => until.clamp(1, u64::MAX - 1),
            Self::Unlimited => u64::MAX,
        };
        number.to_le_bytes()
    }

    pub(crate) fn decode(bytes: [u8; Self::LENGTH]) -> Self {
        match u64::from_le_bytes(bytes) {
            0 => Self::Stop,
            u64::MAX => Self::Unlimited,
            until => Self::Until(until),
        }
    }
}

/// How a run ended, on the status pipe to the host and on the line to the front.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// What became of the CLI.
    pub(crate) end: End,
    /// Why it ended.
    pub(crate) cause: Cause,
    /// How many processes of the run could not be ended; 0 unless the system refuses.
    pub(crate) left: u32,
}

/// What became of the CLI.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Exited(i32),
    Signalled(i32),
    /// It could not be started, for this error of the system.
    NotStarted(i32),
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
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
    pub(crate) const LENGTH: usize = 16;

    const CAUSES: [Cause; 7] = [
        Cause::Itself,
        Cause::Asked,
        Cause::Deadline,
        Cause::HostGone,
        Cause::FrontGone,
        Cause::Signal,
        Cause::SupervisorGone,
    ];

    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
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

    pub(crate) fn decode(bytes: [u8; Self::LENGTH]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn orders_survive_the_environment() {
        let order = Order {
            host: 4711,
            control: Door { descriptor: 7, inode: 99 },
            status: Door { descriptor: 8, inode: u64::MAX },
            grace: 3000,
            until: Some(123_456),
        };
        for order in [order.clone(), Order { until: None, ..order }] {
            let text = CString::new(format!("{order} /a path/with  spaces/claude")).expect("no NUL");
            assert_eq!(Order::decode(&text), Some((order, c"/a path/with  spaces/claude")));
        }
        assert_eq!(Order::decode(c"4711 7 99"), None);
        assert_eq!(Order::decode(c"-7 99 8 99 4711 3000 0 /claude"), None);
    }

    #[test]
    fn words_and_verdicts_survive_their_pipes() {
        for word in [Word::Stop, Word::Until(1), Word::Until(98_765), Word::Unlimited] {
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
