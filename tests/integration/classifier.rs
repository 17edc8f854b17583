//! The classifier over what the real CLI printed: one row per recorded scenario.
//!
//! The transcripts in `tests/transcripts` are recordings (`record_transcripts` makes them anew). Each
//! is judged as the runner would, and classified. A scenario that is recorded but not in the table
//! fails the test. A row is for both versions of the CLI, unless the oldest has one of its own (`2.1.309/name`).

use claude_jobs::classify;
use claude_jobs::claude::NEWEST_TESTED;
use claude_jobs::options::Options;
use claude_jobs::outcome::{Ending, FailureKind, Report, Run, StopReason, judge};
use claude_jobs_tests::transcript::Transcript;
use serde_json::Value;

/// Scenario, outcome, verdict, cost in US dollars of the stand-in.
const TABLE: &[(&str, &str, &str, Option<f64>)] = &[
    ("background_bash", "success", "complete", Some(0.00132)),
    ("bad_budget", "invalid_option", "cancel", Some(0.0)),
    ("bad_gateway", "server_error", "retry", Some(0.0)),
    ("bad_max_turns", "invalid_option", "cancel", Some(0.0)),
    ("bad_permission_mode", "invalid_option", "cancel", Some(0.0)),
    ("bad_proxy", "environment", "cancel", Some(0.0)),
    ("bad_session_id", "invalid_option", "cancel", Some(0.0)),
    ("bypass_as_root", "dangerous_mode_refused", "cancel", Some(0.0)),
    ("bypass_as_root_with_result", "dangerous_mode_refused", "cancel", Some(0.0)),
    ("conflict", "server_error", "retry", Some(0.0)),
    ("connection_dropped", "connection", "retry", Some(0.0)),
    ("connection_refused", "connection", "retry", Some(0.0)),
    // Gone the next time; newer versions leave the file as it is.
    ("2.1.309/corrupt_claude_json", "config_corrupted", "retry", Some(0.0)),
    ("corrupt_claude_json", "environment", "cancel", Some(0.0)),
    ("credit_too_low", "billing", "cancel", Some(0.0)),
    ("empty_completion", "empty_answer", "retry", Some(0.00088)),
    ("empty_response", "malformed_response", "retry", Some(0.0)),
    ("fallback_model", "success", "complete", Some(0.00022)),
    ("forbidden", "authentication", "cancel", Some(0.0)),
    ("html_response", "malformed_response", "retry", Some(0.0)),
    ("invalid_key", "authentication", "cancel", Some(0.0)),
    ("invalid_request", "bad_request", "cancel", Some(0.0)),
    ("long_context_credits", "credits_required", "cancel", Some(0.0)),
    ("malformed_stream", "malformed_response", "retry", Some(0.0)),
    ("max_budget", "max_budget", "cancel", Some(2.004)),
    ("max_budget_on_last_answer", "max_budget", "cancel", Some(2.004)),
    ("max_turns", "max_turns", "cancel", Some(0.00088)),
    ("mcp_config_invalid", "invalid_option", "cancel", Some(0.0)),
    ("mcp_config_missing", "invalid_option", "cancel", Some(0.0)),
    ("mcp_server_missing", "success", "complete", Some(0.00044)),
    ("no_conversation", "session_not_found", "cancel", Some(0.0)),
    ("no_response", "request_timeout", "retry", Some(0.0)),
    ("not_logged_in", "authentication", "cancel", Some(0.0)),
    ("not_logged_in_bare", "authentication", "cancel", Some(0.0)),
    ("oauth_expired", "authentication", "cancel", Some(0.0)),
    ("oauth_org_not_allowed", "authentication", "cancel", Some(0.0)),
    ("oauth_revoked", "authentication", "cancel", Some(0.0)),
    ("org_disabled", "authentication", "cancel", Some(0.0)),
    ("output_cut_short", "max_output_tokens", "cancel", Some(0.00176)),
    ("overloaded", "overloaded", "retry", Some(0.0)),
    ("2.1.309/overloaded_event", "overloaded", "retry", Some(6e-5)),
    ("overloaded_event", "overloaded", "retry", Some(0.0)),
    ("overloaded_repeatedly", "overloaded", "retry", Some(0.0)),
    ("prompt_blank", "invalid_option", "cancel", Some(0.0)),
    ("prompt_empty", "invalid_option", "cancel", Some(0.0)),
    ("prompt_hook_blocked", "no_turn", "cancel", Some(0.0)),
    ("prompt_over_10_mib", "invalid_option", "cancel", Some(0.0)),
    ("prompt_too_long", "prompt_too_long", "cancel", Some(0.0)),
    ("prompt_too_long_local", "prompt_too_long", "cancel", Some(0.0)),
    ("rate_limit", "rate_limit", "retry", Some(0.0)),
    ("rate_limit_oauth", "rate_limit", "retry", Some(0.0)),
    ("rate_limit_retry_after", "rate_limit", "retry", Some(0.0)),
    ("refusal", "refused", "cancel", Some(0.00088)),
    ("request_timeout", "server_error", "retry", Some(0.0)),
    ("request_too_large", "request_too_large", "cancel", Some(0.0)),
    ("resumed", "success", "complete", Some(0.00044)),
    ("schema_not_json", "invalid_option", "cancel", Some(0.0)),
    ("schema_not_object", "invalid_option", "cancel", Some(0.0)),
    ("schema_not_schema", "invalid_option", "cancel", Some(0.0)),
    ("server_error", "server_error", "retry", Some(0.0)),
    ("session_id_with_resume", "invalid_option", "cancel", Some(0.0)),
    ("session_in_use", "session_in_use", "cancel", Some(0.0)),
    ("settings_missing", "invalid_option", "cancel", Some(0.0)),
    ("sigint_in_tool", "interrupted", "retry", Some(0.00044)),
    ("sigint_waiting", "interrupted", "retry", None),
    ("sigkill_waiting", "killed", "retry", None),
    ("sigterm_in_tool", "killed", "retry", None),
    ("slash_after_newline", "success", "complete", Some(0.00044)),
    ("slash_builtin", "no_turn", "cancel", Some(0.0)),
    ("structured_output", "success", "complete", Some(0.00044)),
    ("structured_output_missing", "output_mismatch", "retry", Some(0.00088)),
    ("structured_output_retries", "output_mismatch", "retry", Some(0.0022)),
    ("structured_output_second_try", "success", "complete", Some(0.00088)),
    ("success", "success", "complete", Some(0.00044)),
    ("success_after_retry", "success", "complete", Some(0.00044)),
    ("success_oauth", "success", "complete", Some(0.00022)),
    ("success_partial_messages", "success", "complete", Some(0.00044)),
    ("system_prompt_file_missing", "invalid_option", "cancel", Some(0.0)),
    ("tmpdir_unusable", "environment", "cancel", Some(0.0)),
    ("tool_denied", "success", "complete", Some(0.00088)),
    ("tool_failed", "success", "complete", Some(0.00088)),
    ("tool_use", "success", "complete", Some(0.00088)),
    ("unavailable", "server_error", "retry", Some(0.0)),
    ("unknown_agent", "invalid_option", "cancel", Some(0.0)),
    ("unknown_flag", "invalid_option", "cancel", Some(0.0)),
    ("unknown_model", "model_not_found", "cancel", Some(0.0)),
    ("usage_limit", "usage_limit", "snooze", Some(0.0)),
    ("usage_limit_old_text", "usage_limit", "snooze", Some(0.0)),
    ("usage_limit_opus", "usage_limit", "snooze", Some(0.0)),
    ("usage_limit_weekly", "usage_limit", "snooze", Some(0.0)),
    ("worktree_bad_name", "invalid_option", "cancel", Some(0.0)),
    ("worktree_outside_git", "not_a_git_repository", "cancel", Some(0.0)),
    ("worktree_without_commit", "no_commit", "cancel", Some(0.0)),
];

