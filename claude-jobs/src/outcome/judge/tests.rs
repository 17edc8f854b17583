//! What the CLI says, and what it means.

use serde_json::json;

use super::*;

/// A run that the API refused in these words.
fn refused(status: Option<u16>, error: &str, words: &str, more: Value) -> Run {
    let mut said = json!({"type": "assistant", "error": error, "is_api_error_message": true});
    let mut result = json!({"type": "result", "subtype": "success", "is_error": true, "num_turns": 1,
        "terminal_reason": "api_error", "api_error_status": status, "result": words});
    for (field, value) in more.as_object().into_iter().flatten() {
        said[field] = value.clone();
        result[field] = value.clone();
    }
    let mut report = Report::from_events([&said, &result], 1);
    report.ended_at = "2026-11-30T12:00:00Z".parse().ok();
    judge(report, &Options::default())
}

#[test]
fn a_limit_of_the_account_is_one_however_it_is_told() {
    let reached = json!({"api_error": "usage_limit_reached"});
    for (words, more, reset) in [
        ("You've hit your session limit", reached.clone(), None),
        ("You've hit your 5-hour limit", json!({}), None),
        ("You've hit your monthly spend limit.", json!({}), None),
        (
            "You've hit your weekly limit · resets Dec 3, 7am (Europe/Zurich)",
            json!({}),
            Some("2026-12-03T06:00:00Z"),
        ),
        ("5-hour limit reached ∙ resets 10pm", json!({}), Some("2026-11-30T22:00:00Z")),
        (
            "API Error: Request rejected (429) · Claude AI usage limit reached|1795400000",
            json!({}),
            Some("2026-11-23T02:13:20Z"),
        ),
        (
            "limit",
            json!({"api_error": "usage_limit_reached", "api_error_params": {"rate_limit_info": {"resetsAt": 1_795_400_000_000_i64}}}),
            Some("2026-11-23T02:13:20Z"),
        ),
        (
            "limit",
            json!({"api_error": "usage_limit_reached", "api_error_params": {"rate_limit_info": {"resetsAt": null}}}),
            None,
        ),
    ] {
        let run = refused(Some(429), "rate_limit", words, more);
        let failure = run.failure().expect("a failure");
        assert_eq!(failure.kind, FailureKind::UsageLimit, "{words}");
        assert_eq!(failure.resets_at.map(|reset| reset.to_string()).as_deref(), reset, "{words}");
    }
    for words in [
        "API Error: Request rejected (429) · This request would exceed your account's rate limit",
        "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited",
    ] {
        let run = refused(Some(429), "rate_limit", words, json!({}));
        assert_eq!(run.outcome_name(), "rate_limit", "{words}");
    }
}

#[test]
fn what_the_cli_says_without_a_status_has_its_kind() {
    for (error, words, more, expected) in [
        ("unknown", "API Error: Connection error.", json!({}), "connection"),
        ("unknown", "Connection error.", json!({}), "connection"),
        (
            "server_error",
            "API Error: Connection dropped (ECONNRESET)",
            json!({"api_error": "connection_failed"}),
            "connection",
        ),
        (
            "unknown",
            "API Error: The model has reached its context window limit.",
            json!({}),
            "max_output_tokens",
        ),
        (
            "max_output_tokens",
            "API Error: The model has reached its context window limit.",
            json!({"api_error": "max_output_tokens"}),
            "max_output_tokens",
        ),
        ("unknown", "too long", json!({"api_error": "message_over_context_limit"}), "prompt_too_long"),
        (
            "unknown",
            "API Error: The response could not be read (X). Try again.",
            json!({}),
            "malformed_response",
        ),
        ("unknown", "Credit balance is too low", json!({}), "billing"),
        (
            "unknown",
            "API Error: Usage credits ran out before the response was finished.",
            json!({}),
            "credits_required",
        ),
        ("unknown", "something else", json!({}), "result_error"),
    ] {
        assert_eq!(refused(None, error, words, more).outcome_name(), expected, "{words}");
    }
}

#[test]
fn an_empty_answer_is_a_failure_only_where_nothing_was_done() {
    let result = json!({"type": "result", "subtype": "success", "num_turns": 2, "result": ""});
    let said = json!({"type": "assistant", "message": {"content": [
        {"type": "text", "text": "Doing it now."}, {"type": "tool_use", "id": "t", "name": "Bash"}]}});
    let run = judge(Report::from_events([&said, &result], 0), &Options::default());
    assert_eq!((run.outcome_name(), run.text(), run.worked), ("success", "", true));
    let run = judge(Report::from_events([&result], 0), &Options::default());
    assert_eq!((run.outcome_name(), run.worked), ("empty_answer", false));
}

