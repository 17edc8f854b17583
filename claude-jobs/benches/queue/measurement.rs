//! One measurement, and the file format in which others give theirs: one JSON object per line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What one run of a workload came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The engine and the workload, as in [`crate::targets`].
    pub(crate) row: String,
    /// Who was measured: `ours`, the peer's name, or `floor: …` for bare SQL.
    pub(crate) who: String,
    /// By column.
    pub(crate) values: BTreeMap<String, f64>,
}

/// Who we are.
pub(crate) const OURS: &str = "ours";

/// The columns of the peers' summary, and their order.
pub(crate) const RATE: &str = "jobs/s";
pub(crate) const SETTLED_RATE: &str = "jobs/s to DB settled";
pub(crate) const CLIENT_CPU: &str = "client CPU us/job";
pub(crate) const SERVER_CPU: &str = "server CPU us/job";
pub(crate) const COLUMNS: [&str; 12] = [
    RATE,
    SETTLED_RATE,
    CLIENT_CPU,
    SERVER_CPU,
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "transactions/s",
    "CPU % of a core",
    "server CPU % of a core",
    "resident MiB",
];

/// The measurements in a file.
pub(crate) fn read(file: &Path) -> Vec<Measurement> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// Adds measurements to a file.
pub(crate) fn append(file: &Path, measurements: &[Measurement]) {
    let mut file = fs::File::options().create(true).append(true).open(file).expect("the file can be written");
    for measurement in measurements {
        let line = serde_json::to_string(measurement).expect("plain data");
        writeln!(file, "{line}").expect("the file can be written");
    }
}

/// The middle of the values of one column.
pub(crate) fn median(measurements: &[&Measurement], column: &str) -> Option<f64> {
    let mut values: Vec<f64> =
        measurements.iter().filter_map(|taken| taken.values.get(column).copied()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

/// The value below which `percent` of the sorted values are.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = (percent / 100.0 * (sorted.len() - 1) as f64).round();
    sorted[place as usize]
}
