//! What every engine must do: one suite of checks, for those who change this crate or add an engine to it.
//!
//! Behind the feature `conformance`. An engine that passes can stand under a [`Queue`](crate::Queue);
//! [`suite!`] makes one test of each check:
//!
//! ```
//! # use std::sync::Arc;
//! # use claude_jobs::{JobId, engine::{Engine, conformance::{Database, run}}};
//! use claude_jobs::engine::conformance::suite;
//!
//! # struct MyDatabase;
//! # impl MyDatabase {
//! #     fn new() -> Self { Self }
//! # }
//! # #[async_trait::async_trait]
//! # impl Database for MyDatabase {
//! #     async fn connect(&self) -> Arc<dyn Engine> { unreachable!() }
//! #     async fn overwrite(&self, _: JobId, _: &str, _: &str) -> bool { false }
//! #     async fn refuse(&self, _: &str) {}
//! # }
//! suite!(mine, async || MyDatabase::new());
//! # // Tests are no part of an example's program: what each of them calls is.
//! # fn main() { run(async || MyDatabase::new(), async |_| {}); }
//! ```
//!
//! A check is an `async fn` in one of the topics below, and is listed once, in `__conformance_checks`.
//! (One that is not listed does not compile without a warning: nobody could reach it.) It is given a new
//! and empty database, tells the engine what time it is, and waits for nothing but the engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Engine;
use crate::job::JobId;

mod accounts;
mod admin;
mod claim;
mod continuation;
mod damage;
mod feed;
mod fence;
mod fixture;
mod insert;
mod limits;
mod log;
mod model;
mod nodes;
mod pairs;
mod prune;
mod query;
mod race;
mod random;
mod reference;
mod schedule;
mod settle;
mod turn;
mod unique;
mod watch;

pub use crate::__conformance_suite as suite;

/// A check may take so long on a slow machine before it counts as stuck.
const LONGEST: Duration = Duration::from_secs(300);

/// A new and empty database, which is there for as long as this value.
#[async_trait]
pub trait Database: Send + Sync {
    /// Opens it, with connections of its own. Checks open it several times, as several programs do.
    async fn connect(&self) -> Arc<dyn Engine>;

    /// Overwrites a column of a job by hand with an SQL literal: a number, or a text in single quotes.
    /// `false` where the column cannot hold that.
    async fn overwrite(&self, job: JobId, column: &str, literal: &str) -> bool;

    /// Opens it by connections of which one breaks in the middle: of the answers that the server sends from the one
    /// on that holds these bytes, so many pass and the next is lost. `None` where there is no server.
    async fn connect_losing(&self, _answer: &'static [u8], _after: u32) -> Option<Arc<dyn Engine>> {
        None
    }

    /// From now on the database refuses every new job of this worker, by a trigger or a constraint.
    async fn refuse(&self, worker: &str);
}

/// Runs one check on a new database.
///
/// # Panics
///
/// When the engine does not what it must.
pub fn run<D: Database>(make: impl AsyncFnOnce() -> D, check: impl AsyncFnOnce(&dyn Database)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads for the check").block_on(async {
        let database = make().await;
        let ended = tokio::time::timeout(LONGEST, check(&database)).await;
        ended.expect("a check ends within five minutes");
    });
}

