//! What to say about a wrong value beyond the rule that it breaks: the name that was meant, or the item of a
//! list that is wrong. Like the checks, `const fn` on `Copy` data: the texts come up while the user's crate
//! compiles.

use super::literal::{Literal, is_tool_pattern};

/// A broken rule, and what helps to see why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem {
    pub(super) rule: &'static str,
    pub(super) hint: Hint,
}

/// What helps to see why a value is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hint {
    /// The rule says it all.
    None,
    /// A known name that is like the one given.
    DidYouMean(&'static str),
    /// The item of a list that is wrong.
    Item(&'static str),
}

impl Problem {
    /// Panics with the rule and the hint.
    #[track_caller]
    pub(super) const fn panic(self) -> ! {
        let text = Text::new().with(self.rule);
        let text = match self.hint {
            Hint::None => text,
            Hint::DidYouMean(name) => text.with(": did you mean `\"").with(name).with("\"`?"),
            Hint::Item(item) => text.with("; `\"").with(item).with("\"` is none"),
        };
        panic!("{}", text.as_str());
    }
}

/// Text that is put together at compile time. What does not fit is left out.
pub(super) struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    pub(super) const fn with(mut self, text: &str) -> Self {
        let more = text.as_bytes();
        if self.length + more.len() > self.bytes.len() {
            return self;
        }
        let mut index = 0;
        while index < more.len() {
            self.bytes[self.length + index] = more[index];
            index += 1;
        }
        self.length += more.len();
        self
    }

    pub(super) const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// The name that was meant: the same letters, the beginning of a name, or at most two letters off.
pub(super) const fn nearest(literal: Literal, names: &[&'static str]) -> Hint {
    let Literal::Str(text) = literal else { return Hint::None };
    let mut index = 0;
    while index < names.len() {
        if begins_like(names[index], text) {
            return Hint::DidYouMean(names[index]);
        }
        index += 1;
    }
    let (mut index, mut near, mut least) = (0, Hint::None, 3);
    while index < names.len() {
        let distance = edits(text.as_bytes(), names[index].as_bytes());
        if distance < least && distance < names[index].len() {
            (near, least) = (Hint::DidYouMean(names[index]), distance);
        }
        index += 1;
    }
    near
}

/// The first item that is no tool pattern, as it stands in the attribute.
pub(super) const fn wrong_pattern(literal: Literal) -> Hint {
    let Literal::List(items) = literal.sample() else { return Hint::None };
    let mut index = 0;
    while index < items.len() {
        if !is_tool_pattern(items[index]) {
            return Hint::Item(match literal {
                Literal::Templates(templates) => templates.items[index].source,
                _ => items[index],
            });
        }
        index += 1;
    }
    Hint::None
}

/// Whether the letters of `text`, at least three, are those with which `name` begins: `bypass`, `acceptEdits`.
const fn begins_like(name: &str, text: &str) -> bool {
    let (name, text) = (name.as_bytes(), text.as_bytes());
    let (mut at, mut index, mut letters) = (0, 0, 0);
    while index < text.len() {
        if !text[index].is_ascii_alphanumeric() {
            index += 1;
            continue;
        }
        while at < name.len() && !name[at].is_ascii_alphanumeric() {
            at += 1;
        }
        if at == name.len() || !name[at].eq_ignore_ascii_case(&text[index]) {
            return false;
        }
        (at, index, letters) = (at + 1, index + 1, letters + 1);
    }
    letters >= 3
}

/// Levenshtein's distance of short texts; long ones are near to nothing.
const fn edits(left: &[u8], right: &[u8]) -> usize {
    if left.len() > 30 || right.len() > 30 {
        return usize::MAX;
    }
    let mut row = [0; 31];
    let mut column = 0;
    while column < row.len() {
        row[column] = column;
        column += 1;
    }
    let mut line = 0;
    while line < left.len() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        let mut column = 0;
        while column < right.len() {
            let replaced = diagonal + (left[line] != right[column]) as usize;
            diagonal = row[column + 1];
            let (inserted, removed) = (row[column] + 1, row[column + 1] + 1);
            let shorter = if inserted < removed { inserted } else { removed };
            row[column + 1] = if replaced < shorter { replaced } else { shorter };
            column += 1;
        }
        line += 1;
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Effort, PermissionMode};

    #[test]
    fn names_that_were_meant() {
        let cases = [
            ("bypass", Some("bypass_permissions")),
            ("bypassPermissions", Some("bypass_permissions")),
            ("accept-edits", Some("accept_edits")),
            ("Plan", Some("plan")),
            ("plam", Some("plan")),
            ("dontAsk", Some("dont_ask")),
            ("p", None),
            ("", None),
            ("yolo", None),
            ("a text that is longer than any name is", None),
        ];
        for (text, name) in cases {
            let hint = nearest(Literal::Str(text), PermissionMode::NAMES);
            assert_eq!(hint, name.map_or(Hint::None, Hint::DidYouMean), "{text}");
        }
        assert_eq!(nearest(Literal::Str("hihg"), Effort::NAMES), Hint::DidYouMean("high"));
        assert_eq!(nearest(Literal::Int(1), Effort::NAMES), Hint::None);
    }

    #[test]
    fn the_first_wrong_pattern_is_named() {
        assert_eq!(wrong_pattern(Literal::List(&["Read", "Bash(", "a,b"])), Hint::Item("Bash("));
        assert_eq!(wrong_pattern(Literal::List(&["Read"])), Hint::None);
        assert_eq!(wrong_pattern(Literal::Str("Read")), Hint::None);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = "ä".repeat(600);
        assert_eq!(Text::new().with("a").with(&long).with("b").as_str(), "ab");
    }
}
