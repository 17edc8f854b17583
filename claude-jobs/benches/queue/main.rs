//! The queue's speed: the workloads W1 to W6 of the peers' harness and W7, on SQLite and PostgreSQL, through the
//! public API.
//!
//! ```text
//! cargo bench -p claude-jobs --bench queue -- [--quick] [--only w1,w3] [--engine sqlite|postgres]
//!     [--repetitions 3] [--save FILE] [--from FILE] [--peers FILE]
//! ```
//!
//! Each repetition has a fresh database. PostgreSQL is the server of `DATABASE_URL` (databases are made
//! in it and dropped), else one of our own with its default settings. `--save` appends every measurement
//! to a file, `--from` reports what such a file holds instead of measuring, `--peers` holds the figures
//! of others from the same machine and time. Under `cargo test` it runs small and once, to see that it
//! works.

mod database;
mod idle;
mod measurement;
mod report;
mod settings;
mod targets;
mod worker;
mod workloads;

use database::Databases;
use settings::{Settings, Sizes};

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    if let Some(url) = idle::requested() {
        runtime.block_on(idle::serve(&url));
        return;
    }
    let settings = Settings::from_arguments();
    let measurements = match &settings.from {
        Some(file) => measurement::read(file),
        None => runtime.block_on(measure(&settings)),
    };
    let peers = settings.peers.as_deref().map(measurement::read).unwrap_or_default();
    report::print(&measurements, &peers);
}

async fn measure(settings: &Settings) -> Vec<measurement::Measurement> {
    let sizes = if settings.quick { Sizes::QUICK } else { Sizes::FULL };
    let mut measurements = Vec::new();
    for engine in settings.engines.iter().copied() {
        let mut databases = Databases::start(engine);
        for repetition in 0..settings.repetitions {
            for workload in &settings.workloads {
                eprintln!(
                    "{} {workload}, repetition {} of {}",
                    engine.name(),
                    repetition + 1,
                    settings.repetitions
                );
                let taken = workloads::measure(*workload, &mut databases, &sizes).await;
                if let Some(file) = &settings.save {
                    measurement::append(file, &taken);
                }
                measurements.extend(taken);
            }
        }
    }
    measurements
}
