//! [`judge`]: what a report means.
//!
//! Structured data first (`subtype`, `terminal_reason`, `api_error_status`, the error's type), exact
//! texts of the CLI second. Exit codes alone prove nothing: an interrupted CLI exits 0, and an API
//! failure says `subtype: "success"`.

use serde_json::Value;

use super::report::{NotStarted, text, whole};
use super::reset::resets_at;
use super::stderr::{last_lines, startup_failure};
use super::{Ending, Failure, FailureKind, Outcome, Report, Run, StopReason};
use crate::options::Options;

/// Decides what a run came to, given what was asked for.
pub fn judge(report: Report, options: &Options) -> Run {
    judge_asked(report, Asked::by(options))
}

/// What options ask for, as far as it matters to what the run came to.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// To go on with a session.
    continues: bool,
    /// For an answer by a schema.
    structured: bool,
}

impl Asked {
    pub(crate) fn by(options: &Options) -> Self {
        Self {
            continues: options.resume.is_some() || options.from_pr.is_some(),
            structured: options.json_schema.is_some(),
        }
    }
}

/// As [`judge`], where the options are no longer at hand.
pub(crate) fn judge_asked(report: Report, asked: Asked) -> Run {
    let result = report.answer();
    let failure = failure_of(&report, asked).map(|failure| match failure.kind {
        FailureKind::NoCommit | FailureKind::NotAGitRepository if report.lacks_git => Failure {
            kind: FailureKind::GitUnusable,
            message: format!("`git` is not on PATH: {}", failure.message),
            ..failure
        },
        _ => failure,
    });
    let denials = result
        .and_then(|result| result["permission_denials"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|denial| text(denial, "tool_name").map(str::to_owned))
        .collect();
    let is_hooked = failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::StopHook);
    let said = result.and_then(answer).filter(|said| !(is_hooked && said.trim().is_empty()));
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}"));
    Run {
        outcome: failure.map_or(Outcome::Success, Outcome::Failure),
        text: said.or_else(|| report.last_text.clone()),
        structured: result.and_then(|result| result.get("structured_output").cloned()),
        cost_usd: cost(&report, asked),
        turns: result
            .and_then(|result| whole(&result["num_turns"]))
            .and_then(|turns| u32::try_from(turns).ok()),
        tokens: report.tokens,
        denials,
        started: report.started || report.worked || report.result.is_some(),
        worked: report.worked,
        last_events: warnings.chain(report.last_events).collect(),
        warnings: report.warnings,
        session_id: report.session_id,
        model: report.model,
        cli_version: report.cli_version,
        keeps_session: true,
        session_host: None,
        ending: report.ending,
        environment: report.environment,
        repair: None,
    }
}

/// The answer's text; of an answer that is no text, its JSON.
fn answer(result: &Value) -> Option<String> {
    match result.get("result")? {
        Value::Null => None,
        Value::String(said) => Some(said.clone()),
        other => Some(other.to_string()),
    }
}

/// What the run cost. Without a result it is unknown, save where no request can have been made: the
/// process never started, or failed before its start event and did nothing.
fn cost(report: &Report, asked: Asked) -> Option<f64> {
    match (&report.result, &report.ending) {
        (_, Ending::NotStarted(_)) => Some(0.0),
        (_, Ending::Exited(code)) if *code != 0 && !report.started && !report.worked => {
            Some(report.cost_usd.unwrap_or(0.0))
        }
        // What came after the last result is on no bill yet.
        (Some(_), _) if report.answer().is_none() => None,
        // An interrupted request is billed for what had come by then, and nobody says how much.
        (Some(result), _) if is_interrupted(result) => report.cost_usd.filter(|cost| *cost > 0.0),
        (Some(result), _) => {
            let is_running_total = !result["model_usage_since_last_result"].is_object();
            report.cost_usd.filter(|_| !(asked.continues && is_running_total))
        }
        // Of a run that was ended before it began the runner knows that it cost nothing.
        (None, Ending::Stopped(_) | Ending::Signalled(_)) => report.cost_usd,
        (None, _) => None,
    }
}

fn is_interrupted(result: &Value) -> bool {
    text(result, "terminal_reason").is_some_and(|reason| reason.starts_with("aborted"))
}

