//! Live lines: what each running agent is doing, at the bottom of the terminal.
//!
//! Everything a command says on standard error goes through [`say`], so that a message and the live
//! lines do not write over each other. There is one standard error, hence one board for the process.
//! Without a terminal nothing is drawn.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::exit::Problem;
use super::output;
use activity::Activity;

mod activity;

static BOARD: Mutex<Board> = Mutex::new(Board { is_shown: false, runs: BTreeMap::new(), drawn: 0 });

/// How often the elapsed times are brought up to date.
const REDRAW_EVERY: Duration = Duration::from_millis(500);

/// The running agents, and how many of their lines are on the screen now.
struct Board {
    is_shown: bool,
    /// By job number.
    runs: BTreeMap<i64, Activity>,
    drawn: usize,
}

/// The terminal's columns and rows.
#[derive(Clone, Copy)]
struct Size {
    columns: usize,
    rows: usize,
}

/// Live lines are drawn until it is dropped; then they are erased.
#[must_use]
pub(super) struct Shown(Option<JoinHandle<()>>);

/// Shows live lines from now on, if standard error is a terminal.
pub(super) fn show() -> Shown {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if is_dumb || !io::stderr().is_terminal() {
        return Shown(None);
    }
    board().is_shown = true;
    Shown(Some(tokio::spawn(async {
        let mut ticks = tokio::time::interval(REDRAW_EVERY);
        loop {
            ticks.tick().await;
            redraw();
        }
    })))
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Some(ticker) = self.0.take() else { return };
        ticker.abort();
        let mut board = board();
        write(&board.erased());
        board.is_shown = false;
        board.runs.clear();
    }
}

/// An agent starts.
pub(super) fn begin(id: i64, label: &str) {
    let mut board = board();
    if board.is_shown {
        board.runs.insert(id, Activity::new(label, Instant::now()));
    }
}

/// It printed an event.
pub(super) fn observe(id: i64, event: &Value) {
    if let Some(activity) = board().runs.get_mut(&id) {
        activity.observe(event);
    }
}

/// It has ended.
pub(super) fn end(id: i64) {
    board().runs.remove(&id);
}

/// Writes a line to standard error, above the live lines.
pub(super) fn say(line: &str) {
    let mut board = board();
    let text = format!("{}{}\n{}", board.erased(), output::harmless(line), board.drawn_anew());
    write(&text);
}

/// For a command that has made a change and prints it. If standard output takes nothing, the change is told here, and the
/// command has not failed.
pub(super) fn say_if_unprinted(printed: Result<(), Problem>, done: &str) {
    if let Err(problem) = printed {
        say(&format!("{done} ({problem})"));
    }
}

/// Writes whole lines to standard error, above the live lines. For the log.
#[derive(Debug)]
pub(super) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn redraw() {
    let mut board = board();
    let text = format!("{}{}", board.erased(), board.drawn_anew());
    write(&text);
}

fn write(text: &str) {
    // Nobody may be there to read it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

impl Board {
    /// What erases the lines that are on the screen. The cursor is at the end of the last one.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\r\x1b[2K{}", "\x1b[1A\x1b[2K".repeat(lines - 1)),
        }
    }

    /// What draws the lines of now.
    fn drawn_anew(&mut self) -> String {
        if !self.is_shown {
            return String::new();
        }
        let lines = self.lines(size(), Instant::now());
        self.drawn = lines.len();
        lines.join("\n")
    }

    /// A line per agent, each within the terminal's width: what wraps could not be erased.
    fn lines(&self, size: Size, now: Instant) -> Vec<String> {
        let most = size.rows.saturating_sub(1).max(1);
        let mut lines: Vec<String> = self.runs.values().map(|run| run.line(now)).collect();
        if lines.len() > most {
            let hidden = lines.len() - (most - 1);
            lines.truncate(most - 1);
            lines.push(format!("… and {hidden} more"));
        }
        lines.iter().map(|line| clipped(line, size.columns)).collect()
    }
}

/// The start of a line that surely fits: characters outside ASCII may take two columns.
fn clipped(line: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    line.chars()
        .map_while(|character| {
            left = left.checked_sub(if character.is_ascii() { 1 } else { 2 })?;
            Some(character)
        })
        .collect()
}

fn size() -> Size {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => Size { columns: size.ws_col.into(), rows: size.ws_row.max(2).into() },
        _ => Size { columns: 80, rows: 24 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(runs: usize) -> Board {
        let now = Instant::now();
        let runs = (0..runs).map(|id| (id as i64, Activity::new(&format!("job {id}"), now))).collect();
        Board { is_shown: true, runs, drawn: 0 }
    }

    #[test]
    fn there_are_never_more_lines_than_fit() {
        let lines = board(9).lines(Size { columns: 80, rows: 4 }, Instant::now());
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], "… and 7 more");
        assert_eq!(board(3).lines(Size { columns: 80, rows: 4 }, Instant::now()).len(), 3);
    }

    #[test]
    fn a_line_never_wraps() {
        assert_eq!(clipped("abcdef", 5), "abcd");
        assert_eq!(clipped("日本語", 5), "日本");
    }

    #[test]
    fn what_was_drawn_is_erased_once() {
        let mut board = board(2);
        board.drawn_anew();
        assert_eq!(board.erased(), "\r\x1b[2K\x1b[1A\x1b[2K");
        assert_eq!(board.erased(), "");
    }
}
