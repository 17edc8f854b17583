//! A value as it stands in `#[claude_worker(args = { key = value })]`, and the checks on it that run
//! while the user's crate compiles.
//!
//! Everything here is `const fn` on `Copy` data: no allocation, no traits, no JSON. The same
//! functions judge values that arrive at run time, so that the two cannot disagree.

use std::time::Duration;

use super::template::{Template, Templates};

/// One literal (or constant) from an attribute. Generated code builds it; the setters of
/// [`Args`](super::Args) judge it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// `"text"`, or a constant of type `&'static str`.
    Str(&'static str),
    /// `40`, or a constant of an integer type.
    Int(i64),
    /// `2.5`, or a constant of type `f64`.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `["a", "b"]`.
    List(&'static [&'static str]),
    /// `"issue-{number}"`.
    Template(&'static Template),
    /// `["Read({folder}/**)"]`.
    Templates(&'static Templates),
}

impl Literal {
    /// What can be judged before a template has its values: its sample.
    pub(super) const fn sample(self) -> Self {
        match self {
            Self::Template(template) => Self::Str(template.sample),
            Self::Templates(templates) => Self::List(templates.samples),
            literal => literal,
        }
    }
}

/// Wraps a reference to a constant expression whose type the attribute cannot see, so that rustc
/// picks the [`Literal`] by the expression's own type: `Const(&MODEL).literal()`.
#[derive(Clone, Copy, Debug)]
pub struct Const<T>(pub T);

macro_rules! const_literal {
    ($($type:ty, $value:ident => $literal:expr;)*) => {$(
        impl Const<&$type> {
            /// The constant as a [`Literal`].
            pub const fn literal(self) -> Literal {
                let $value = *self.0;
                $literal
            }
        }
    )*};
}

const_literal! {
    &'static str, value => Literal::Str(value);
    bool, value => Literal::Bool(value);
    f64, value => Literal::Float(value);
    u8, value => Literal::Int(value as i64);
    u16, value => Literal::Int(value as i64);
    u32, value => Literal::Int(value as i64);
    i32, value => Literal::Int(value as i64);
    i64, value => Literal::Int(value);
    u64, value => Literal::Int(if value > i64::MAX as u64 { i64::MAX } else { value as i64 });
    usize, value => Literal::Int(if value > i64::MAX as usize { i64::MAX } else { value as i64 });
    &'static [&'static str], value => Literal::List(value);
    Duration, value => Literal::Float(value.as_millis() as f64 / 1000.0);
}

impl<const N: usize> Const<&'static [&'static str; N]> {
    /// The constant as a [`Literal`]. The reference is to a constant, so it lives for `'static`.
    pub const fn literal(self) -> Literal {
        Literal::List(self.0)
    }
}

/// Whether `text` is one of `choices`.
pub(super) const fn is_one_of(text: &str, choices: &[&str]) -> bool {
    let mut index = 0;
    while index < choices.len() {
        if equal(text, choices[index]) {
            return true;
        }
        index += 1;
    }
    false
}

const fn equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Whether `text` may stand in a command-line argument of at most `limit` bytes: no NUL byte.
pub(super) const fn fits_argument(text: &str, limit: usize) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() > limit {
        return false;
    }
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == 0 {
            return false;
        }
        index += 1;
    }
    true
}

/// Whether `text` is empty or only white space.
pub(super) const fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Whether the CLI may take `text` for a flag of its own. Some of its options take a value or none, and what begins
/// with `-` is no value to them: a worktree's name could grant all permissions.
pub(super) const fn is_flag(text: &str) -> bool {
    !text.is_empty() && text.as_bytes()[0] == b'-'
}

/// Whether `text` is a UUID in its hyphenated form, as the CLI demands of a session id.
pub(super) const fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return false;
    }
    let mut index = 0;
    while index < 36 {
        let ok = match index {
            8 | 13 | 18 | 23 => bytes[index] == b'-',
            _ => bytes[index].is_ascii_hexdigit(),
        };
        if !ok {
            return false;
        }
        index += 1;
    }
    true
}