fn failure_of(report: &Report, asked: Asked) -> Option<Failure> {
    use FailureKind as Kind;
    match &report.ending {
        // What is done is paid for: that the process was still there when it was to end changes nothing of it.
        Ending::Stopped(
            StopReason::Timeout | StopReason::IdleTimeout | StopReason::Shutdown | StopReason::LeaseLost,
        ) if report.is_done() => {}
        // The result says more than the event for which it was stopped.
        Ending::Stopped(StopReason::Refused) => match &report.result {
            Some(result) if result["is_error"] == true => return result_failure(report, result, asked),
            _ => return Some(refused(report)),
        },
        Ending::Stopped(reason) => {
            let (kind, message) = match reason {
                StopReason::Timeout => (Kind::Timeout, "stopped: `timeout` passed"),
                StopReason::IdleTimeout => (Kind::IdleTimeout, "stopped: silent for `idle_timeout`"),
                StopReason::ToolTimeout => return Some(overdue(report)),
                StopReason::McpUnavailable => {
                    let what = report.warnings.join("; ");
                    return Some(Failure::new(
                        Kind::McpUnavailable,
                        format!("{what}: the worker requires it"),
                    ));
                }
                StopReason::Refused => return Some(refused(report)),
                StopReason::Rehearsed => (Kind::Interrupted, "stopped: it was a rehearsal"),
                StopReason::Cancel => (Kind::Cancelled, "stopped: the job was cancelled"),
                StopReason::Shutdown => (Kind::Shutdown, "stopped: the runtime shut down"),
                StopReason::LeaseLost => (Kind::Shutdown, "stopped: the node lost its lease"),
            };
            return Some(Failure::new(kind, message));
        }
        Ending::NotStarted(why) => {
            let (kind, message) = match why {
                NotStarted::BinaryMissing(what) => (Kind::BinaryMissing, what),
                NotStarted::BinaryNotRunnable(what) => (Kind::BinaryNotRunnable, what),
                NotStarted::WorkingDirMissing(what) => (Kind::WorkingDirMissing, what),
                NotStarted::Environment(what) => (Kind::Environment, what),
                NotStarted::TooLong(what) => (Kind::InvalidOption, what),
                NotStarted::Refused(what) => (Kind::Io, what),
            };
            return Some(Failure::new(kind, message));
        }
        Ending::Lost => return Some(Failure::new(Kind::Lost, "the node that ran it died")),
        Ending::Custom(message) => return Some(Failure::new(Kind::Runner, message)),
        Ending::Exited(_) | Ending::Signalled(_) | Ending::Failed(_) => {}
    }
    match report.answer() {
        Some(result) => result_failure(report, result, asked),
        None => Some(missing_result(report)),
    }
}

/// A tool ran for longer than `tool_timeout`.
fn overdue(report: &Report) -> Failure {
    let under_way = report.under_way.first().map(|call| &call.name);
    let what = report.overdue_tool.as_ref().or(under_way);
    let what = what.map_or_else(|| "a tool".to_owned(), |name| format!("the tool `{name}`"));
    Failure::new(FailureKind::ToolTimeout, format!("stopped: {what} ran for longer than `tool_timeout`"))
}

/// Stopped because the API will refuse again: by the event that said so.
fn refused(report: &Report) -> Failure {
    let event = report.api_retry.as_ref().unwrap_or(&Value::Null);
    let kind = refusal(event).unwrap_or(FailureKind::Authentication);
    let api_status = whole(&event["error_status"]).and_then(|status| u16::try_from(status).ok());
    let error = text(event, "error").unwrap_or("the API refused");
    let what = ["error_message", "message"].into_iter().find_map(|field| text(event, field)).unwrap_or(error);
    let status = api_status.map_or_else(String::new, |status| format!(" ({status})"));
    let message = format!("{what}{status}: stopped, because to try again is of no use");
    Failure { api_status, ..Failure::new(kind, message) }
}

/// The kind of failure, if an `api_retry` event names one that no further try can mend.
pub(crate) fn refusal(retry: &Value) -> Option<FailureKind> {
    let status = whole(&retry["error_status"]);
    let error = text(retry, "error").unwrap_or_default();
    if error.contains("billing") || status == Some(402) {
        Some(FailureKind::Billing)
    } else if error.contains("credit") {
        Some(FailureKind::CreditsRequired)
    } else if error.contains("authentication") || error.contains("oauth") || matches!(status, Some(401 | 403))
    {
        Some(FailureKind::Authentication)
    } else {
        None
    }
}

