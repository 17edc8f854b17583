//! [`Lines`]: makes events of whatever the CLI prints.
//!
//! A filter on bytes in front of the JSON parser. It repairs what a strict parser refuses (half a surrogate pair,
//! control characters, bytes that are not UTF-8, `NaN`, nesting without end), and it bounds what is kept of a line,
//! however long the line is. What stays unreadable is counted by lines; an event after it is read, in the next line or
//! in the same one, where something else has written before or behind it.

use serde_json::Value;

/// The most bytes that are kept of one string. The rest of it is dropped.
pub(crate) const MOST_OF_A_STRING: usize = 16 * 1024 * 1024;

/// The most bytes that are kept of a line, but for short fields. When it is full, lists and objects inside the event end
/// with the element at hand; the fields of the event itself go on, so that a result keeps its cost and status.
pub(crate) const MOST_OF_A_LINE: usize = 64 * 1024 * 1024;

/// So much of it may be taken by lists and objects inside the event.
const MOST_OF_INNER: usize = MOST_OF_A_LINE - MOST_OF_A_STRING;

/// The most elements of lists and objects in a line: each takes far more memory as a value than as text.
const MOST_ELEMENTS: usize = 250_000;

/// A string keeps so much when its line is full.
const SHORT: usize = 4 * 1024;

/// What is nested deeper becomes `null`: serde_json refuses more than 127 levels, and events are put inside other JSON.
const DEEPEST: usize = 120;

/// The longest number or word.
const LONGEST_WORD: usize = 64;

/// How much of an unreadable line is kept, for a CLI that explains itself on standard output.
const HEAD: usize = 1024;

/// How an event begins behind something else.
const START: &[u8] = b"{\"type\":";

/// How the event begins that must not be lost, whatever it is written into.
const RESULT: &[u8] = b"{\"type\":\"result\"";

/// U+FFFD.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Line,
    /// How many lines could not be read.
    unreadable: u64,
    /// The beginnings of unreadable lines.
    heads: super::Tail,
}

/// What the CLI printed between the events.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(crate) lines: u64,
    pub(crate) text: String,
}

impl Lines {
    /// Takes in some bytes; `event` gets each event that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], event: &mut impl FnMut(Value)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.feed(&rest[..end], event);
            self.end_line(event);
            rest = &rest[end + 1..];
        }
        self.line.feed(rest, event);
    }

    /// The output has ended: its last line may lack the newline.
    pub(crate) fn finish(mut self, event: &mut impl FnMut(Value)) -> Unread {
        self.end_line(event);
        Unread { lines: self.unreadable, text: self.heads.into_text() }
    }

    fn end_line(&mut self, event: &mut impl FnMut(Value)) {
        let mut line = std::mem::take(&mut self.line);
        line.end(event);
        if let Some(result) = line.result.take().filter(|_| line.events == 0) {
            let mut line = Line::default();
            line.feed(&result, event);
            line.end(event);
        }
        if line.is_unreadable {
            self.unreadable += 1;
            self.heads.feed(&line.head);
            self.heads.feed(b"\n");
        }
    }
}

/// One line while it comes.
#[derive(Debug)]
struct Line {
    head: Vec<u8>,
    /// Whether something in it was no event.
    is_unreadable: bool,
    /// How many events were read of it.
    events: u32,
    /// How many bytes of [`RESULT`] have come, of how many bytes in all.
    matched: (usize, usize),
    /// A result that does not begin its line, as it came: it may have been written into an event that was cut off.
    result: Option<Vec<u8>>,
    state: State,
    /// What is kept of the present event: JSON, if it is one.
    kept: Vec<u8>,
    /// How many lists and objects are open, those that are dropped not counted.
    depth: usize,
    elements: usize,
    /// How many lists and objects are open within what is dropped; none while nothing is.
    dropping: Option<usize>,
    /// A number or word.
    word: Vec<u8>,
    /// How many more bytes the present string may keep.
    room: usize,
    /// The first half of a surrogate pair, whose second may follow.
    high: Option<u16>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            is_unreadable: false,
            events: 0,
            matched: (0, 0),
            result: None,
            state: State::Before,
            kept: Vec::new(),
            depth: 0,
            elements: 0,
            dropping: None,
            word: Vec::new(),
            room: 0,
            high: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// No event has begun.
    Before,
    /// Something else has, and so many bytes of [`START`] have come.
    Astray(usize),
    /// In an event, between its strings.
    Outside,
    Text,
    /// After a backslash.
    Escape,
    /// After `\u`: how many digits have come, and their value.
    Unicode(u8, u16),
}

