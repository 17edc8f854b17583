//! What commands print: tables for people, JSON for programs.
//!
//! A reader that has seen enough (`| head`) is no error.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::exit::Problem;

/// Writes text to standard output, with a newline at its end.
pub(super) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(end.as_bytes()));
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Problem::general(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints text that an agent wrote: as it is for a program, made [`harmless`] for a terminal.
pub(super) fn print_answer(text: &str) -> Result<(), Problem> {
    if io::stdout().is_terminal() { print(&harmless(text)) } else { print(text) }
}

/// Text that cannot move a terminal's cursor or change its settings.
pub(super) fn harmless(text: &str) -> String {
    text.replace(|character: char| character.is_control() && !"\n\t".contains(character), "\u{fffd}")
}

/// Prints a value as JSON: on one line, or laid out where a person reads it.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Problem> {
    let written = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let text = written.map_err(|error| Problem::general(format!("cannot write JSON: {error}")))?;
    print(&escaped(&text))
}

/// Prints a value as JSON on one line, wherever it goes: for streams of values.
pub(super) fn print_json_line(value: &impl Serialize) -> Result<(), Problem> {
    let written = serde_json::to_string(value);
    let text = written.map_err(|error| Problem::general(format!("cannot write JSON: {error}")))?;
    print(&escaped(&text))
}

/// The same JSON with all control characters escaped: those beyond ASCII, too, some of which terminals obey.
fn escaped(json: &str) -> Cow<'_, str> {
    let is_raw = |character: char| character.is_control() && character >= '\u{7f}';
    if !json.contains(is_raw) {
        return Cow::Borrowed(json);
    }
    let escape = |character: char| match is_raw(character) {
        true => format!("\\u{:04x}", u32::from(character)),
        false => character.to_string(),
    };
    Cow::Owned(json.chars().map(escape).collect())
}

/// Prints rows under their headings; the headings alone when there are none.
pub(super) fn print_table(
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), Problem> {
    print(&table(headings, rows))
}

/// Rows under their headings, in columns.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![headings.iter().map(|&heading| heading.to_owned()).collect()];
    lines.extend(rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell, MOST_IN_CELL)).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: String =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

const MOST_IN_CELL: usize = 60;

/// Text on one line: white space and control characters as spaces, at most so many characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().nth(most).is_some() {
            line = line.chars().take(most.saturating_sub(1)).collect();
            line.push('…');
            break;
        }
    }
    line
}

/// A moment in UTC, to the second.
pub(super) fn time(moment: Timestamp) -> String {
    format!("{moment:.0}")
}

/// A moment's time of day in UTC, to the millisecond.
pub(super) fn time_of_day(moment: Timestamp) -> String {
    moment.strftime("%H:%M:%S%.3f").to_string()
}

/// An amount in US dollars; `-` where it is unknown.
pub(super) fn cost(dollars: Option<f64>) -> String {
    dollars.map_or_else(|| "-".to_owned(), |dollars| format!("${dollars:.4}"))
}

/// A duration as people say it: `400ms`, `2.5s`, `12s`, `3m05s`, `2h07m`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `1 job`, `2 jobs`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_stay_on_their_lines() {
        let rows = [vec!["1".to_owned(), "a\n\x1b[31mb".to_owned()], vec!["10".to_owned(), "x".repeat(100)]];
        let text = table(&["ID", "WHY"], rows);
        let long = format!("10  {}…\n", "x".repeat(59));
        assert_eq!(text, format!("ID  WHY\n1   a [31mb\n{long}"));
    }

    #[test]
    fn a_terminal_gets_no_control_sequences() {
        assert_eq!(harmless("a\tb\n\x1b[2Jc\r\u{9b}"), "a\tb\n\u{fffd}[2Jc\u{fffd}\u{fffd}");
    }

    #[test]
    fn json_has_no_control_characters() {
        let value = "\u{1b}[2J\u{9b}2J\u{7f}é";
        let json = serde_json::to_string(value).expect("a text");
        assert_eq!(escaped(&json), r#""\u001b[2J\u009b2J\u007fé""#);
        assert_eq!(serde_json::from_str::<String>(&escaped(&json)).expect("JSON"), value);
    }

    #[test]
    fn durations_read_well() {
        let cases =
            [(400, "400ms"), (2_540, "2.5s"), (12_900, "12s"), (185_000, "3m05s"), (7_620_000, "2h07m")];
        for (milliseconds, text) in cases {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn an_unknown_cost_is_not_zero() {
        assert_eq!(cost(None), "-");
        assert_eq!(cost(Some(0.0)), "$0.0000");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let moment = Timestamp::from_microsecond(1_700_000_000_900_000).expect("in range");
        assert_eq!(time(moment), "2023-11-14T22:13:20Z");
    }
}