/// No `result` event: the CLI refused at the start, was interrupted, crashed, or was killed.
fn missing_result(report: &Report) -> Failure {
    use FailureKind as Kind;
    let said = report.stderr.trim();
    if let Some(failure) = startup_failure(report) {
        return failure;
    }
    match &report.ending {
        Ending::Failed(why) => Failure::new(Kind::Io, why.clone()),
        Ending::Signalled(Some(signal)) => {
            Failure::new(Kind::Killed, format!("the CLI was ended by signal {signal}"))
        }
        Ending::Signalled(None) => Failure::new(Kind::Killed, "the CLI was ended by a signal"),
        Ending::Exited(code @ 129..=165) => {
            Failure::new(Kind::Killed, format!("the CLI was ended by signal {}", code - 128))
        }
        Ending::Exited(0) => Failure::new(Kind::Interrupted, "the CLI ended without a result"),
        Ending::Exited(code) if said.is_empty() => {
            Failure::new(Kind::CommandFailed, format!("the CLI exited with code {code} and said nothing"))
        }
        _ => Failure::new(Kind::CommandFailed, last_lines(said)),
    }
}

fn result_failure(report: &Report, result: &Value, asked: Asked) -> Option<Failure> {
    use FailureKind as Kind;
    let subtype = text(result, "subtype").unwrap_or_default();
    let terminal = text(result, "terminal_reason").unwrap_or_default();
    let message = message_of(result);
    match subtype {
        "error_max_turns" => return Some(Failure::new(Kind::MaxTurns, message)),
        "error_max_budget_usd" => return Some(Failure::new(Kind::MaxBudget, message)),
        "error_max_structured_output_retries" => {
            return Some(Failure::new(Kind::OutputMismatch, message));
        }
        _ => {}
    }
    if is_interrupted(result) {
        return Some(Failure::new(Kind::Interrupted, "the CLI was interrupted"));
    }
    if let Some(reason) = text(result, "startup_failure_reason").filter(|_| !report.worked) {
        return Some(startup_reason(reason, message));
    }
    let is_error = result["is_error"] == true || subtype.starts_with("error");
    if is_error {
        return Some(error_result(report, result, terminal, message));
    }
    success_failure(report, result, asked)
}

/// A result that claims success may still not be one.
fn success_failure(report: &Report, result: &Value, asked: Asked) -> Option<Failure> {
    use FailureKind as Kind;
    let answer = answer(result).unwrap_or_default();
    if report.is_stop_hook_endless {
        let said = report.stop_hook.as_deref().unwrap_or("it said nothing");
        let message =
            format!("a Stop hook never let claude end its turn, and the CLI gave up: {}", last_lines(said));
        return Some(Failure::new(Kind::StopHook, message));
    }
    if report.stderr.contains("continuing in the current directory without worktree isolation") {
        return Some(Failure::new(Kind::WorktreeGone, last_lines(report.stderr.trim())));
    }
    if whole(&result["num_turns"]) == Some(0) {
        let what = if answer.is_empty() { "a built-in command or hook took the prompt" } else { &answer };
        return Some(Failure::new(Kind::NoTurn, what));
    }
    if asked.structured {
        return result
            .get("structured_output")
            .is_none_or(Value::is_null)
            .then(|| Failure::new(Kind::OutputMismatch, "no structured answer came"));
    }
    // Work that is done is not done again because the model has not said so.
    (answer.trim().is_empty() && report.tools_used == 0)
        .then(|| Failure::new(Kind::EmptyAnswer, "the model answered with nothing"))
}

/// A result with `is_error`: by HTTP status, by the typed error of the last assistant event, by the
/// exact text.
fn error_result(report: &Report, result: &Value, terminal: &str, message: String) -> Failure {
    use FailureKind as Kind;
    let status = whole(&result["api_error_status"]).and_then(|status| u16::try_from(status).ok());
    let event = report.api_error.as_ref();
    let event_text = |field: &str| event.and_then(|event| text(event, field)).unwrap_or_default();
    let api_error = text(result, "api_error").unwrap_or_else(|| event_text("api_error"));
    let kind = match terminal {
        "prompt_too_long" | "blocking_limit" => Kind::PromptTooLong,
        "image_error" => Kind::RequestTooLarge,
        _ => match api_error {
            "usage_limit_reached" => Kind::UsageLimit,
            "long_context_credits_required" => Kind::CreditsRequired,
            "max_output_tokens" => Kind::MaxOutputTokens,
            "message_over_context_limit" => Kind::PromptTooLong,
            "empty_completion" => Kind::EmptyAnswer,
            "connection_failed" | "network_edge_blocked" => Kind::Connection,
            "org_disabled_credential" => Kind::Authentication,
            _ if event_text("api_error_code") == "credits_required" => Kind::CreditsRequired,
            _ => error_kind(report, result, status, event_text("error"), &message),
        },
    };
    let resets_at =
        matches!(kind, Kind::UsageLimit | Kind::RateLimit).then(|| resets_at(report, &message)).flatten();
    // Only a limit of the account has a time at which it is lifted.
    let kind = if resets_at.is_some() { Kind::UsageLimit } else { kind };
    Failure { kind, message, api_status: status, resets_at }
}

