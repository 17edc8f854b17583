//! The tables, and each target with what was reached.

use std::collections::BTreeSet;

use crate::measurement::{COLUMNS, Measurement, OURS, median};
use crate::targets::{Bound, TARGETS, Target};

pub(crate) fn print(ours: &[Measurement], peers: &[Measurement]) {
    let all: Vec<&Measurement> = ours.iter().chain(peers).collect();
    for name in distinct(ours.iter().map(|taken| group(&taken.row))) {
        table(name, &all);
    }
    println!();
    let measured = |target: &&Target| figure(&all, target, OURS, target.row).is_some();
    TARGETS.iter().filter(measured).for_each(|target| println!("{}", line(target, &all)));
}

/// Without what came before.
fn distinct<'text>(texts: impl Iterator<Item = &'text str>) -> Vec<&'text str> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}

/// The engine and the workload's number: what shares a table.
fn group(row: &str) -> &str {
    let end = row.match_indices(' ').nth(1).map_or(row.len(), |(place, _)| place);
    &row[..end]
}

/// One line per row and who was measured: medians.
fn table(name: &str, all: &[&Measurement]) {
    let taken: Vec<&Measurement> = all.iter().copied().filter(|taken| group(&taken.row) == name).collect();
    let is_used = |column: &&&str| taken.iter().any(|taken| taken.values.contains_key(**column));
    let columns: Vec<&str> = COLUMNS.iter().filter(is_used).copied().collect();
    println!("\n### {name}\n\n| | | {} | runs |", columns.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(columns.len()));
    let rows = distinct(taken.iter().map(|taken| taken.row.as_str()));
    let whose = |row| taken.iter().filter(move |taken| taken.row == row).map(|taken| taken.who.as_str());
    let lines = rows.into_iter().flat_map(|row| distinct(whose(row)).into_iter().map(move |who| (row, who)));
    for (row, who) in lines {
        let runs: Vec<&Measurement> =
            taken.iter().copied().filter(|taken| taken.row == row && taken.who == who).collect();
        let cells = columns.iter().map(|column| median(&runs, column).map_or("-".to_owned(), number));
        let row = row[name.len()..].trim_start();
        println!("| {row} | {who} | {} | {} |", cells.collect::<Vec<_>>().join(" | "), runs.len());
    }
}

/// `target … ours … peer … floor … ratio … reached|missed`
fn line(target: &Target, all: &[&Measurement]) -> String {
    let ours = figure(all, target, OURS, target.row);
    let peer = best(all, target, |who| who != OURS && !is_floor(who));
    let floor = best(all, target, is_floor);
    let shown = |named: &Option<(String, f64)>| match named {
        Some((who, value)) => format!("{} ({who})", number(*value)),
        None => "not measured".to_owned(),
    };
    let value_of = |named: &Option<(String, f64)>| named.as_ref().map(|(_, value)| *value);
    let (against, limit, sense) = match target.bound {
        Bound::TimesPeer(times) => (value_of(&peer), times, "× peer, at least"),
        Bound::TimesFloor(times) => (value_of(&floor), times, "× floor, at least"),
        Bound::TimesRow(times, row) => (figure(all, target, OURS, row), times, "× the small table, at least"),
        Bound::AtMostPeer => (value_of(&peer), 1.0, "× peer, at most"),
        Bound::AtMost(limit) => (Some(1.0), limit, "at most"),
    };
    let ratio = ours.zip(against).map(|(ours, against)| ours / against);
    let verdict = match ratio {
        None => "not measured",
        Some(ratio) if is_reached(target.bound, ratio, limit) => "reached",
        Some(_) => "missed",
    };
    let what = match target.bound {
        Bound::AtMost(limit) => format!("at most {}", number(limit)),
        _ => format!("ratio {} {sense} {limit}", ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))),
    };
    format!(
        "target {}, {}: ours {} peer {} floor {} {what}: {verdict}",
        target.row,
        target.column,
        ours.map_or("-".to_owned(), number),
        shown(&peer),
        shown(&floor),
    )
}

fn is_reached(bound: Bound, ratio: f64, limit: f64) -> bool {
    match bound {
        Bound::AtMost(_) | Bound::AtMostPeer => ratio <= limit,
        _ => ratio >= limit,
    }
}

fn is_floor(who: &str) -> bool {
    who.starts_with("floor")
}

/// The best of those who pass, by name.
fn best(all: &[&Measurement], target: &Target, passes: impl Fn(&str) -> bool) -> Option<(String, f64)> {
    let names: BTreeSet<&str> =
        all.iter().map(|taken| taken.who.as_str()).filter(|who| passes(who)).collect();
    let figures = names.into_iter().filter_map(|who| Some((who, figure(all, target, who, target.row)?)));
    figures
        .reduce(|one, other| if is_better(target, other.1, one.1) { other } else { one })
        .map(|(who, value)| (who.to_owned(), value))
}

/// Somebody's median in a row: the best of its variants.
fn figure(all: &[&Measurement], target: &Target, who: &str, row: &str) -> Option<f64> {
    let is_variant =
        |name: &str| name.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
    let taken = || all.iter().copied().filter(|taken| taken.who == who && is_variant(&taken.row));
    let rows: BTreeSet<&str> = taken().map(|taken| taken.row.as_str()).collect();
    rows.into_iter()
        .filter_map(|row| {
            median(&taken().filter(|taken| taken.row == row).collect::<Vec<_>>(), target.column)
        })
        .reduce(|one, other| if is_better(target, other, one) { other } else { one })
}

fn is_better(target: &Target, one: f64, other: f64) -> bool {
    match target.bound {
        Bound::AtMost(_) | Bound::AtMostPeer => one < other,
        _ => one > other,
    }
}

/// Three significant digits; whole numbers with separators.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => separated(value.round() as i64),
    }
}

fn separated(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}
