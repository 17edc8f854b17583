//! The default classifier: [`Outcome`] to [`Verdict`], one match.
//!
//! A worker may name its own with `classifier = path`, a `fn(&Run) -> Verdict`; it can fall back to
//! [`default`].
//!
//! | failure | verdict | why |
//! |---|---|---|
//! | (success) | complete | the handler may decide otherwise |
//! | `timeout` `idle_timeout` `tool_timeout` | snooze 30 s | transient; bounded by `max_snoozes`, then a counted retry |
//! | `usage_limit` | snooze until the reset, or for an hour where none is known | outside the queue; in it the job waits until the account may be tried again, which uses no attempt and no snooze |
//! | `rate_limit` | retry after at least 60 s | the CLI never prints the server's own wait |
//! | `overloaded` `server_error` `connection` `request_timeout` `malformed_response` | retry | transient |
//! | `interrupted` `killed` `crashed` `io` `command_failed` `lost` | retry | cause unknown, probably transient |
//! | `worktree_busy` `config_corrupted` | retry | gone the next time |
//! | `result_error` `output_mismatch` `empty_answer` | retry | capped by `max_attempts` |
//! | `max_turns` `max_budget` | cancel | a rail stop: going on is a deliberate act; session and cost are kept |
//! | `stop_hook` `mcp_unavailable` `no_commit` | cancel | the same project and machine fail the same way |
//! | `authentication` `billing` `credits_required` `dangerous_mode_refused` | cancel | the same environment fails the same way; claims for the account stop |
//! | `git_unusable` `binary_missing` `binary_not_runnable` `unsupported_version` `environment` | cancel | so for an executable that the job names; where it is the node's fault, the runtime gives the job back instead |
//! | `invalid_option` `invalid_args` `bad_request` `prompt_too_long` `request_too_large` `model_not_found` `max_output_tokens` `refused` `no_turn` `not_a_git_repository` `working_dir_missing` `worktree_gone` `session_in_use` `session_not_found` | cancel | the same job fails the same way |
//! | `runner` | cancel | an error that nobody classified is never re-run blindly |
//! | `cancelled` | cancel | somebody said so |
//! | `shutdown` | (the executor gives the job back) | the node's affair: no handler is asked |

use std::time::Duration;

use crate::outcome::{Failure, FailureKind, Outcome, Run};
use crate::verdict::Verdict;

/// How long a timed-out job is snoozed.
pub const TIMEOUT_SNOOZE: Duration = Duration::from_secs(30);

/// How long a job is snoozed for a usage limit of which nobody knows when it ends.
pub const USAGE_LIMIT_SNOOZE: Duration = Duration::from_secs(3_600);

/// The least wait after a rate limit.
pub const RATE_LIMIT_WAIT: Duration = Duration::from_secs(60);

/// A function that proposes a verdict for a run.
pub type Classifier = fn(&Run) -> Verdict;

/// The default verdict for a run.
pub fn default(run: &Run) -> Verdict {
    match &run.outcome {
        Outcome::Success => Verdict::Complete,
        Outcome::Failure(failure) => of_failure(failure),
    }
}

fn of_failure(failure: &Failure) -> Verdict {
    use FailureKind as Kind;
    let reason = format!("{}: {}", failure.kind.name(), failure.message);
    match failure.kind {
        Kind::Timeout | Kind::IdleTimeout | Kind::ToolTimeout => Verdict::snooze(TIMEOUT_SNOOZE, reason),
        Kind::UsageLimit => match failure.resets_at {
            Some(reset) => Verdict::snooze_until(reset, reason),
            None => Verdict::snooze(USAGE_LIMIT_SNOOZE, reason),
        },
        Kind::RateLimit => Verdict::retry_after(RATE_LIMIT_WAIT, reason),
        Kind::Overloaded
        | Kind::ServerError
        | Kind::Connection
        | Kind::RequestTimeout
        | Kind::MalformedResponse
        | Kind::Interrupted
        | Kind::Killed
        | Kind::Crashed
        | Kind::Io
        | Kind::CommandFailed
        | Kind::Lost
        | Kind::WorktreeBusy
        | Kind::ConfigCorrupted
        | Kind::ResultError
        | Kind::OutputMismatch
        | Kind::EmptyAnswer
        | Kind::Shutdown => Verdict::retry(reason),
        Kind::MaxTurns
        | Kind::MaxBudget
        | Kind::Authentication
        | Kind::Billing
        | Kind::CreditsRequired
        | Kind::DangerousModeRefused
        | Kind::GitUnusable
        | Kind::NoCommit
        | Kind::StopHook
        | Kind::McpUnavailable
        | Kind::BinaryMissing
        | Kind::BinaryNotRunnable
        | Kind::UnsupportedVersion
        | Kind::Environment
        | Kind::InvalidOption
        | Kind::InvalidArgs
        | Kind::BadRequest
        | Kind::PromptTooLong
        | Kind::RequestTooLarge
        | Kind::ModelNotFound
        | Kind::MaxOutputTokens
        | Kind::Refused
        | Kind::NoTurn
        | Kind::NotAGitRepository
        | Kind::WorkingDirMissing
        | Kind::WorktreeGone
        | Kind::SessionInUse
        | Kind::SessionNotFound
        | Kind::Runner
        | Kind::Cancelled => Verdict::cancel(reason),
    }
}
