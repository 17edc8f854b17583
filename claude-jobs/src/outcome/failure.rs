//! The ways in which a run fails.

use jiff::Timestamp;
use serde::Serialize;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// Which way.
    pub kind: FailureKind,
    /// What the CLI (or the system) said.
    pub message: String,
    /// The HTTP status of the API's answer, where there was one.
    pub api_status: Option<u16>,
    /// When a usage limit is lifted, where the CLI said so.
    pub resets_at: Option<Timestamp>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), api_status: None, resets_at: None }
    }
}

/// Declares the kinds with their names.
macro_rules! failure_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)*) => {
        /// The ways in which a run fails. The [classifier](crate::classify) has a verdict for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum FailureKind { $($(#[doc = $doc])+ $kind,)* }

        impl FailureKind {
            /// Every kind, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The kind's name in the ledger, in JSON and in reasons.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What the kind means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc),+),)* }
            }
        }
    };
}

failure_kinds! {
    /// The wall-clock `timeout` passed.
    Timeout = "timeout",
    /// The CLI was silent for longer than `idle_timeout`.
    IdleTimeout = "idle_timeout",
    /// The account's usage limit is reached; the CLI said until when.
    UsageLimit = "usage_limit",
    /// The API refused for rate (429) without saying until when.
    RateLimit = "rate_limit",
    /// The API is overloaded (529).
    Overloaded = "overloaded",
    /// The API failed (408, 409, 5xx).
    ServerError = "server_error",
    /// The API could not be reached, or the connection broke.
    Connection = "connection",
    /// The API did not answer in time.
    RequestTimeout = "request_timeout",
    /// The API's answer could not be read; often a proxy.
    MalformedResponse = "malformed_response",
    /// The CLI ended without a result, or says that it was interrupted.
    Interrupted = "interrupted",
    /// The CLI was ended by a signal that we did not send.
    Killed = "killed",
    /// The CLI crashed.
    Crashed = "crashed",
    /// The CLI reported an error that has no kind of its own.
    ResultError = "result_error",
    /// A structured answer was asked for, and none came that satisfies the schema and is of the worker's `output`.
    OutputMismatch = "output_mismatch",
    /// The model answered with nothing.
    EmptyAnswer = "empty_answer",
    /// Another process was making the same worktree.
    WorktreeBusy = "worktree_busy",
    /// The CLI's own configuration file was damaged; it has rebuilt it.
    ConfigCorrupted = "config_corrupted",
    /// The CLI failed and did not say why.
    CommandFailed = "command_failed",
    /// Reading from or writing to the CLI failed.
    Io = "io",
    /// The CLI printed more than the runner accepts.
    OutputLimit = "output_limit",
    /// The CLI ran no turn: a built-in command or a hook swallowed the prompt.
    NoTurn = "no_turn",
    /// Not logged in, or the credential is invalid, expired or not allowed.
    Authentication = "authentication",
    /// The account cannot pay.
    Billing = "billing",
    /// The request needs credits or a plan that the account does not have.
    CreditsRequired = "credits_required",
    /// The API rejected the request (400).
    BadRequest = "bad_request",
    /// The prompt does not fit into the model's context.
    PromptTooLong = "prompt_too_long",
    /// The request is larger than the API takes (413).
    RequestTooLarge = "request_too_large",
    /// There is no such model, or the account may not use it.
    ModelNotFound = "model_not_found",
    /// The answer was cut off at the model's output limit, or the context is full.
    MaxOutputTokens = "max_output_tokens",
    /// The model refused.
    Refused = "refused",
    /// `max_turns` was reached.
    MaxTurns = "max_turns",
    /// `max_budget_usd` was spent.
    MaxBudget = "max_budget",
    /// The CLI does not accept a flag or an option's value.
    InvalidOption = "invalid_option",
    /// The session id is in use; resume it instead.
    SessionInUse = "session_in_use",
    /// The session to resume does not exist on this machine.
    SessionNotFound = "session_not_found",
    /// The worktree of the resumed session is gone; the CLI ran elsewhere.
    WorktreeGone = "worktree_gone",
    /// The CLI refuses `bypass_permissions` here (root without `IS_SANDBOX=1`).
    DangerousModeRefused = "dangerous_mode_refused",
    /// A worktree was asked for outside a git repository.
    NotAGitRepository = "not_a_git_repository",
    /// Git is missing, or the repository has no commit.
    GitUnusable = "git_unusable",
    /// The `claude` executable does not exist.
    BinaryMissing = "binary_missing",
    /// The `claude` executable cannot be run.
    BinaryNotRunnable = "binary_not_runnable",
    /// The CLI's version is not one that the runner can drive.
    UnsupportedVersion = "unsupported_version",
    /// `working_dir` does not exist or is not a directory.
    WorkingDirMissing = "working_dir_missing",
    /// The machine does not give the CLI what it needs: temporary folder, proxy.
    Environment = "environment",
    /// The job's args or input cannot run.
    InvalidArgs = "invalid_args",
    /// A custom runner failed in a way that it did not classify.
    Runner = "runner",
    /// The run was stopped: somebody cancelled the job.
    Cancelled = "cancelled",
    /// The run was stopped: the runtime is shutting down.
    Shutdown = "shutdown",
    /// The node that ran it died, and nobody saw the end.
    Lost = "lost",
}

impl FailureKind {
    /// A limit that the job's own options set: `max_turns` or `max_budget_usd`.
    pub const fn is_rail_stop(self) -> bool {
        matches!(self, Self::MaxTurns | Self::MaxBudget)
    }

    /// The wall-clock or idle timeout.
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::Timeout | Self::IdleTimeout)
    }

    /// Whose fault it is, where it is not the job's.
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::BinaryMissing
            | Self::BinaryNotRunnable
            | Self::UnsupportedVersion
            | Self::GitUnusable
            | Self::Environment => Some(Fault::Node),
            Self::Authentication | Self::Billing | Self::CreditsRequired => Some(Fault::Account),
            _ => None,
        }
    }
}

/// Whose fault a failure is that is not its job's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The machine's: claude cannot start there.
    Node,
    /// The account's: claude starts, and may not work.
    Account,
}
