//! How each kind of failure looks when the real CLI prints it: the other direction of
//! [`judge`](crate::outcome::judge).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Details;
use super::played::{Played, overlay};
use crate::clock::later;
use crate::outcome::{Ending, FailureKind as Kind, NotStarted, StopReason};

/// How long a usage limit lasts, unless the test says so.
const LIMITED_FOR: Duration = Duration::from_secs(3_600);

/// Whether a run of claude can end with it. The others are said by the queue.
pub(super) fn can_play(kind: Kind) -> bool {
    !matches!(kind, Kind::InvalidArgs | Kind::Lost | Kind::Shutdown | Kind::UnsupportedVersion)
}

/// What is seen of a run that fails in this way.
pub(super) fn played(kind: Kind, details: &Details, now: Timestamp) -> Played {
    // Free words, where something else says what kind it is.
    let said = |text: &str| details.said.clone().unwrap_or_else(|| text.to_owned());
    // The CLI's words, which say what kind it is, and then the test's.
    let words = |text: &str| match &details.said {
        Some(said) => format!("{text} {said}"),
        None => text.to_owned(),
    };
    let refused = |text: &str| Played::refused(format!("{}\n", words(text)));
    let not_started = |why: NotStarted| Played::silent(Ending::NotStarted(why));
    let api = |status: Option<u16>, error: &str, text: String| api_error(status, error, &text, json!({}));
    let with = |status: Option<u16>, error: &str, text: &str, more: Value| {
        api_error(status, error, &said(text), more)
    };
    match kind {
        Kind::Timeout => Played::begun(Ending::Stopped(StopReason::Timeout)),
        Kind::IdleTimeout => Played::begun(Ending::Stopped(StopReason::IdleTimeout)),
        Kind::Cancelled => Played::begun(Ending::Stopped(StopReason::Cancel)),
        Kind::Killed => Played::begun(Ending::Signalled(Some(9))),
        Kind::Io => Played::begun(Ending::Failed(said("the pipe broke"))),
        Kind::ToolTimeout => Played::begun(Ending::Stopped(StopReason::ToolTimeout)),
        Kind::McpUnavailable => Played::without_mcp(),
        Kind::StopHook => Played::hooked(said("not yet")),
        Kind::Runner => Played::silent(Ending::Custom(said("an error of the runner"))),

        Kind::BinaryMissing => not_started(NotStarted::BinaryMissing(said("`claude` is not on PATH"))),
        Kind::BinaryNotRunnable => {
            not_started(NotStarted::BinaryNotRunnable(said("`claude` cannot be executed")))
        }
        Kind::WorkingDirMissing => {
            not_started(NotStarted::WorkingDirMissing(said("the working directory does not exist")))
        }

        Kind::CommandFailed => Played::refused(details.said.clone().unwrap_or_default()),
        Kind::Crashed => refused("Bun v1.3 has crashed."),
        Kind::WorktreeBusy => refused("Error creating worktree: it is already checked out elsewhere"),
        Kind::ConfigCorrupted => refused("Claude configuration file at ~/.claude.json is corrupted"),
        Kind::InvalidOption => refused("error: unknown option '--scripted'"),
        Kind::SessionInUse => refused("Error: Session ID is already in use."),
        Kind::SessionNotFound => refused("No conversation found with session ID:"),
        Kind::NotAGitRepository => refused("Error: Can only use --worktree in a git repository"),
        Kind::NoCommit => refused("Error creating worktree: Failed to resolve base branch \"HEAD\""),
        Kind::GitUnusable => refused("`git` is not on PATH"),
        Kind::Environment => refused("Invalid proxy URL in HTTPS_PROXY"),
        Kind::DangerousModeRefused => {
            refused("--dangerously-skip-permissions cannot be used with root/sudo privileges")
        }

        Kind::UsageLimit => usage_limit(said("You've hit your session limit"), details, now),
        Kind::RateLimit => api(Some(429), "rate_limit", said("API Error: Request rejected (429)")),
        Kind::Overloaded => api(Some(529), "server_error", said("API Error: 529 Overloaded")),
        Kind::ServerError => api(Some(500), "server_error", said("API Error: 500 Internal server error")),
        Kind::Connection => api(None, "server_error", said("API Error: Connection dropped (ECONNRESET)")),
        Kind::RequestTimeout => api(None, "server_error", words("Request timed out")),
        Kind::MalformedResponse => {
            api(None, "unknown", words("API Error: API returned an empty or malformed response"))
        }
        Kind::Authentication => api(Some(401), "authentication_failed", said("Invalid API key")),
        Kind::Billing => api(Some(400), "billing_error", said("Credit balance is too low")),
        Kind::BadRequest => api(Some(400), "unknown", said("API Error: 400 the request is not valid")),
        Kind::ModelNotFound => {
            api(Some(404), "model_not_found", said("There's an issue with the selected model"))
        }
        Kind::CreditsRequired => {
            let more = json!({"api_error": "long_context_credits_required"});
            with(Some(429), "rate_limit", "API Error: Usage credits required", more)
        }
        Kind::MaxOutputTokens => {
            let more = json!({"api_error": "max_output_tokens"});
            with(None, "max_output_tokens", "API Error: the output token maximum was exceeded", more)
        }
        Kind::PromptTooLong => {
            let more = json!({"terminal_reason": "prompt_too_long"});
            with(Some(400), "invalid_request", "Prompt is too long", more)
        }
        Kind::RequestTooLarge => {
            let more = json!({"terminal_reason": "image_error"});
            with(Some(413), "invalid_request", "Request too large (max 32MB).", more)
        }
        Kind::Refused => {
            let more = json!({"stop_reason": "refusal"});
            with(None, "invalid_request", "API Error: the model refuses", more)
        }

        Kind::MaxTurns => stopped("error_max_turns", "max_turns", said("Reached maximum number of turns")),
        Kind::MaxBudget => {
            stopped("error_max_budget_usd", "budget_exhausted", said("Reached maximum budget"))
        }
        Kind::OutputMismatch => {
            let text = said("Failed to provide valid structured output after 5 attempts");
            stopped("error_max_structured_output_retries", "structured_output_retry_exhausted", text)
        }
        Kind::ResultError => stopped("error_during_execution", "error", said("something went wrong")),
        Kind::Interrupted => {
            let mut played =
                stopped("error_during_execution", "aborted_streaming", said("the run was interrupted"));
            played.ending = Ending::Exited(0);
            played
        }
        Kind::EmptyAnswer => Played::finished(None, json!({"result": ""})),
        Kind::NoTurn => {
            let result = json!({"result": said("/help isn't available here."), "num_turns": 0});
            Played::finished(None, result)
        }
        Kind::WorktreeGone => {
            let mut played = Played::finished(None, json!({"result": "Done."}));
            played.stderr = words("continuing in the current directory without worktree isolation");
            played
        }
        // `can_play` keeps these out; a kind that is added later fails its test here.
        other => Played::refused(format!("`{}` cannot be scripted", other.name())),
    }
}

