//! Every statement's text with the schema's name in it, made once for a connection to a database.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::address::Schema;
use super::{
    accounts, admin, answers, claim, clock, feed, insert, limited, listen, log, nodes, prune, query, settle,
    ticks, turn,
};

/// A statement's text.
#[derive(Clone, Debug)]
pub(super) struct Statement(Arc<str>);

impl Statement {
    /// `{schema}` in a text of ours stands for the schema's quoted name, which was checked. Nothing else
    /// ever becomes part of a text.
    pub(super) fn of(template: &'static str, schema: &Schema) -> Self {
        Self(schema.fill(template).into())
    }

    pub(super) fn text(&self) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(Arc::clone(&self.0))
    }
}

macro_rules! statements {
    ($($name:ident: $template:expr,)*) => {
        /// Every statement.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            pub(super) fn of(schema: &Schema) -> Self {
                Self { $($name: Statement::of($template, schema),)* }
            }

            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, &Statement)> {
                vec![$((stringify!($name), &self.$name),)*]
            }
        }
    };
}

statements! {
    keep_answer: answers::KEEP,
    answer: answers::READ,
    mark_begun: answers::MARK_BEGUN,
    job: query::JOB,
    counts: query::COUNTS,
    is_busy: query::IS_BUSY,
    errors: query::ERRORS,
    runs: query::RUNS,
    queues: query::QUEUES,
    insert: insert::INSERT,
    insert_one: insert::INSERT_ONE,
    insert_unique: insert::INSERT_UNIQUE,
    release_expired: insert::RELEASE_EXPIRED,
    holders: insert::HOLDERS,
    locked: admin::LOCKED,
    request_cancel: admin::REQUEST_CANCEL,
    cancel: admin::CANCEL,
    retry: admin::RETRY,
    retry_handler: admin::RETRY_HANDLER,
    delete: admin::DELETE,
    change_queue: admin::CHANGE_QUEUE,
    accounts: accounts::ACCOUNTS,
    block_account: accounts::BLOCK,
    begin_trial: accounts::BEGIN_TRIAL,
    allow_account: accounts::ALLOW,
    block_anew: accounts::BLOCK_ANEW,
    register: nodes::REGISTER,
    renew: nodes::RENEW,
    retire: nodes::RETIRE,
    nodes: nodes::NODES,
    bury: nodes::BURY,
    orphans: nodes::ORPHANS,
    release_sessions: nodes::RELEASE_SESSIONS,
    cancel_requests: nodes::CANCEL_REQUESTS,
    held: nodes::HELD,
    look: claim::LOOK,
    stage: claim::STAGE,
    claim: claim::CLAIM,
    turn: turn::TURN,
    settle: settle::SETTLE,
    written: settle::WRITTEN,
    forget: settle::FORGET,
    lock: limited::LOCK,
    count_executing: limited::COUNT_EXECUTING,
    take_keyed: limited::TAKE_KEYED,
    take_keyed_first: limited::TAKE_KEYED_FIRST,
    forget_starts: limited::FORGET_STARTS,
    starts: limited::STARTS,
    note_starts: limited::NOTE_STARTS,
    record_tick: ticks::RECORD,
    note_tick: ticks::NOTE,
    is_tick_busy: ticks::IS_BUSY,
    release_own: ticks::RELEASE_OWN,
    last_tick: ticks::LAST,
    ticks: ticks::TICKS,
    prune_ticks: ticks::PRUNE,
    prune: prune::PRUNE,
    prune_log: prune::PRUNE_LOG,
    prunable: prune::PRUNABLE,
    write_log: log::WRITE,
    log: log::LOG,
    running: feed::RUNNING,
    ledger_end: feed::END,
    ledger: feed::LEDGER,
    notify: listen::NOTIFY,
    server_time: clock::SERVER_TIME,
}
