//! [`Capacity`]: how many more runs this machine has room for: memory, disk, file descriptors.
//!
//! Measured once a second, and only for runners that say what a run takes ([`Footprint`]).

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::claude::Footprint;

/// How much memory stays free unless the runtime says otherwise.
pub(crate) const MIN_FREE_MEMORY: u64 = 512 * MIB;

/// How much of the disk below the database stays free.
const MIN_FREE_DISK: u64 = 256 * MIB;

const MIB: u64 = 1024 * 1024;

/// For how long a run that has started counts beside what is measured: it has not grown yet.
const GROWING: Duration = Duration::from_secs(5);

/// Descriptors that are left for connections, logs and the like.
const RESERVED: u64 = 64;

/// What a run takes, what there is, and what has just started.
#[derive(Debug)]
pub(crate) struct Capacity {
    takes: Footprint,
    min_free_memory: u64,
    measured: Measured,
    /// The starts of the last seconds, oldest first.
    starts: VecDeque<Instant>,
}

/// What the machine has. `None`: nobody can tell, and nothing is kept back for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Bytes that can be had.
    pub(crate) memory: Option<u64>,
    /// Bytes below the database.
    pub(crate) disk: Option<u64>,
    /// For how many runs there are descriptors, those included that run.
    pub(crate) runs: Option<u32>,
}

impl Capacity {
    pub(crate) fn new(takes: Footprint, min_free_memory: u64) -> Self {
        Self { takes, min_free_memory, measured: Measured::default(), starts: VecDeque::new() }
    }

    pub(crate) fn measure(&mut self, takes: Footprint, measured: Measured) {
        self.takes = takes;
        self.measured = measured;
    }

    /// How many more may start when so many run.
    pub(crate) fn room(&self, running: u32, now: Instant) -> u32 {
        if self.measured.disk.is_some_and(|free| free < MIN_FREE_DISK) {
            return 0;
        }
        let descriptors = self.measured.runs.map_or(u32::MAX, |most| most.saturating_sub(running));
        descriptors.min(self.starts_in_memory(now))
    }

    fn starts_in_memory(&self, now: Instant) -> u32 {
        let (Some(free), takes @ 1..) = (self.measured.memory, self.takes.memory_bytes) else {
            return u32::MAX;
        };
        let growing = self.starts.iter().filter(|start| now.duration_since(**start) < GROWING).count() as u64;
        let left = free.saturating_sub(self.min_free_memory) / takes;
        u32::try_from(left.saturating_sub(growing)).unwrap_or(u32::MAX)
    }

    /// Why nothing may start although nothing runs that could make room.
    pub(crate) fn shortage(&self) -> Option<String> {
        let mib = |bytes: u64| bytes / MIB;
        if let Some(free) = self.measured.disk.filter(|free| *free < MIN_FREE_DISK) {
            let (free, least) = (mib(free), mib(MIN_FREE_DISK));
            return Some(format!("disk: {free} MiB are free below the database, {least} MiB must be"));
        }
        let least = self.min_free_memory.saturating_add(self.takes.memory_bytes);
        let free = self.measured.memory.filter(|free| self.takes.memory_bytes > 0 && *free < least)?;
        Some(format!("memory: {} MiB are free, a start needs {} MiB", mib(free), mib(least)))
    }

    pub(crate) fn started(&mut self, now: Instant) {
        while self.starts.front().is_some_and(|start| now.duration_since(*start) >= GROWING) {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
    }

    /// A run is over: what it took is free, or is measured to be soon.
    pub(crate) fn ended(&mut self) {
        self.starts.pop_front();
    }
}

/// For how many runs there are descriptors, once the soft limit is as high as it may be. `None` where nobody can tell.
pub(crate) fn most_runs(takes: Footprint) -> Option<u32> {
    let takes = u64::from(takes.descriptors);
    if takes == 0 {
        return None;
    }
    let limit = raised_limit()?;
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let runs = limit.saturating_sub(open + RESERVED) / takes;
    Some(u32::try_from(runs).unwrap_or(u32::MAX).max(1))
}

/// Raises the soft limit of open files to the hard one; answers with what it is now, unless there is none.
fn raised_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum || (current.is_some() && maximum.is_none()) {
        // No harm is done if it is refused.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current
}

/// How many bytes of memory can be had: the machine's, or what the control group's limit leaves.
pub(crate) fn free_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    machine.into_iter().chain(left_in_group()).min()
}