/// Whether `text` names a worktree as the CLI accepts it: segments of letters, digits, `.`, `_` and
/// `-` between slashes, none of them `.` or `..`, at most 64 bytes in all; and no [flag](is_flag).
pub(super) const fn is_worktree_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 64 || is_flag(text) {
        return false;
    }
    let (mut index, mut length, mut dots) = (0, 0, 0);
    while index <= bytes.len() {
        if index == bytes.len() || bytes[index] == b'/' {
            if length == 0 || (length == dots && dots <= 2) {
                return false;
            }
            (length, dots) = (0, 0);
        } else {
            let byte = bytes[index];
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
                return false;
            }
            length += 1;
            dots += (byte == b'.') as usize;
        }
        index += 1;
    }
    true
}

/// Whether `text` is a tool pattern: `Name`, `Name(argument glob)` or `mcp__server__tool`; no comma
/// or control character outside the parentheses' content rules of the CLI.
pub(super) const fn is_tool_pattern(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut index, mut opened, mut closed) = (0, 0, 0);
    let mut name = 0;
    while index < bytes.len() {
        match bytes[index] {
            b',' | 0..=31 | 127 => return false,
            b'(' => opened += 1,
            b')' => closed += 1,
            _ if opened == 0 && bytes[index] != b' ' => name += 1,
            _ => {}
        }
        index += 1;
    }
    let parentheses = match (opened, closed) {
        (0, 0) => true,
        (1, 1) => bytes[bytes.len() - 1] == b')',
        _ => false,
    };
    name > 0 && parentheses && !is_flag(text)
}

/// Reads a duration: a sum of terms such as `1h30m`, `90s`, `500ms`, or bare seconds (`900`).
/// `None` when it is anything else, zero, or more than [`MAX_DURATION`].
pub const fn parse_duration(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let (mut index, mut total, mut terms) = (0, 0u64, 0);
    while index < bytes.len() {
        let mut number = 0u64;
        let start = index;
        while index < bytes.len() && bytes[index].is_ascii_digit() {
            number = number.saturating_mul(10).saturating_add((bytes[index] - b'0') as u64);
            index += 1;
        }
        if index == start {
            return None;
        }
        let rest = bytes.len() - index;
        let (unit, length) = if rest >= 2 && bytes[index] == b'm' && bytes[index + 1] == b's' {
            (1, 2)
        } else if rest == 0 {
            if terms > 0 {
                return None;
            }
            (1_000, 0)
        } else {
            match bytes[index] {
                b's' => (1_000, 1),
                b'm' => (60_000, 1),
                b'h' => (3_600_000, 1),
                b'd' => (86_400_000, 1),
                _ => return None,
            }
        };
        total = total.saturating_add(number.saturating_mul(unit));
        index += length;
        terms += 1;
    }
    if total == 0 || total > MAX_DURATION.as_millis() as u64 {
        return None;
    }
    Some(Duration::from_millis(total))
}

/// The longest duration an option takes: 30 days.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("15m", Some(900_000)),
            ("900", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1m500ms", Some(60_500)),
            ("30d", Some(30 * 86_400_000)),
            ("31d", None),
            ("0s", None),
            ("", None),
            ("m", None),
            ("15 m", None),
            ("-5s", None),
            ("5m3", None),
            ("99999999999999999999999s", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn worktree_names() {
        for good in ["issue-87", "a/b.c", "v1.2_x", "..."] {
            assert!(is_worktree_name(good), "{good:?}");
        }
        let flag = "--dangerously-skip-permissions";
        for bad in ["", "a//b", "../x", ".", "a b", "ä", "/a", "a/", "-w", flag, &"x".repeat(65)] {
            assert!(!is_worktree_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn tool_patterns() {
        for good in ["Bash", "Bash(git log:*)", "mcp__server__*", "Write(src/*.rs)"] {
            assert!(is_tool_pattern(good), "{good:?}");
        }
        for bad in ["", " ", "Bash(", "Bash)", "(x)", "Bash(a)(b)", "A,B", "Bash(a)b", "Ba\nsh", "-B"] {
            assert!(!is_tool_pattern(bad), "{bad:?}");
        }
    }

    #[test]
    fn session_ids() {
        assert!(is_uuid("0199f1de-0000-7000-8000-0123456789ab"));
        assert!(!is_uuid("0199f1de0000700080000123456789ab"));
        assert!(!is_uuid("0199f1de-0000-7000-8000-0123456789ag"));
    }
}
