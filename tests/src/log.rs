//! What the code under test logs on this thread, to be looked at: an operator has nothing else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The lines so far. Capturing ends when it is dropped.
///
/// It hears the thread that made it: everything of a test on a current-thread runtime.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<(Instant, String)>>>);

impl Log {
    /// Listens from now on, to everything that is at least a warning.
    pub fn capture() -> Log {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_max_level(tracing::Level::WARN)
            .with_writer(lines.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        Log { lines, _guard: guard }
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.get().into_iter().map(|(_, line)| line).collect()
    }

    /// Whether a line holds all of these words.
    pub fn tells(&self, words: &[&str]) -> bool {
        self.lines().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// The most lines within any second.
    pub fn most_per_second(&self) -> usize {
        let times: Vec<_> = self.lines.get().into_iter().map(|(at, _)| at).collect();
        let second = Duration::from_secs(1);
        let from = |start: usize| times[start..].iter().take_while(|at| **at - times[start] < second).count();
        (0..times.len()).map(from).max().unwrap_or_default()
    }
}

impl Lines {
    fn get(&self) -> Vec<(Instant, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The subscriber writes each line at once.
impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).trim_end().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}