/// `MemAvailable` of `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What is left below the nearest limit of the control group and those above it.
fn left_in_group() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            "memory" => ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
            _ => continue,
        };
        for group in Path::new(path).ancestors() {
            let folder = Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
            let [limit, used] = files.map(|name| read(name)?.trim().parse::<u64>().ok());
            let (Some(limit), Some(used)) = (limit, used) else { continue };
            let cached = read("memory.stat").map_or(0, |text| inactive_file(&text));
            let left = limit.saturating_sub(used.saturating_sub(cached));
            least = Some(least.map_or(left, |least: u64| least.min(left)));
        }
    }
    least
}

/// File pages that nobody has used for a while: the kernel gives them up for a start.
fn inactive_file(text: &str) -> u64 {
    let value = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        matches!(name, "inactive_file" | "total_inactive_file")
            .then(|| value.trim().parse::<u64>().ok())
            .flatten()
    };
    text.lines().filter_map(value).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: Footprint = Footprint { descriptors: 8, memory_bytes: 300 * MIB };

    #[test]
    fn what_may_start_is_what_the_scarcest_allows() {
        let now = Instant::now();
        let table = [
            // memory in MiB, disk in MiB, runs, running, expected
            (None, None, None, 0, u32::MAX),
            (Some(811), None, None, 0, 0),
            (Some(812), None, None, 0, 1),
            (Some(512 + 3_000), None, None, 0, 10),
            (Some(100_000), Some(255), None, 0, 0),
            (Some(512 + 3_000), Some(256), None, 0, 10),
            (Some(512 + 3_000), None, Some(16), 9, 7),
            (None, None, Some(16), 20, 0),
        ];
        for (memory, disk, runs, running, expected) in table {
            let mut capacity = Capacity::new(TAKES, MIN_FREE_MEMORY);
            let bytes = |mib: u64| mib * MIB;
            capacity.measure(TAKES, Measured { memory: memory.map(bytes), disk: disk.map(bytes), runs });
            assert_eq!(capacity.room(running, now), expected, "{memory:?} {disk:?} {runs:?} {running}");
        }
    }

    #[test]
    fn starts_of_the_last_seconds_count_beside_what_is_measured() {
        let now = Instant::now();
        let mut capacity = Capacity::new(TAKES, MIN_FREE_MEMORY);
        capacity.measure(TAKES, Measured { memory: Some((512 + 900) * MIB), ..Measured::default() });
        assert_eq!(capacity.room(0, now), 3);
        capacity.started(now);
        capacity.started(now);
        assert_eq!(capacity.room(0, now), 1);
        capacity.ended();
        assert_eq!(capacity.room(0, now), 2);
        assert_eq!(capacity.room(0, now + GROWING), 3, "they have grown");
        assert_eq!(capacity.shortage(), None);
        capacity.measure(TAKES, Measured { memory: Some(600 * MIB), ..Measured::default() });
        assert_eq!(capacity.shortage().as_deref(), Some("memory: 600 MiB are free, a start needs 812 MiB"));
    }

    #[test]
    fn the_systems_texts_are_read() {
        let text = "MemTotal:       24105000 kB\nMemFree: 1 kB\nMemAvailable:   22707000 kB\n";
        assert_eq!(available(text), Some(22_707_000 * 1024));
        assert_eq!(available("MemTotal: 1 kB"), None);
        assert_eq!(inactive_file("anon 5\ninactive_file 4096\nactive_file 9\n"), 4096);
        assert_eq!(inactive_file("inactive_file 1\ntotal_inactive_file 7\n"), 7);
        assert_eq!(inactive_file(""), 0);
        assert!(free_memory().is_none_or(|free| free > 0));
    }
}
