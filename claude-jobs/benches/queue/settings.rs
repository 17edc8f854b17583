//! What is measured: the command line, and the sizes of the workloads.

use std::fmt;
use std::path::PathBuf;

use crate::database::Engine;

/// The command line.
pub(crate) struct Settings {
    pub(crate) quick: bool,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) engines: Vec<Engine>,
    pub(crate) repetitions: usize,
    pub(crate) save: Option<PathBuf>,
    pub(crate) from: Option<PathBuf>,
    pub(crate) peers: Option<PathBuf>,
}

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Insert one by one.
    Insert,
    /// Insert many.
    Bulk,
    /// Drain jobs that do nothing.
    Drain,
    /// From insert to start on an idle runtime.
    Pickup,
    /// Drain with many other rows in the table.
    Backlog,
    /// What an idle runtime costs.
    Idle,
    /// Drain jobs whose concurrency keys allow one at a time. Ours only.
    Keys,
}

const WORKLOADS: [(&str, Workload); 7] = [
    ("w1", Workload::Insert),
    ("w2", Workload::Bulk),
    ("w3", Workload::Drain),
    ("w4", Workload::Pickup),
    ("w5", Workload::Backlog),
    ("w6", Workload::Idle),
    ("w7", Workload::Keys),
];

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = WORKLOADS.iter().find(|(_, workload)| workload == self).map_or("", |(name, _)| name);
        formatter.write_str(name)
    }
}

/// How much of each workload.
pub(crate) struct Sizes {
    /// W1, one task.
    pub(crate) inserts: u64,
    /// W1, ten tasks.
    pub(crate) concurrent_inserts: u64,
    /// W2.
    pub(crate) bulk: u64,
    /// W3.
    pub(crate) drain: u64,
    /// W4.
    pub(crate) pickups: u64,
    /// W5: how many are drained.
    pub(crate) backlog_drain: u64,
    /// W5: how many more wait, or are completed (the last).
    pub(crate) backlogs: [u64; 3],
    /// W6, in seconds: until it is settled, and of the measurement.
    pub(crate) idle: [u64; 2],
    /// W7: how many are drained.
    pub(crate) keyed_drain: u64,
    /// W7: how many wait, and how many keys they have.
    pub(crate) keyed: u64,
    pub(crate) keys: [u64; 2],
}

impl Sizes {
    pub(crate) const FULL: Sizes = Sizes {
        inserts: 5_000,
        concurrent_inserts: 20_000,
        bulk: 100_000,
        drain: 20_000,
        pickups: 200,
        backlog_drain: 5_000,
        backlogs: [1_000, 100_000, 1_000_000],
        idle: [5, 20],
        keyed_drain: 2_000,
        keyed: 10_000,
        keys: [100, 10_000],
    };

    /// Only to see that it works.
    pub(crate) const QUICK: Sizes = Sizes {
        inserts: 100,
        concurrent_inserts: 200,
        bulk: 2_000,
        drain: 300,
        pickups: 10,
        backlog_drain: 100,
        backlogs: [100, 200, 500],
        idle: [1, 2],
        keyed_drain: 100,
        keyed: 500,
        keys: [10, 500],
    };
}

impl Settings {
    /// Reads the command line; says what is wrong with it and ends the program.
    pub(crate) fn from_arguments() -> Settings {
        Settings::parse(std::env::args().skip(1)).unwrap_or_else(|problem| {
            eprintln!("{problem}");
            std::process::exit(2);
        })
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
        let mut settings = Settings {
            quick: false,
            workloads: WORKLOADS.iter().map(|(_, workload)| *workload).collect(),
            engines: Engine::ALL.to_vec(),
            repetitions: 0,
            save: None,
            from: None,
            peers: None,
        };
        let mut is_bench = false;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` needs a value"));
            match argument.as_str() {
                // What `cargo bench` says, and `cargo test` does not.
                "--bench" => is_bench = true,
                "--quick" => settings.quick = true,
                "--only" => {
                    settings.workloads = value()?.split(',').map(workload).collect::<Result<_, _>>()?
                }
                "--engine" => settings.engines = vec![engine(&value()?)?],
                "--repetitions" => {
                    settings.repetitions = value()?.parse().map_err(|_| "`--repetitions` takes a number")?;
                }
                "--save" => settings.save = Some(value()?.into()),
                "--from" => settings.from = Some(value()?.into()),
                "--peers" => settings.peers = Some(value()?.into()),
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        settings.quick |= !is_bench;
        if settings.repetitions == 0 {
            settings.repetitions = if settings.quick { 1 } else { 3 };
        }
        Ok(settings)
    }
}

fn workload(name: &str) -> Result<Workload, String> {
    let found = WORKLOADS.iter().find(|(known, _)| *known == name);
    found.map(|(_, workload)| *workload).ok_or_else(|| format!("unknown workload `{name}`: w1 to w7"))
}

fn engine(name: &str) -> Result<Engine, String> {
    let found = Engine::ALL.into_iter().find(|engine| engine.name() == name);
    found.ok_or_else(|| format!("unknown engine `{name}`: sqlite or postgres"))
}
