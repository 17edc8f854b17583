//! The journal of all runs of a fake `claude`: one file that every run appends to, and one lock per job.
//!
//! Each line is one write at the end of the file, so that lines of many processes do not mix. A run
//! holds its job's lock as long as any of its processes lives: the kernel lets go of it when the last one
//! has ended, however it ended. A run that finds the lock taken overlaps another, for certain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run begins.
    Start,
    /// Another run of the job is alive.
    Overlap,
    /// The run has done its work; it prints its result and ends.
    End,
}

impl Event {
    const ALL: [(Event, &'static str); 3] =
        [(Event::Start, "start"), (Event::Overlap, "overlap"), (Event::End, "end")];
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Wall time in milliseconds since 1970.
    pub at_ms: u64,
    /// The process of the run.
    pub pid: u32,
    /// The job.
    pub job: i64,
    /// Its attempt.
    pub attempt: u32,
    /// What happened.
    pub event: Event,
}

/// A journal in a folder.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal of this folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Journal {
        Journal { folder }
    }

    /// Notes the start of a run (`<job>.<attempt>`) and takes its job's lock.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn start(&self, run: &str) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let job = run.split('.').next().unwrap_or_default();
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(format!("{job}.lock")))?;
        let is_alone = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        self.note(run, Event::Start)?;
        if !is_alone {
            self.note(run, Event::Overlap)?;
        }
        Ok(lock)
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn note(&self, run: &str, event: Event) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let word = Event::ALL.iter().find(|(it, _)| *it == event).map_or("", |(_, word)| word);
        let line = format!("{} {} {run} {word}\n", now.as_millis(), std::process::id());
        let mut file = OpenOptions::new().create(true).append(true).open(self.file())?;
        file.write_all(line.as_bytes())
    }

    /// All lines, in the order in which they were written.
    ///
    /// # Panics
    /// When a line is none of ours: a write was not in one piece.
    pub fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("a torn line: `{line}`"))).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let (at_ms, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (job, attempt) = words.next()?.split_once('.')?;
    let word = words.next()?;
    let (event, _) = Event::ALL.iter().find(|(_, its)| *its == word)?;
    Some(Entry { at_ms, pid, job: job.parse().ok()?, attempt: attempt.parse().ok()?, event: *event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_of_a_job_is_an_overlap_as_long_as_the_first_lives() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::new(folder.path().join("journal"));
        let first = journal.start("7.1").expect("it can be written");
        let other = journal.start("8.1").expect("it can be written");
        let second = journal.start("7.2").expect("it can be written");
        drop((first, second));
        let third = journal.start("7.3").expect("it can be written");
        journal.note("7.3", Event::End).expect("it can be written");
        drop((other, third));
        let told: Vec<_> =
            journal.entries().iter().map(|entry| (entry.job, entry.attempt, entry.event)).collect();
        let wanted = [
            (7, 1, Event::Start),
            (8, 1, Event::Start),
            (7, 2, Event::Start),
            (7, 2, Event::Overlap),
            (7, 3, Event::Start),
            (7, 3, Event::End),
        ];
        assert_eq!(told, wanted);
    }
}
