//! `jobs retry`: by id, or all that ended for a reason of a kind.

use std::time::Duration;

use super::{Done, each, job_id, print_done};
use crate::cli::duration::duration;
use crate::cli::exit::{Exit, Problem};
use crate::cli::live;
use crate::job::JobId;
use crate::outcome::FailureKind;
use crate::queue::Queue;

#[derive(Debug, clap::Args)]
pub(super) struct RetryFlags {
    #[arg(value_name = "ID", required_unless_present = "reason", conflicts_with = "reason",
          allow_negative_numbers = true, value_parser = job_id)]
    ids: Vec<JobId>,
    /// All jobs that were cancelled or discarded for a reason of this kind, such as `authentication`
    #[arg(long, value_name = "KIND", value_parser = kind)]
    reason: Option<FailureKind>,
    /// Of those, only the ones that ended within this time
    #[arg(long, value_name = "DURATION", conflicts_with = "ids", value_parser = duration)]
    since: Option<Duration>,
    /// Run only the handler again, with the stored answer: claude is not asked and nothing is paid
    #[arg(long, conflicts_with = "reason")]
    handler: bool,
    /// Only say which jobs it would be
    #[arg(long)]
    dry_run: bool,
}

/// Reads a failure kind; the error of an unknown one suggests the nearest name.
fn kind(text: &str) -> Result<FailureKind, String> {
    let found = FailureKind::ALL.iter().find(|kind| kind.name() == text);
    if let Some(kind) = found {
        return Ok(*kind);
    }
    let mut near: Vec<_> =
        FailureKind::ALL.iter().map(|kind| (edits(text, kind.name()), kind.name())).collect();
    near.sort();
    let near: Vec<_> = near.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    Err(format!("no failure is of this kind; the nearest are {}", near.join(", ")))
}

/// How many letters are to be inserted, removed or replaced to make one of the other.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (place, wanted) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != wanted);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

pub(super) async fn retry(queue: &Queue, flags: RetryFlags, json: bool) -> Result<Exit, Problem> {
    let Some(kind) = flags.reason else {
        let retry = async |id| match (flags.dry_run, flags.handler) {
            (true, _) => queue.details(id).await.map(|_| "would be retried"),
            (false, true) => queue.retry_handler(id).await.map(|job| job.state.name()),
            (false, false) => queue.retry(id).await.map(|job| job.state.name()),
        };
        return each(flags.ids, retry, json).await;
    };
    let done: Vec<_> = if flags.dry_run {
        let jobs = queue.ended_with(kind, flags.since).await?.into_iter();
        jobs.map(|job| Done { id: job.id, result: Some("would be retried"), error: None }).collect()
    } else {
        let jobs = queue.retry_where(kind, flags.since).await?.into_iter();
        let done = |(id, result): (JobId, crate::Result<()>)| match result {
            Ok(()) => Done { id, result: Some("available"), error: None },
            Err(error) => Done { id, result: None, error: Some(error.to_string()) },
        };
        jobs.map(done).collect()
    };
    if done.is_empty() {
        let within = flags.since.map_or(String::new(), |_| " within that time".to_owned());
        live::say(&format!("no job has ended for the reason `{}`{within}", kind.name()));
    }
    print_done(done, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_told_the_nearest() {
        assert_eq!(kind("authentication"), Ok(FailureKind::Authentication));
        let problem = kind("autentication").expect_err("misspelt");
        assert!(problem.contains("nearest are `authentication`"), "{problem}");
    }
}
