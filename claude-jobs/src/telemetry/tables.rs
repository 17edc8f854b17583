//! The tables of what is emitted: [`SPANS`], [`EVENTS`], [`METRICS`]. The documentation is made of them.

use tracing::Level;

/// A span that this crate makes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpanRow {
    /// Its name.
    pub name: &'static str,
    /// Its level.
    pub level: Level,
    /// Its fields. Some are there from the beginning, others are recorded later or never.
    pub fields: &'static [&'static str],
}

/// A log event that this crate emits.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventRow {
    /// Its level.
    pub level: Level,
    /// Its message. `{…}` stands for something that differs.
    pub message: &'static str,
    /// Its fields.
    pub fields: &'static [&'static str],
}

/// A metric of the features `metrics` and `prometheus`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: MetricKind,
    /// What it counts or measures.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// What kind a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

macro_rules! spans {
    ($($name:literal $level:ident $when:literal { $($field:literal $meaning:literal)* })*) => {
        /// Every span. Names follow OpenTelemetry's conventions (messaging, generative AI) where they have
        /// one. Fields marked with a star hold contents: see [`show_contents`](super::show_contents).
        $(
            #[doc = concat!("\n# `", $name, "` (", stringify!($level), ")\n\n", $when,
                "\n\n| field | |\n|---|---|" $(, "\n| `", $field, "` | ", $meaning, " |")*)]
        )*
        pub const SPANS: &[SpanRow] =
            &[$(SpanRow { name: $name, level: Level::$level, fields: &[$($field),*] }),*];
    };
}

spans! {
    "job.insert" INFO "Writing jobs; the jobs' runs are its children. One for all jobs of a call." {
        "otel.kind" "`producer`"
        "otel.status_code" "`ERROR` where nothing was written"
        "messaging.system" "`claude_jobs`"
        "messaging.operation.type" "`send`"
        "messaging.batch.message_count" "how many jobs"
        "messaging.destination.name" "the queue, where all jobs go to one"
        "job.id" "the job, where it is one"
        "job.worker" "the worker, where all jobs have one"
        "job.duplicate" "whether it was there already, where it is one job"
    }
    "job.claim" DEBUG "A turn at the database, mostly one round trip: runs are settled, jobs are claimed." {
        "otel.kind" "`consumer`"
        "otel.status_code" "`ERROR` where it failed"
        "messaging.system" "`claude_jobs`"
        "messaging.operation.type" "`receive`"
        "messaging.batch.message_count" "how many jobs were claimed"
        "messaging.destination.name" "the queue"
        "job.node" "the node that claims"
        "job.settled" "how many runs were settled"
    }
    "job.run" INFO "One attempt, from its start to its verdict, the handler included." {
        "otel.kind" "`consumer`"
        "otel.status_code" "`ERROR` where the run failed, else `OK`"
        "messaging.system" "`claude_jobs`"
        "messaging.operation.type" "`process`"
        "messaging.destination.name" "the queue"
        "job.id" "the job"
        "job.worker" "the worker"
        "job.attempt" "which attempt"
        "job.node" "the node that runs it"
        "job.outcome" "`success`, or the failure's kind"
        "job.verdict" "`complete`, `retry`, `resume`, `snooze`, `cancel`, `hold`, `give back` or `handler failed`"
        "cost_usd" "what the attempt cost in US dollars, where that is known"
        "error.type" "the failure's kind, where it failed"
        "job.reason" "*why the job goes there*"
    }
    "claude.run" INFO "One run of claude; an attempt that repairs its answer or starts anew has two." {
        "otel.kind" "`client`"
        "otel.status_code" "`ERROR` where it failed, else `OK`"
        "gen_ai.operation.name" "`invoke_agent`"
        "gen_ai.provider.name" "`anthropic`"
        "gen_ai.agent.name" "the worker"
        "gen_ai.request.model" "the model asked for"
        "gen_ai.response.model" "the model that answered"
        "gen_ai.conversation.id" "the session"
        "gen_ai.usage.input_tokens" "all input tokens, those of the cache included"
        "gen_ai.usage.cache_read.input_tokens" "of these, read from the cache"
        "gen_ai.usage.cache_creation.input_tokens" "of these, written to the cache"
        "gen_ai.usage.output_tokens" "output tokens"
        "claude.version" "the CLI's version"
        "claude.turns" "turns of the agent"
        "claude.ending" "how the process ended: `exit 0`, `signal 9`, …"
        "cost_usd" "what it cost in US dollars, where that is known"
        "error.type" "the failure's kind, where it failed"
        "claude.prompt" "*the prompt*"
        "claude.result" "*the answer's text*"
        "claude.error" "*what the failure says*"
    }
    "job.settle" INFO "From the end of a run until its verdict is durable; a child of `job.run`." {
        "otel.status_code" "`ERROR` where the job had become another run's"
        "messaging.system" "`claude_jobs`"
        "messaging.operation.type" "`settle`"
        "messaging.destination.name" "the queue"
        "job.id" "the job"
        "job.attempt" "which attempt"
        "job.verdict" "as in `job.run`"
        "job.state" "the state that the job goes to"
        "job.superseded" "whether the job had become another run's, so that nothing was written"
    }
}

