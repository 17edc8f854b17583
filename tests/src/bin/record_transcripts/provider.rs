//! Catalogue, table 1b: what the API, or the way to it, does wrong. Exit code 1, `subtype: success`.

use claude_jobs_tests::api::Reply;

use crate::scenario::{Credential, Scenario};

/// Far away, so that the recorded texts do not depend on the day: 2100-01-01T00:00:00Z.
const RESET: u64 = 4_102_444_800;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [credentials(), rate_limits(), server(), requests(), connections()].concat()
}

fn answered(name: &'static str, about: &'static str, reply: Reply) -> Scenario {
    Scenario { replies: vec![reply], ..Scenario::new(name, about) }
}

fn with_token(scenario: Scenario) -> Scenario {
    Scenario { credential: Credential::OauthToken, ..scenario }
}

fn credentials() -> Vec<Scenario> {
    let denied = |status, kind, message| Reply::error(status, kind, message);
    vec![
        Scenario { credential: Credential::Nothing, ..Scenario::new("not_logged_in", "no credentials") },
        answered("invalid_key", "401 bad key", Reply::invalid_key()),
        with_token(answered(
            "oauth_expired",
            "401 OAuth expired",
            denied(
                401,
                "authentication_error",
                "OAuth token has expired. Please obtain a new token or refresh your existing token.",
            ),
        )),
        answered("forbidden", "403", denied(403, "permission_error", "Request not allowed")),
        with_token(answered(
            "oauth_org_not_allowed",
            "403 organization",
            denied(
                403,
                "permission_error",
                "OAuth authentication is currently not allowed for this organization.",
            ),
        )),
        with_token(answered(
            "oauth_revoked",
            "403 revoked",
            denied(403, "permission_error", "OAuth token has been revoked."),
        )),
        answered(
            "credit_too_low",
            "credit too low (400)",
            denied(
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            ),
        ),
        answered(
            "org_disabled",
            "organization disabled (400)",
            denied(400, "invalid_request_error", "This organization has been disabled."),
        ),
    ]
}

fn rate_limits() -> Vec<Scenario> {
    let claim = |name: &str| {
        Reply::rate_limit()
            .header("anthropic-ratelimit-unified-status", "rejected")
            .header("anthropic-ratelimit-unified-reset", &RESET.to_string())
            .header("anthropic-ratelimit-unified-representative-claim", name)
    };
    vec![
        answered("rate_limit", "429, API key", Reply::rate_limit()),
        answered(
            "rate_limit_retry_after",
            "429 with retry-after over 60 s",
            Reply::rate_limit().header("retry-after", "61"),
        ),
        with_token(answered("rate_limit_oauth", "429, OAuth, not a limit", Reply::rate_limit())),
        with_token(answered("usage_limit", "429, OAuth usage limit, session", Reply::usage_limit(RESET))),
        with_token(answered("usage_limit_weekly", "429, OAuth usage limit, weekly", claim("seven_day"))),
        with_token(answered("usage_limit_opus", "429, OAuth usage limit, Opus", claim("seven_day_opus"))),
        answered(
            "usage_limit_old_text",
            "429 with the old text, which carries the time after a bar",
            Reply::error(429, "rate_limit_error", "Claude AI usage limit reached|1795400000"),
        ),
        Scenario {
            arguments: &["--model", "sonnet[1m]"],
            ..with_token(answered(
                "long_context_credits",
                "429, OAuth, 1M context needs credits",
                Reply::error(429, "rate_limit_error", "Extra usage is required for long context requests."),
            ))
        },
    ]
}

fn server() -> Vec<Scenario> {
    vec![
        answered("overloaded", "529", Reply::overloaded()),
        Scenario {
            env: &[("CLAUDE_CODE_MAX_RETRIES", "")],
            ..answered("overloaded_repeatedly", "529 with the default retries", Reply::overloaded())
        },
        answered("server_error", "500", Reply::error(500, "api_error", "Internal server error")),
        answered("bad_gateway", "502 html", Reply::html_error(502)),
        answered("unavailable", "503", Reply::error(503, "api_error", "Service unavailable")),
        answered("request_timeout", "408", Reply::error(408, "api_error", "Request timeout")),
        answered("conflict", "409", Reply::error(409, "api_error", "Conflict")),
        answered(
            "overloaded_event",
            "SSE `error` event overloaded_error",
            Reply::error_event(529, "overloaded_error", "Overloaded"),
        ),
    ]
}

fn requests() -> Vec<Scenario> {
    let refused = |message| Reply::error(400, "invalid_request_error", message);
    vec![
        answered("invalid_request", "400 invalid_request", refused("messages: something is wrong with them")),
        answered(
            "prompt_too_long",
            "prompt too long (server)",
            refused("prompt is too long: 1200000 tokens > 1000000 maximum"),
        ),
        Scenario {
            prompt: "word ".repeat(2_000_000),
            ..Scenario::new("prompt_too_long_local", "prompt too long (local)")
        },
        answered(
            "request_too_large",
            "413",
            Reply::error(413, "request_too_large", "Request exceeds the maximum size"),
        ),
        Scenario {
            arguments: &["--model", "claude-no-such-model"],
            ..answered("unknown_model", "404 model", Reply::unknown_model("claude-no-such-model"))
        },
        answered("output_cut_short", "stop_reason max_tokens", Reply::cut_short("Half of a")),
        answered("refusal", "refusal", Reply::refusal()),
    ]
}

fn connections() -> Vec<Scenario> {
    vec![
        Scenario {
            env: &[("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")],
            ..Scenario::new("connection_refused", "connection refused")
        },
        answered("connection_dropped", "dropped mid-stream", Reply::dropped()),
        Scenario {
            env: &[("API_TIMEOUT_MS", "1500")],
            ..answered("no_response", "no response: API_TIMEOUT_MS", Reply::hang())
        },
        answered(
            "malformed_stream",
            "malformed SSE",
            Reply::not_a_stream("event: message_start\ndata: {not json\n\n"),
        ),
        answered("empty_response", "empty 200", Reply::not_a_stream("")),
        answered("html_response", "HTML 200", Reply::not_a_stream("<html>log in</html>")),
    ]
}