#[test]
fn a_retry_of_the_api_that_is_of_no_use_is_known() {
    for (event, expected) in [
        (json!({"error_status": 401, "error": "authentication_failed"}), Some(FailureKind::Authentication)),
        (json!({"error_status": 403}), Some(FailureKind::Authentication)),
        (json!({"error": "oauth_org_not_allowed"}), Some(FailureKind::Authentication)),
        (json!({"error_status": 400, "error": "billing_error"}), Some(FailureKind::Billing)),
        (json!({"error": "credits_required"}), Some(FailureKind::CreditsRequired)),
        (json!({"error_status": 500, "error": "server_error"}), None),
        (json!({"error_status": 429, "error": "rate_limit"}), None),
    ] {
        assert_eq!(refusal(&event), expected, "{event}");
    }
}

/// What stands on standard error of a run that has worked is of its tools, hooks and servers.
#[test]
fn texts_of_a_start_mean_nothing_after_work() {
    let init = json!({"type": "system", "subtype": "init", "session_id": "s"});
    let said =
        json!({"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "Hm."}]}});
    let failed =
        json!({"type": "result", "subtype": "success", "is_error": true, "result": "?", "num_turns": 1});
    for text in [
        "ENOSPC",
        "EMFILE",
        "ENOMEM",
        "x, mkdir '/y'",
        "port 3000 is already in use.",
        "gh: Not logged in",
        "Error: --x",
    ] {
        for events in [vec![&init, &said], vec![&init, &said, &failed]] {
            let mut report = Report::from_events(events.iter().copied(), 1);
            report.stderr = text.to_owned();
            let run = judge(report, &Options::default());
            let kind = run.failure().expect("it failed").kind;
            assert!(
                matches!(kind, FailureKind::CommandFailed | FailureKind::ResultError),
                "{text}: {kind:?}"
            );
        }
        let mut report = Report::from_events([&init], 1);
        report.stderr = text.to_owned();
        let kind = judge(report, &Options::default()).failure().expect("it failed").kind;
        assert!(!matches!(kind, FailureKind::CommandFailed), "{text}: it has not worked");
    }
}

#[test]
fn a_result_stays_whatever_is_printed_after_it_before_an_end_in_order() {
    let result = json!({"type": "result", "subtype": "success", "is_error": false, "result": "done", "num_turns": 1,
        "model_usage_since_last_result": {"m": {"costUSD": 0.5, "inputTokens": u64::MAX, "outputTokens": 1},
            "n": {"costUSD": 0.25, "inputTokens": 7}}, "session_id": ""});
    let text = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "By the way"}]}});
    let tool = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t", "name": "Bash"}]}});
    let init = json!({"type": "system", "subtype": "init", "session_id": "s"});
    for (after, code, is_kept) in [
        (vec![&text], 0, true),
        (vec![&init], 0, true),
        (vec![&init, &text], 0, true),
        (vec![&tool], 0, false),
        (vec![&text], 1, false),
    ] {
        let run =
            judge(Report::from_events([&result].into_iter().chain(after.clone()), code), &Options::default());
        let seen = (run.outcome_name() == "success", run.cost_usd);
        assert_eq!(seen, (is_kept, Some(0.75).filter(|_| is_kept)), "{after:?} {code}");
        assert_eq!(run.text() == "done", is_kept, "{after:?}");
        assert_eq!(run.tokens.map(|tokens| tokens.input), Some(u64::MAX));
    }
}

/// No request can have been made before the start event.
#[test]
fn what_had_not_begun_has_cost_nothing() {
    let of = |ending: Ending| {
        let mut report = Report::new(Some("s".to_owned()));
        // As the runner has it who has seen no event.
        (report.ending, report.cost_usd) = (ending, Some(0.0));
        judge(report, &Options::default()).cost_usd
    };
    assert_eq!(of(Ending::Stopped(StopReason::Shutdown)), Some(0.0));
    assert_eq!(of(Ending::Signalled(Some(9))), Some(0.0));
    assert_eq!(of(Ending::Exited(1)), Some(0.0));
    assert_eq!(of(Ending::Lost), None, "nobody has seen it");
    let result =
        json!({"type": "result", "subtype": "success", "result": "x", "num_turns": 1, "total_cost_usd": 0.5});
    let run = judge(Report::from_events([&result], 1), &Options::default());
    assert_eq!(run.cost_usd, Some(0.5), "the start event could not be read");
    let said =
        json!({"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "Hm."}]}});
    assert_eq!(judge(Report::from_events([&said], 1), &Options::default()).cost_usd, None);
}