macro_rules! events {
    ($($level:ident $message:literal [$($field:literal)*])*) => {
        /// Every log event. The field `error` never quotes contents unless they are
        /// [shown](super::show_contents); with those of a star there is no field at all.
        ///
        /// | level | message | fields |
        /// |---|---|---|
        $(#[doc = concat!("| ", stringify!($level), " | ", $message, " |" $(, " `", $field, "`")*, " |")])*
        pub const EVENTS: &[EventRow] =
            &[$(EventRow { level: Level::$level, message: $message, fields: &[$($field),*] }),*];
    };
}

events! {
    ERROR "the listener for notices panicked" []
    ERROR "a part of the runtime broke down: shutting down" ["part" "error"]
    WARN "cannot tell whether jobs are left" ["error"]
    ERROR "no signal handler can be installed; the runtime will not stop by itself" []
    WARN "a parameter of the database's URL is not known, and is ignored" ["parameter"]
    WARN "the database's clock, which counts, is {seconds:+.1} s ahead of this machine's" []
    INFO "asking claude to correct its answer" ["job.id" "job.attempt" "problem"]
    WARN "the stored trace context is none, and is ignored" ["job.id" "problem"]
    WARN "claude runs without an MCP server of its options" ["problem"]
    WARN "lines that claude printed could not be read and were left out" ["lines"]
    DEBUG "the CLI did not read its prompt to the end" ["error"]
    WARN "the output of a run could not be read to its end" ["error"]
    DEBUG "the limit of open files is raised" ["from" "to"]
    WARN "the limit of open files cannot be raised" ["error" "from"]
    DEBUG "the supervisor does not listen" ["error" "word"]
    WARN "ended what the run of a dead node had left behind" ["marker"]
    ERROR "the supervisor of a run does not answer: ending it through its front" []
    ERROR "the supervisor of a run that has lost its front does not answer" []
    ERROR "processes of a run could not be ended" ["left"]
    WARN "runs go without a supervisor: detached processes of tools can outlive them" ["why"]
    WARN "not started: it was claimed under a lease that is over" ["job.id"]
    ERROR "a run broke down" ["job.id" "error"]
    ERROR "cannot reach the jobs, will try again in {wait:?}" ["job.queue" "unsettled" "error"]
    ERROR "cannot settle: left to be rescued" ["job.queue" "unsettled"]
    WARN "found claimed: the answer to its claim was lost" ["job.id"]
    ERROR "cancelled: the database refuses its settlement" ["job.id" "error"]
    ERROR "the database refuses to let this job end, will try again: see which trigger or constraint forbids it" ["job.id" "error"]
    ERROR "cannot insert the jobs that are due, will try again" ["entry" "error"]
    WARN "ticks were missed and are not run" ["entry" "missed" "policy" "due"]
    INFO "tick" ["entry" "due" "outcome" "job.id"]
    WARN "cannot look for jobs of dead nodes, will try again" ["error"]
    WARN "rescued: the node that ran it died" ["job.id" "job.attempt" "job.verdict"]
    ERROR "cannot take this job back from its dead node, will try again: see which trigger or constraint forbids it" ["job.id" "job.attempt" "error"]
    WARN "cannot prune, will try again" ["error"]
    INFO "pruned" ["job.state" "jobs"]
    WARN "cannot look for cancellations, will try again" ["error"]
    ERROR "cannot renew this node's lease, will try again" ["error"]
    WARN "cannot compare the clocks, will try again" ["error"]
    ERROR "this node was declared dead: stopping its runs and starting over" []
    WARN "renewed this node's lease late: claiming again" []
    WARN "cannot watch for changes, will try again" ["error"]
    WARN "cannot read what happens, will try again" ["error"]
    WARN "cannot write the logs of runs, will try again" ["error"]
    WARN "the database refuses events of the logs of runs" ["error" "events"]
    WARN "the ends of the logs of some runs are lost: the database is not there" []
    WARN "superseded: nothing settled" ["job.id" "job.attempt"]
    WARN "the session of the interrupted attempt is not on this host: starting anew" ["job.id" "gen_ai.conversation.id"]
    ERROR "cannot reach the answer of a job, will try again in {wait:?}" ["error"]
    ERROR "an answer cannot be stored" ["job.id" "error"]
    ERROR "a stored answer cannot be read" ["job.id" "job.attempt" "error"]
    ERROR "the database refuses an answer" ["job.id" "error"]
    WARN "cannot note which runs have begun, will try again" ["error"]
    ERROR "the database refuses to note that this run has begun" ["job.id" "error"]
    WARN "cannot count the jobs of the queues, will try again" ["error"]
    WARN "claude cannot run: jobs that name no `binary` of their own wait until it can" ["reason"]
    WARN "fewer jobs run at once than the queues allow: too few files may be open" ["runs" "slots"]
    WARN "nothing is claimed any more" ["reason"]
    INFO "claiming again" []
    WARN "cannot look after the gate, will try again" ["error"]
}

macro_rules! metrics {
    ($($row:ident $kind:ident $name:literal $unit:literal [$($label:literal)*] $meaning:literal)*) => {
        $(pub(crate) const $row: &MetricRow = &MetricRow {
            name: $name,
            kind: MetricKind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            meaning: $meaning,
        };)*

        /// Every metric.
        ///
        /// | name | kind | unit | labels | |
        /// |---|---|---|---|---|
        $(#[doc = concat!("| `", $name, "` | ", stringify!($kind), " | ", $unit, " |"
            $(, " `", $label, "`")*, " | ", $meaning, " |")])*
        pub const METRICS: &[MetricRow] = &[$(*$row),*];
    };
}