/// What the runner would have made of the recording.
fn judged(transcript: &Transcript) -> Run {
    let exit = transcript.entry.exit;
    let mut report = Report::from_events(&transcript.events(), exit.unwrap_or(0));
    if exit.is_none() {
        report.ending = Ending::Signalled(None);
    }
    report.stderr.clone_from(&transcript.stderr);
    let arguments = &transcript.entry.arguments;
    let mut options = Options::default();
    options.json_schema = arguments.iter().any(|flag| flag == "--json-schema").then(|| "{}".to_owned());
    options.resume = arguments.iter().any(|flag| flag == "--resume").then(|| "a session".to_owned());
    judge(report, &options)
}

#[test]
fn every_recorded_scenario_has_its_outcome_verdict_and_cost() {
    let mut wrong = Vec::new();
    let mut rows: Vec<_> = TABLE.iter().map(|(name, ..)| *name).collect();
    for transcript in Transcript::all() {
        let label = transcript.label();
        let row = |name: &str| TABLE.iter().find(|row| row.0 == name);
        let (name, outcome, verdict, cost) = row(&label)
            .or_else(|| row(&transcript.name))
            .unwrap_or_else(|| panic!("`{label}` is not in the table"));
        let run = judged(&transcript);
        let got = (run.outcome_name(), classify::default(&run).name(), run.cost_usd.map(rounded));
        if got != (*outcome, *verdict, cost.map(rounded)) {
            wrong.push(format!("{label}: {got:?}, not {:?}", (outcome, verdict, cost)));
        }
        rows.retain(|other| other != name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows.is_empty(), "in the table, but not recorded: {rows:?}");
}

/// In millionths of a dollar, so that sums of floats compare.
fn rounded(cost: f64) -> i64 {
    (cost * 1e6).round() as i64
}

#[test]
fn a_usage_limit_wakes_when_it_is_lifted() {
    let names = ["usage_limit", "usage_limit_opus", "usage_limit_weekly"];
    for transcript in Transcript::all().into_iter().filter(|it| names.contains(&&*it.name)) {
        let (name, run) = (transcript.label(), judged(&transcript));
        let resets_at = run.failure().and_then(|failure| failure.resets_at).expect("a reset time");
        assert_eq!(resets_at.as_second(), 4_102_444_800, "{name}: 2100-01-01");
        let expected = claude_jobs::Verdict::snooze_until(resets_at, "");
        match (classify::default(&run), expected) {
            (
                claude_jobs::Verdict::Snooze { wake, .. },
                claude_jobs::Verdict::Snooze { wake: expected, .. },
            ) => assert_eq!(wake, expected),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_result_is_read_in_full() {
    let judged = |name| judged(&Transcript::load(name));
    let run = judged("structured_output");
    assert!(run.structured().is_some_and(Value::is_object));
    let run = judged("tool_denied");
    assert_eq!(run.denials, ["Write"]);
    let run = judged("tool_use");
    assert_eq!(run.cli_version.as_deref(), Some(NEWEST_TESTED));
    assert!(run.session_id.is_some() && run.model.is_some() && run.turns == Some(2));
    let tokens = run.tokens.expect("tokens");
    assert!(tokens.input > 0 && tokens.output > 0);
}

/// The kinds that the documentation promises to cancel are cancelled, and so on: the table of
/// `classify` against its code.
#[test]
fn the_documented_table_is_the_code() {
    let documentation = include_str!("../../claude-jobs/src/classify.rs");
    for kind in FailureKind::ALL {
        let row = documentation
            .lines()
            .filter(|line| line.starts_with("//! |"))
            .find(|line| {
                line.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{}`", kind.name())))
            })
            .unwrap_or_else(|| panic!("`{}` is in no row of the table", kind.name()));
        if *kind == FailureKind::Shutdown {
            continue;
        }
        let promised = row.split('|').nth(2).expect("a verdict").split_whitespace().next().expect("a word");
        let mut failure = claude_jobs::Failure::new(*kind, "x");
        failure.resets_at = (*kind == FailureKind::UsageLimit).then(jiff::Timestamp::now);
        let mut run = judged(&Transcript::load("success"));
        run.outcome = claude_jobs::Outcome::Failure(failure);
        assert_eq!(classify::default(&run).name(), promised, "{}", kind.name());
    }
}

/// Background work: claude answers, a task ends, claude goes on and answers again. A result counts as long as nothing
/// was done after it; when the process is ended by us, only if nothing is under way either.
#[test]
fn a_result_counts_until_work_goes_on() {
    let events = Transcript::load("background_bash").events();
    let place = |kind: &str| events.iter().position(|event| event["type"] == kind).expect(kind);
    let first = place("result") + 1;
    let idle = || Ending::Stopped(StopReason::IdleTimeout);
    let shutdown = || Ending::Stopped(StopReason::Shutdown);
    let cases = [
        (first, Ending::Exited(0), "success", Some(0.00088)),
        // The task is still under way.
        (first, idle(), "idle_timeout", Some(0.00088)),
        (first, shutdown(), "shutdown", Some(0.00088)),
        // Claude has taken note of its end, and said more.
        (events.len() - 1, Ending::Exited(0), "interrupted", None),
        (events.len() - 1, Ending::Signalled(Some(9)), "killed", None),
        (events.len() - 1, idle(), "idle_timeout", None),
        // All is said.
        (events.len(), idle(), "success", Some(0.00132)),
        (events.len(), Ending::Stopped(StopReason::Timeout), "success", Some(0.00132)),
        (events.len(), shutdown(), "success", Some(0.00132)),
        (events.len(), Ending::Stopped(StopReason::Cancel), "cancelled", Some(0.00132)),
    ];
    for (count, ending, outcome, cost) in cases {
        let mut report = Report::from_events(&events[..count], 0);
        report.ending = ending.clone();
        let run = judge(report, &Options::default());
        let got = (run.outcome_name(), run.cost_usd.map(rounded));
        assert_eq!(got, (outcome, cost.map(rounded)), "{count} of {} events, {ending:?}", events.len());
    }
}
