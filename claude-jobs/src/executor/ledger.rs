//! What an attempt leaves in the ledger and among the job's errors.

use jiff::Timestamp;

use crate::job::{AttemptError, Job, RunRow};
use crate::outcome::Run;
use crate::settlement::{Cause, Remains, Seen};
use crate::verdict::Verdict;

/// The ledger row, the error and the pause of an attempt. The decision adds its verdict.
pub(super) fn remains(job: &Job, run: Run, seen: &Seen, cause: &Cause, now: Timestamp) -> Remains {
    let error = error(job, &run, cause, now);
    let mut remains = Remains::of(row(job, run, seen, now));
    remains.error = error;
    remains
}

/// The most bytes that are kept of a reason or an error: handlers may give whole documents.
const MOST_OF_A_REASON: usize = 8 * 1024;

/// Cuts a text that is too long, and replaces what no database takes.
pub(super) fn bound(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{FFFD}");
    }
    if text.len() > MOST_OF_A_REASON {
        let end = (0..=MOST_OF_A_REASON).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// Builds the ledger row; consumes the run. An attempt that only ran the handler shows the answer again, and has cost
/// nothing.
fn row(job: &Job, run: Run, seen: &Seen, now: Timestamp) -> RunRow {
    let ending = match (seen.only_handler, seen.anew) {
        (true, _) => "not started: it had answered".to_owned(),
        (false, true) => format!("{}, started anew: its session was out of reach", run.ending_text()),
        (false, false) => run.ending_text(),
    };
    let is_paid_here = !seen.only_handler;
    RunRow {
        attempt: job.attempt,
        node: job.node.clone(),
        started_at: job.attempted_at.unwrap_or(now),
        finished_at: now,
        outcome: run.outcome_name().to_owned(),
        session_id: run.session_id,
        // The decision says.
        verdict: String::new(),
        ending,
        cost_usd: if is_paid_here { run.cost_usd } else { Some(0.0) },
        turns: run.turns.filter(|_| is_paid_here),
        tokens: run.tokens.filter(|_| is_paid_here),
        model: run.model,
        cli_version: run.cli_version,
        result: run.text,
        structured: run.structured,
        last_events: run.last_events,
        environment: run.environment,
    }
}

/// What goes into the job's errors: what went wrong with the handler, else the run's failure, else what the handler found
/// wrong with a success.
fn error(job: &Job, run: &Run, cause: &Cause, now: Timestamp) -> Option<AttemptError> {
    let handler = |reason: &str| ("handler", reason.to_owned());
    let (kind, message) = match (cause, run.failure()) {
        // Nor is the job charged for what the machine or the account lacks.
        (Cause::NotStarted(_), _) => return None,
        (Cause::HandlerFailed(problem), _) => handler(problem),
        (Cause::HandlerInterrupted(why), _) => handler(why),
        (_, Some(failure)) => (failure.kind.name(), failure.message.clone()),
        (Cause::Judged(Verdict::Retry { reason, .. } | Verdict::Cancel { reason }), None) => handler(reason),
        (_, None) => return None,
    };
    Some(AttemptError { attempt: job.attempt, at: now, kind: kind.to_owned(), message })
}