metrics! {
    INSERTED Counter "claude_jobs_inserted_total" "jobs" ["queue" "worker"]
        "Jobs that were written, those of schedules and follow-on jobs included; of duplicates only those among follow-on jobs."
    DUPLICATES Counter "claude_jobs_duplicates_total" "jobs" ["queue" "worker"]
        "Jobs that were not written because a unique one was there."
    CLAIMED Counter "claude_jobs_claimed_total" "jobs" ["queue" "worker"] "Jobs that this node has claimed."
    STARTED Counter "claude_jobs_started_total" "attempts" ["queue" "worker"] "Attempts that were started."
    SETTLED Counter "claude_jobs_settled_total" "attempts" ["queue" "worker" "verdict" "outcome"]
        "Attempts that were settled; the outcome is `success` or the kind of the failure."
    SUPERSEDED Counter "claude_jobs_superseded_total" "attempts" ["queue" "worker"]
        "Attempts of which nothing was written: the job had become another run's."
    SNOOZED Counter "claude_jobs_snoozed_total" "attempts" ["queue" "worker"] "Snoozes that were used."
    RESCUED Counter "claude_jobs_rescued_total" "attempts" ["queue" "worker" "verdict"]
        "Attempts of dead nodes that this node has ended."
    RUNNING Gauge "claude_jobs_running" "attempts" ["queue" "worker"] "Attempts that run on this node now."
    RUN_DURATION Histogram "claude_jobs_run_duration_seconds" "seconds" ["queue" "worker" "outcome"]
        "From the start of an attempt to its verdict."
    QUEUE_LATENCY Histogram "claude_jobs_queue_latency_seconds" "seconds" ["queue"]
        "From the moment for which an attempt was scheduled to its start."
    COST Counter "claude_jobs_cost_usd_micros_total" "millionths of a US dollar" ["queue" "worker"]
        "What settled attempts have cost, where that is known (counters are whole numbers)."
    COST_UNKNOWN Counter "claude_jobs_cost_unknown_total" "attempts" ["queue" "worker"]
        "Settled attempts of which nobody knows what they cost."
    TOKENS Counter "claude_jobs_tokens_total" "tokens" ["queue" "worker" "type"]
        "Tokens of settled attempts: `input` (not from the cache), `output`, `cache_read`, `cache_creation`."
    QUEUE_JOBS Gauge "claude_jobs_queue_jobs" "jobs" ["queue" "state"]
        "Jobs in the database; only where they are counted: `RuntimeBuilder::count_queues`."
    CLAIMS_STOPPED Gauge "claude_jobs_claims_stopped" "nodes" ["by"]
        "1 while this node claims nothing because of the machine (`node`), the account (`account`) or a want of memory \
         or disk (`capacity`), else 0."
    LEASE_LOST Counter "claude_jobs_lease_lost_total" "losses" []
        "How often this node was declared dead while it lived."
    DATABASE_ERRORS Counter "claude_jobs_database_errors_total" "errors" ["operation"]
        "Operations of the runtime that failed and are tried again: `turn`, `renew`, `rescue`, `cancel`, `watch`, \
         `prune`, `cron`, `clock`, `count`, `gate`, `answer`, `begun`."
}
