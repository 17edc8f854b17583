-- Times are microseconds since the Unix epoch, UTC. JSON is text. Every column that a hand-written
-- row may leave out has a default.

CREATE TABLE claude_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: ledger rows outlive nothing they name
    state TEXT NOT NULL DEFAULT 'available' CHECK (state IN (
        'scheduled', 'available', 'executing', 'retryable', 'completed', 'discarded', 'cancelled')),
    queue TEXT NOT NULL,
    worker TEXT NOT NULL,
    input TEXT NOT NULL DEFAULT '{}',
    args TEXT NOT NULL DEFAULT '{}',
    meta TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    priority INTEGER NOT NULL DEFAULT 0,
    -- The fencing token and its companions: no settlement could match a number that is no u32.
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt BETWEEN 0 AND 4294967295),
    uncounted INTEGER NOT NULL DEFAULT 0 CHECK (uncounted BETWEEN 0 AND 4294967295),
    max_attempts INTEGER NOT NULL DEFAULT 3,
    snoozes INTEGER NOT NULL DEFAULT 0 CHECK (snoozes BETWEEN 0 AND 4294967295),
    max_snoozes INTEGER NOT NULL DEFAULT 3,
    inserted_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)),
    scheduled_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)),
    attempted_at INTEGER,
    finished_at INTEGER,
    node TEXT,
    reason TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    concurrency_key TEXT,                 -- only so many of these run at once
    continuation TEXT,                    -- JSON: what the next attempt takes over from earlier ones
    session_host TEXT,                    -- where the session to continue has its transcript; NULL: claimed anywhere
    begun INTEGER NOT NULL DEFAULT 0,     -- the last attempt whose claude was seen to start
    trace TEXT,                           -- the trace that runs continue: traceparent, a space and tracestate
    unique_key TEXT,                      -- held while the state is in unique_states, then NULL
    unique_until INTEGER,                 -- NULL: always
    unique_states INTEGER NOT NULL DEFAULT 0 -- bit n: State::ALL[n]
) STRICT;

-- Partial indexes: only the waiting and running rows are in them, however many are finished.
-- A waiting job is in one of the first four, with a key in two. The last columns of the first and the fourth are there for
-- counts and lists, which then read nothing else.
CREATE INDEX claude_jobs_claim ON claude_jobs (queue, priority, scheduled_at, id, concurrency_key)
    WHERE state = 'available' AND concurrency_key IS NULL;
CREATE INDEX claude_jobs_keyed ON claude_jobs (queue, concurrency_key, priority, scheduled_at, id)
    WHERE state = 'available' AND concurrency_key IS NOT NULL;
-- Every priority is 0 or more: only statements that say so are planned with this one, which has all keys in one row.
CREATE INDEX claude_jobs_keyed_first ON claude_jobs (queue, priority, scheduled_at, id)
    WHERE state = 'available' AND concurrency_key IS NOT NULL AND priority >= 0;
CREATE INDEX claude_jobs_due ON claude_jobs (queue, scheduled_at, state)
    WHERE state IN ('scheduled', 'retryable');
CREATE INDEX claude_jobs_sessions ON claude_jobs (scheduled_at)
    WHERE session_host IS NOT NULL AND state IN ('scheduled', 'available', 'retryable');
CREATE INDEX claude_jobs_executing ON claude_jobs (queue, node) WHERE state = 'executing';
CREATE INDEX claude_jobs_keys_in_use ON claude_jobs (concurrency_key)
    WHERE state = 'executing' AND concurrency_key IS NOT NULL;
-- For lists and counts: by state and queue; for lists of what failed, in any queue.
CREATE INDEX claude_jobs_over ON claude_jobs (state, queue, id)
    WHERE state IN ('completed', 'discarded', 'cancelled');
CREATE INDEX claude_jobs_failed ON claude_jobs (state, id) WHERE state IN ('discarded', 'cancelled');
CREATE UNIQUE INDEX claude_jobs_unique ON claude_jobs (unique_key) WHERE unique_key IS NOT NULL;

-- The ledger: one row per settled attempt.
CREATE TABLE claude_jobs_runs (
    -- In the order of their commits, because there is one writer, and never used twice: whoever follows the
    -- ledger goes by it.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    node TEXT,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    session_id TEXT,
    outcome TEXT NOT NULL,
    verdict TEXT NOT NULL,
    ending TEXT NOT NULL,
    cost_usd REAL,                        -- NULL: unknown
    turns INTEGER,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_creation_tokens INTEGER,
    model TEXT,
    cli_version TEXT,
    result TEXT,
    structured TEXT,
    last_events TEXT NOT NULL DEFAULT '[]',
    environment TEXT NOT NULL DEFAULT '{}',
    UNIQUE (job_id, attempt)
) STRICT;

-- What claude has answered, for workers with a handler: written before the handler runs, so that only the handler
-- runs again where it fails. One for each job: the last one. Gone with the job.
CREATE TABLE claude_jobs_answers (
    job_id INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL,
    answer TEXT NOT NULL                  -- JSON
) STRICT;

CREATE TABLE claude_jobs_errors (
    job_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;

-- What a run's claude did, as it was seen: bounded for each run. Gone with the job.
CREATE TABLE claude_jobs_log (
    job_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,              -- within the attempt, from 1
    at INTEGER NOT NULL,
    event TEXT NOT NULL,                  -- JSON
    PRIMARY KEY (job_id, attempt, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE claude_jobs_queues (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    concurrency INTEGER                   -- overrides what each runtime is configured with
) STRICT, WITHOUT ROWID;

-- Starts in queues that have a rate; those that no period reaches back to are removed.
CREATE TABLE claude_jobs_starts (
    queue TEXT NOT NULL,
    at INTEGER NOT NULL,
    jobs INTEGER NOT NULL
) STRICT;
CREATE INDEX claude_jobs_starts_at ON claude_jobs_starts (queue, at);

CREATE TABLE claude_jobs_nodes (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    process TEXT NOT NULL,                -- identifies the process on its host, pid reuse and reboots included
    started_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    lease INTEGER NOT NULL,               -- microseconds
    session_host TEXT NOT NULL DEFAULT '', -- where its sessions are
    account TEXT NOT NULL DEFAULT '',     -- pays for its runs
    queues TEXT NOT NULL DEFAULT '[]',    -- those that it serves
    fault TEXT                            -- why it claims nothing; NULL: it does
) STRICT, WITHOUT ROWID;

-- Accounts for which claims are stopped, on every node: a usage limit, no login, no money.
CREATE TABLE claude_jobs_accounts (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,               -- when a node may try it again
    times INTEGER NOT NULL DEFAULT 1,     -- how often in a row it was met
    queues TEXT NOT NULL DEFAULT '[]',    -- those of the nodes that have met it
    trial_node TEXT                       -- tries it now: only this node may claim
) STRICT, WITHOUT ROWID;

CREATE TABLE claude_jobs_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE INDEX claude_jobs_finished ON claude_jobs (state, finished_at) WHERE finished_at IS NOT NULL;

-- The ticks of schedules: whoever records one inserts its job.
CREATE TABLE claude_jobs_ticks (
    entry TEXT NOT NULL,
    due INTEGER NOT NULL,
    schedule TEXT NOT NULL,               -- the entry's expression and time zone then
    recorded_at INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('first_seen', 'inserted', 'duplicate', 'busy', 'missed')),
    job_id INTEGER,
    missed INTEGER NOT NULL DEFAULT 0,    -- how many ticks the row stands for that were not run
    PRIMARY KEY (entry, due)
) STRICT, WITHOUT ROWID;
