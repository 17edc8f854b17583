//! How jobs are shown in the messages of failed tests: short, one line each.

use jiff::Timestamp;
use serde_json::Value;

use crate::clock::between;
use crate::job::{Job, State};

/// The most jobs that a message lists.
const MOST: usize = 20;

/// The most characters of one value.
const LONGEST: usize = 80;

/// `job 3, Review { number: 87 }`.
pub(super) fn name(job: &Job) -> String {
    let fields = job.input.as_object().filter(|fields| !fields.is_empty());
    let fields = fields.map(|fields| {
        let each: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", json(value))).collect();
        format!(" {{ {} }}", each.join(", "))
    });
    format!("job {}, {}{}", job.id, job.worker, fields.unwrap_or_default())
}

/// The job with what the assertions ask for.
pub(super) fn line(job: &Job, now: Timestamp) -> String {
    let mut line = format!("{}, in queue `{}`, {}", name(job), job.queue, job.state);
    if matches!(job.state, State::Scheduled | State::Retryable) {
        let wait = between(now, job.scheduled_at);
        line.push_str(&if wait.is_zero() { " and due".to_owned() } else { format!(" in {wait:?}") });
    }
    if let Some(prompt) = job.args.get("prompt") {
        line.push_str(&format!(", prompt {}", json(prompt)));
    }
    if job.priority != 0 {
        line.push_str(&format!(", priority {}", job.priority));
    }
    if !job.tags.is_empty() {
        line.push_str(&format!(", tags {:?}", job.tags));
    }
    if let Some(reason) = &job.reason {
        line.push_str(&format!(" ({})", short(reason)));
    }
    line
}

/// One under the other, not too many of them.
pub(super) fn lines(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.collect();
    let mut shown: Vec<_> = lines.iter().take(MOST).map(|line| format!("    {line}")).collect();
    if lines.len() > MOST {
        shown.push(format!("    … and {} more", lines.len() - MOST));
    }
    shown.join("\n")
}

pub(super) fn json(value: &Value) -> String {
    short(&value.to_string())
}

pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