/// Makes a module of tests, one per check: `suite!(name, make)`, where `make` is an
/// `async fn() -> impl Database`. A third argument chooses topics, for an engine that cannot have all:
/// `suite!(name, make, [insert, claim])`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    ($engine:ident, $make:expr) => {
        $crate::engine::conformance::suite!(
            $engine,
            $make,
            [insert, unique, claim, limits, settle, fence, turn, continuation, admin, accounts, nodes, pairs, query, schedule, prune, model, watch, damage, log, feed]
        );
    };
    ($engine:ident, $make:expr, [$($topic:ident),+ $(,)?]) => {
        mod $engine {
            $(mod $topic {
                use super::super::*;
                $crate::__conformance_checks!($topic __conformance_tests $make);
            })+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($topic:ident [$($check:ident)+] $make:expr) => {
        $(#[test]
        fn $check() {
            $crate::engine::conformance::run($make, $crate::engine::conformance::checks::$topic::$check);
        })+
    };
}

/// Every check, listed once, by topic; `$then!` makes something of a topic's.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    (insert $then:ident $($context:tt)*) => {
        $crate::$then! { insert [
            order numbers_are_never_used_twice nothing every_column hostile_texts waiting_for_its_time
            times_at_their_bounds concurrently
        ] $($context)* }
    };
    (unique $then:ident $($context:tt)*) => {
        $crate::$then! { unique [
            in_one_batch the_holder_is_shown_as_it_is across_connections until expired_in_one_batch
            each_at_its_own_moment
            released_by_a_claim released_by_a_settlement released_by_a_cancellation never_acquired_again
            kept_through_a_retry_by_hand released_in_one_claim
        ] $($context)* }
    };
    (claim $then:ident $($context:tt)*) => {
        $crate::$then! { claim [
            order waiting_jobs_become_claimable next_due unknown_workers unregistered_nodes pauses
            concurrency_setting room what_a_claim_changes other_queues two_connections held
        ] $($context)* }
    };
    (limits $then:ident $($context:tt)*) => {
        $crate::$then! { limits [
            global global_under_races per_key keys_are_data per_key_under_races other_keys_are_not_starved
            one_order_with_and_without_keys keys_of_unknown_workers keys_of_waiting_jobs rate
            rate_after_a_clock_was_set_back next_due_under_a_rate rate_under_races together nothing_is_claimed_ahead
            beyond_those_of_busy_keys many_keys
        ] $($context)* }
    };
    (settle $then:ident $($context:tt)*) => {
        $crate::$then! { settle [
            every_state ledger attempts_in_order notes_and_session what_does_not_count
            cancellation_requests texts_with_nul follow_ons a_large_batch
        ] $($context)* }
    };
    (fence $then:ident $($context:tt)*) => {
        $crate::$then! { fence [
            superseded_runs jobs_that_do_not_run twice_in_one_batch the_same_once_more after_a_rescue
            the_same_node_again under_races batches_the_other_way_round
        ] $($context)* }
    };
    (turn $then:ident $($context:tt)*) => {
        $crate::$then! { turn [
            settles_and_claims completes_and_claims completes_with_more nothing settles_whatever_the_claim
            what_is_given_back follow_ons places_that_become_free rate an_answer_is_lost
            given_up_in_the_middle under_races
        ] $($context)* }
    };
    (continuation $then:ident $($context:tt)*) => {
        $crate::$then! { continuation [
            sessions_are_continued_where_they_are a_session_without_a_place what_is_retried_by_hand answers
            handlers_run_again begun
        ] $($context)* }
    };
    (admin $then:ident $($context:tt)*) => {
        $crate::$then! { admin [
            cancel retry retry_gives_an_attempt delete change_queue changes_under_races cancel_under_races
            deletion_under_races
        ] $($context)* }
    };
    (accounts $then:ident $($context:tt)*) => {
        $crate::$then! { accounts [
            stop_claims are_stopped_once are_tried_by_one_node are_lifted_with_a_queue no_more_than_asked
            nodes_say_what_ails_them
        ] $($context)* }
    };
    (nodes $then:ident $($context:tt)*) => {
        $crate::$then! { nodes [
            registration retirement death a_renewal_at_the_last_moment jobs_without_a_node two_rescuers
            cancel_requests database_id
        ] $($context)* }
    };
    (pairs $then:ident $($context:tt)*) => {
        $crate::$then! { pairs [
            cancel_and_settle delete_and_claim renew_and_bury prune_and_retry a_key_whose_time_is_over
        ] $($context)* }
    };
    (query $then:ident $($context:tt)*) => {
        $crate::$then! { query [
            filters pages counts nobody is_busy is_busy_in_closed_queues
        ] $($context)* }
    };
    (log $then:ident $($context:tt)*) => {
        $crate::$then! { log [
            order_and_pages twice attempts several_jobs gone_with_the_job
        ] $($context)* }
    };
    (feed $then:ident $($context:tt)*) => {
        $crate::$then! { feed [
            all_of_a_run where_to_start after_deletions under_races runs_of_now
        ] $($context)* }
    };
    (schedule $then:ident $($context:tt)*) => {
        $crate::$then! { schedule [
            what_is_recorded once under_races if_busy unique_ticks last_tick prune_ticks
        ] $($context)* }
    };
    (prune $then:ident $($context:tt)*) => {
        $crate::$then! { prune [
            by_state_and_age oldest_first nothing_that_lives keys_go_along under_races
        ] $($context)* }
    };
    (model $then:ident $($context:tt)*) => {
        $crate::$then! { model [
            random_operations
        ] $($context)* }
    };
    (watch $then:ident $($context:tt)*) => {
        $crate::$then! { watch [
            what_others_do dropped
        ] $($context)* }
    };
    (damage $then:ident $($context:tt)*) => {
        $crate::$then! { damage [
            an_attempt_turned_back a_reason_written_while_it_runs unreadable_rows numbers_out_of_bounds
            numbers_at_their_bounds all_or_none a_refused_follow_on after_a_refusal
        ] $($context)* }
    };
}

macro_rules! exports {
    ($(#[$doc:meta] $topic:ident)+) => {
        /// The checks by topic.
        pub mod checks {
            $(#[$doc] pub mod $topic { $crate::__conformance_checks!($topic __conformance_exports); })+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_exports {
    ($topic:ident [$($check:ident)+]) => {
        $(pub use $crate::engine::conformance::$topic::$check;)+
    };
}

exports! {
    /// Writing jobs.
    insert
    /// Uniqueness.
    unique
    /// Claims under the node's own limit.
    claim
    /// Limits that nodes share.
    limits
    /// The end of runs.
    settle
    /// Runs that were superseded.
    fence
    /// Settlement and claim at once.
    turn
    /// What attempts leave for the next one.
    continuation
    /// What an operator does.
    admin
    /// Accounts for which claims are stopped.
    accounts
    /// Nodes and the jobs of dead ones.
    nodes
    /// Two operations at the same moment.
    pairs
    /// Reads.
    query
    /// Ticks of schedules.
    schedule
    /// The removal of jobs that are over for long.
    prune
    /// Random operations, against a simple model.
    model
    /// Wakes from other connections.
    watch
    /// What others write into the tables, or forbid.
    damage
    /// The logs of runs.
    log
    /// What is told to those who look at the whole fleet.
    feed
}