fn error_kind(
    report: &Report,
    result: &Value,
    status: Option<u16>,
    error: &str,
    message: &str,
) -> FailureKind {
    use FailureKind as Kind;
    if result["stop_reason"] == "refusal" || message.contains("safeguards flagged") {
        return Kind::Refused;
    }
    match (status, error) {
        (_, "billing_error") => Kind::Billing,
        (_, "model_not_found") | (Some(404), _) => Kind::ModelNotFound,
        (_, "authentication_failed" | "oauth_org_not_allowed") | (Some(401 | 403), _) => Kind::Authentication,
        (Some(429), _) | (None, "rate_limit") if names_a_limit(report) || is_usage_limit(message) => {
            Kind::UsageLimit
        }
        (Some(429), _) | (None, "rate_limit") => Kind::RateLimit,
        (Some(529), _) => Kind::Overloaded,
        (Some(413), _) => Kind::RequestTooLarge,
        (Some(408 | 409 | 500..), _) => Kind::ServerError,
        (Some(_), _)
            if message.contains("Prompt is too long") || message.contains("exceed context limit") =>
        {
            Kind::PromptTooLong
        }
        (Some(_), _) => Kind::BadRequest,
        (None, _) if is_usage_limit(message) => Kind::UsageLimit,
        (None, _) => match message {
            text if text.contains("Not logged in") => Kind::Authentication,
            text if text.contains("Prompt is too long") => Kind::PromptTooLong,
            text if text.contains("Credit balance is too low") => Kind::Billing,
            text if text.contains("sage credits") => Kind::CreditsRequired,
            text if text.contains("exceed context limit") => Kind::PromptTooLong,
            text if text.contains("context window limit") || text.contains("output token maximum") => {
                Kind::MaxOutputTokens
            }
            text if text.contains("Overloaded") => Kind::Overloaded,
            text if text.contains("Request timed out") || text.contains("stream idle") => {
                Kind::RequestTimeout
            }
            text if MALFORMED.iter().any(|what| text.contains(what)) => Kind::MalformedResponse,
            text if CONNECTION.iter().any(|what| text.contains(what)) => Kind::Connection,
            text if text.contains("No conversation found with session ID") => Kind::SessionNotFound,
            _ if error == "server_error" => Kind::Connection,
            _ => startup_failure(report).map_or(Kind::ResultError, |failure| failure.kind),
        },
    }
}

/// What the CLI says of an answer that it cannot read.
const MALFORMED: &[&str] = &["JSON Parse error", "malformed response", "response could not be read"];

/// What it says of an API that it cannot reach.
const CONNECTION: &[&str] = &[
    "Connection error",
    "Connection dropped",
    "Connection refused",
    "Connection to the API was lost",
    "Can't reach the API server",
    "Unable to connect",
    "socket hang up",
    "fetch failed",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "ETIMEDOUT",
    "EPIPE",
    "EAI_AGAIN",
];

/// Whether an event says which limit was reached. For a mere rate there is such an event too, which does not.
fn names_a_limit(report: &Report) -> bool {
    report
        .rate_limit
        .as_ref()
        .is_some_and(|info| info["rateLimitType"].is_string() || !info["resetsAt"].is_null())
}

/// Whether it is a limit of the account's use: the event says so, or the CLI, in its words of several versions. The
/// server's own words for a rate ("exceed your account's rate limit") are none of them.
fn is_usage_limit(message: &str) -> bool {
    let message = message.to_lowercase();
    let is_hit = message.contains("hit your ") && message.contains("limit");
    let is_reached =
        ["usage limit reached", "-hour limit reached", "weekly limit reached", "session limit reached"];
    let is_negated = message.contains("not your usage limit");
    is_hit || (is_reached.iter().any(|it| message.contains(it)) && !is_negated)
}

fn startup_reason(reason: &str, message: String) -> Failure {
    let kind = match reason {
        "bypass_root" => FailureKind::DangerousModeRefused,
        _ => FailureKind::Environment,
    };
    Failure::new(kind, format!("{message} ({reason})"))
}

fn message_of(result: &Value) -> String {
    let errors = result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let joined = errors.collect::<Vec<_>>().join("; ");
    match answer(result) {
        Some(said) if joined.is_empty() => said,
        _ if joined.is_empty() => "the CLI reported an error without a message".to_owned(),
        _ => joined,
    }
}

#[cfg(test)]
mod tests;