/// The API refused, or could not be reached: the assistant says so, then the result does.
fn api_error(status: Option<u16>, error: &str, text: &str, more: Value) -> Played {
    let mut played = Played::begun(Ending::Exited(1));
    let message = json!({"role": "assistant", "content": [{"type": "text", "text": text}]});
    let mut said = json!({
        "type": "assistant", "message": message, "session_id": "", "error": error,
        "is_api_error_message": true, "api_error_status": status,
    });
    let mut result = json!({
        "is_error": true, "terminal_reason": "api_error", "api_error_status": status, "result": text,
        "stop_reason": "stop_sequence",
    });
    overlay(&mut said, more.clone());
    overlay(&mut result, more);
    played.events.push(said);
    played.with_result(result)
}

fn usage_limit(text: String, details: &Details, now: Timestamp) -> Played {
    let until = details.resets_at.unwrap_or_else(|| later(now, LIMITED_FOR)).as_second();
    let info = json!({"status": "rejected", "resetsAt": until, "rateLimitType": "five_hour"});
    let more = json!({"api_error": "usage_limit_reached", "api_error_params": {"rate_limit_info": info}});
    let mut played = api_error(Some(429), "rate_limit", &text, more);
    played.events.insert(1, json!({"type": "rate_limit_event", "rate_limit_info": info, "session_id": ""}));
    played
}

/// The CLI itself ended the run, and says why.
fn stopped(subtype: &str, reason: &str, text: String) -> Played {
    let result = json!({"subtype": subtype, "is_error": true, "terminal_reason": reason, "errors": [text]});
    Played::finished(None, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::Request;
    use crate::options::{ArgMap, Options};
    use crate::outcome::judge;
    use crate::testing::fail;

    fn request() -> Request {
        Request::new(Options::merge([&ArgMap::new().prompt("x")]).expect("valid"))
    }

    /// Every kind there is, so that a new one cannot be forgotten.
    #[test]
    fn each_failure_is_judged_as_what_it_was_asked_to_be() {
        for kind in Kind::ALL.iter().copied().filter(|kind| can_play(*kind)) {
            for answer in [fail(kind), fail(kind).saying("as it says here").cost(0.5).turns(3)] {
                let run = judge(
                    answer.played(&request(), Timestamp::UNIX_EPOCH).report(&request()),
                    &Options::default(),
                );
                assert_eq!(run.outcome_name(), kind.name(), "{run:?}");
            }
        }
    }

    #[test]
    fn the_words_of_the_test_are_in_the_message() {
        let without_words = [
            Kind::Timeout,
            Kind::IdleTimeout,
            Kind::ToolTimeout,
            Kind::McpUnavailable,
            Kind::Cancelled,
            Kind::Killed,
            Kind::Interrupted,
            Kind::EmptyAnswer,
        ];
        for kind in Kind::ALL.iter().copied().filter(|kind| can_play(*kind) && !without_words.contains(kind))
        {
            let played = fail(kind).saying("as it says here").played(&request(), Timestamp::UNIX_EPOCH);
            let run = judge(played.report(&request()), &Options::default());
            let message = &run.failure().expect("it failed").message;
            assert!(message.contains("as it says here"), "{}: {message}", kind.name());
        }
    }

    #[test]
    fn a_usage_limit_is_lifted_when_the_test_says_so() {
        let moment = |text: &str| text.parse::<Timestamp>().expect("a moment");
        let now = moment("2026-06-01T00:00:00Z");
        let resets_at = |answer: crate::testing::Answer| {
            let run = judge(answer.played(&request(), now).report(&request()), &Options::default());
            run.resets_at().expect("the CLI said so")
        };
        assert_eq!(resets_at(fail(Kind::UsageLimit)), moment("2026-06-01T01:00:00Z"));
        let noon = moment("2026-06-01T12:00:00Z");
        assert_eq!(resets_at(fail(Kind::UsageLimit).resets_at(noon)), noon);
    }

    #[test]
    #[should_panic(expected = "no run of claude ends with `lost`")]
    fn what_the_queue_itself_says_is_not_scripted() {
        let _ = fail(Kind::Lost);
    }
}