impl Line {
    fn feed(&mut self, bytes: &[u8], event: &mut impl FnMut(Value)) {
        let missing = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.look_for_result(bytes);
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            if self.state == State::Text {
                // Most bytes are text: they are taken together.
                let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
                let length = rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
                if length > 0 {
                    self.text(&rest[..length]);
                    rest = &rest[length..];
                    continue;
                }
            }
            if self.state == State::Outside {
                // So is what is passed over.
                let is_full = self.word.len() > LONGEST_WORD;
                let counts = |byte: &u8| is_mark(*byte) || (!is_full && byte.is_ascii_graphic());
                let length = rest.iter().position(counts).unwrap_or(rest.len());
                if length > 0 {
                    rest = &rest[length..];
                    continue;
                }
            }
            self.take(*byte);
            rest = after;
            if *byte == b'}' && self.depth == 0 && self.state == State::Outside {
                self.end(event);
            }
        }
    }

    fn look_for_result(&mut self, bytes: &[u8]) {
        for (place, byte) in bytes.iter().enumerate() {
            if let Some(result) = &mut self.result {
                let room = MOST_OF_A_LINE.saturating_sub(result.len());
                result.extend_from_slice(&bytes[place..][..room.min(bytes.len() - place)]);
                return;
            }
            let (matched, passed) = self.matched;
            let matched =
                if *byte == RESULT[matched] { matched + 1 } else { usize::from(*byte == RESULT[0]) };
            self.matched = (matched % RESULT.len(), passed.saturating_add(1));
            if matched == RESULT.len() && passed >= matched {
                self.result = Some(RESULT.to_vec());
            }
        }
    }

    /// The present event is over, or the line is.
    fn end(&mut self, event: &mut impl FnMut(Value)) {
        match self.state {
            State::Before => return,
            State::Astray(_) => self.is_unreadable = true,
            _ => {
                self.end_word();
                let text = String::from_utf8_lossy(&self.kept);
                match serde_json::from_str::<Value>(&text).ok().filter(Value::is_object) {
                    Some(value) => {
                        self.events = self.events.saturating_add(1);
                        event(value);
                    }
                    None => self.is_unreadable = true,
                }
            }
        }
        let Self { head, is_unreadable, events, matched, result, .. } = std::mem::take(self);
        *self = Self { head, is_unreadable, events, matched, result, ..Self::default() };
    }

    fn take(&mut self, byte: u8) {
        match self.state {
            State::Before if byte == b'{' => {
                self.state = State::Outside;
                self.outside(byte);
            }
            // White space, control characters, a byte order mark.
            State::Before if matches!(byte, 0..=b' ' | 0xef | 0xbb | 0xbf) => {}
            State::Before => self.state = State::Astray(0),
            State::Astray(matched) if byte != START[matched] => {
                self.state = State::Astray(usize::from(byte == START[0]));
            }
            State::Astray(matched) if matched + 1 < START.len() => self.state = State::Astray(matched + 1),
            State::Astray(_) => {
                (self.is_unreadable, self.state) = (true, State::Outside);
                START.iter().for_each(|byte| self.take(*byte));
            }
            State::Outside => self.outside(byte),
            State::Text => match byte {
                b'"' => {
                    self.lone_half();
                    self.emit(b"\"");
                    self.state = State::Outside;
                }
                b'\\' => self.state = State::Escape,
                0..=0x1f => self.text(format!("\\u{byte:04x}").as_bytes()),
                other => self.text(&[other]),
            },
            State::Escape => {
                self.state = State::Text;
                match byte {
                    b'u' => self.state = State::Unicode(0, 0),
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.text(&[b'\\', byte]),
                    // No escape: the backslash stands for itself.
                    other => {
                        self.text(b"\\\\");
                        self.take(other);
                    }
                }
            }
            State::Unicode(digits, value) => match (byte as char).to_digit(16) {
                Some(digit) if digits == 3 => {
                    self.state = State::Text;
                    self.unit((value << 4) | digit as u16);
                }
                Some(digit) => self.state = State::Unicode(digits + 1, (value << 4) | digit as u16),
                None => {
                    self.state = State::Text;
                    self.text(REPLACEMENT);
                    self.take(byte);
                }
            },
        }
    }

    /// A UTF-16 code unit of an escape. Only a high half and then a low one make a character.
    fn unit(&mut self, unit: u16) {
        match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => self.high = Some(unit),
            (Some(high), 0xdc00..=0xdfff) => self.put(format!("\\u{high:04x}\\u{unit:04x}").as_bytes()),
            (None, 0xdc00..=0xdfff) => self.put(REPLACEMENT),
            (None, _) => self.put(format!("\\u{unit:04x}").as_bytes()),
            (Some(_), _) => {
                self.put(REPLACEMENT);
                self.unit(unit);
            }
        }
    }

    fn lone_half(&mut self) {
        if self.high.take().is_some() {
            self.put(REPLACEMENT);
        }
    }

    /// Characters of a string: whole escapes only, so that none is cut in two.
    fn text(&mut self, bytes: &[u8]) {
        self.lone_half();
        self.put(bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        let length = match bytes {
            [b'\\', ..] if bytes.len() > self.room => 0,
            _ => bytes.len().min(self.room),
        };
        self.room -= length;
        if length < bytes.len() {
            self.room = 0;
        }
        self.emit(&bytes[..length]);
    }

    fn outside(&mut self, byte: u8) {
        if !is_mark(byte) {
            // Of a longer word nothing is kept, but that it was there. What is no text at all is passed over.
            if self.word.len() <= LONGEST_WORD && byte.is_ascii_graphic() {
                self.word.push(byte);
            }
            return;
        }
        self.end_word();
        match byte {
            b'"' => self.open_string(),
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(byte),
            b',' => self.comma(),
            b':' => self.emit(b":"),
            _ => {}
        }
    }

    /// A number, `true`, `false`, `null`; anything else, such as `NaN`, is as good as `null`.
    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let is_json = word.len() <= LONGEST_WORD && serde_json::from_slice::<Value>(&word).is_ok();
        self.emit(if is_json { &word } else { b"null" });
    }

    fn open_string(&mut self) {
        self.state = State::Text;
        self.emit(b"\"");
        let left = |of: usize| of.saturating_sub(self.kept.len()).min(MOST_OF_A_STRING);
        self.room = match self.depth {
            // Even a line of nothing but short strings has an end.
            _ if self.kept.len() > 2 * MOST_OF_A_LINE => 0,
            0 | 1 => left(MOST_OF_A_LINE).max(SHORT),
            _ if self.elements > MOST_ELEMENTS => SHORT,
            _ => left(MOST_OF_INNER).max(SHORT),
        };
    }

    fn open(&mut self, bracket: u8) {
        if let Some(open) = &mut self.dropping {
            *open += 1;
        } else if self.depth == DEEPEST {
            self.emit(b"null");
            self.dropping = Some(1);
        } else {
            self.emit(&[bracket]);
            self.depth += 1;
        }
    }

    fn close(&mut self, bracket: u8) {
        match self.dropping {
            // What holds the dropped elements ends.
            Some(0) => self.dropping = None,
            Some(1) if self.depth == DEEPEST => {
                self.dropping = None;
                return;
            }
            Some(open) => {
                self.dropping = Some(open - 1);
                return;
            }
            None => {}
        }
        self.emit(&[bracket]);
        self.depth = self.depth.saturating_sub(1);
    }

    fn comma(&mut self) {
        if self.dropping.is_some() {
            return;
        }
        self.elements += 1;
        if self.depth > 1 && self.is_full() {
            self.dropping = Some(0);
        } else {
            self.emit(b",");
        }
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= MOST_OF_INNER || self.elements > MOST_ELEMENTS
    }

    fn emit(&mut self, bytes: &[u8]) {
        // The last bound: a line of more fields than an event can have stays unreadable.
        if self.dropping.is_none() && self.kept.len() < 3 * MOST_OF_A_LINE {
            self.kept.extend_from_slice(bytes);
        }
    }
}

/// Whether a byte between strings ends a number or word.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':') || byte.is_ascii_whitespace()
}

#[cfg(test)]
mod tests;
