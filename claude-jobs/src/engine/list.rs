//! Lists: which partial indexes hold the jobs that a filter asks for.
//!
//! No index has the jobs of one state or queue in the order of a list: it would cost every job three more
//! entries in its life. The partial indexes have the waiting and running ones in other orders, which is as
//! good while they are few; and where they are many, a walk down the numbers soon meets them.

use super::Filter;
use crate::job::State;

/// Up to so many jobs are read from an index and put in order; beyond, the table is walked down by number.
/// Of a million rows, both then read some ten thousand for a list of a hundred.
pub(super) const FEW: u32 = 10_000;

/// Some of a list's jobs, all of which one index holds.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Which jobs. Part of a statement's text, because it must say that the index holds them, which a
    /// parameter could not.
    pub(super) rows: &'static str,
    /// The index that is read, as PostgreSQL's schema names it.
    pub(super) index: &'static str,
    /// Whether the index has these jobs by number.
    pub(super) is_ordered: bool,
}

/// What a list is put together from; nothing where all jobs are asked for, which the primary key has.
pub(super) fn parts(filter: &Filter) -> Vec<Part> {
    let has_queue = filter.queue.is_some();
    match filter.state {
        Some(state) => parts_of(state, has_queue),
        None if has_queue => State::ALL.into_iter().flat_map(|state| parts_of(state, true)).collect(),
        None => Vec::new(),
    }
}

fn parts_of(state: State, has_queue: bool) -> Vec<Part> {
    let some = |index, rows| Part { rows, index, is_ordered: false };
    let all = |index, rows| Part { rows, index, is_ordered: true };
    match state {
        State::Available => vec![
            some("jobs_claim", "state = 'available' AND concurrency_key IS NULL"),
            some("jobs_keyed", "state = 'available' AND concurrency_key IS NOT NULL"),
        ],
        State::Scheduled => {
            vec![some("jobs_due", "state IN ('scheduled', 'retryable') AND state = 'scheduled'")]
        }
        State::Retryable => {
            vec![some("jobs_due", "state IN ('scheduled', 'retryable') AND state = 'retryable'")]
        }
        State::Executing => vec![some("jobs_executing", "state = 'executing'")],
        State::Completed => {
            let rows = "state IN ('completed', 'discarded', 'cancelled') AND state = 'completed'";
            vec![Part { is_ordered: has_queue, ..some("jobs_over", rows) }]
        }
        State::Discarded if has_queue => {
            vec![all("jobs_over", "state IN ('completed', 'discarded', 'cancelled') AND state = 'discarded'")]
        }
        State::Cancelled if has_queue => {
            vec![all("jobs_over", "state IN ('completed', 'discarded', 'cancelled') AND state = 'cancelled'")]
        }
        State::Discarded => {
            vec![all("jobs_failed", "state IN ('discarded', 'cancelled') AND state = 'discarded'")]
        }
        State::Cancelled => {
            vec![all("jobs_failed", "state IN ('discarded', 'cancelled') AND state = 'cancelled'")]
        }
    }
}

/// For the tests of both engines, which look at how such lists are read from a million jobs.
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::job::JobId;

    /// A page with little left below it.
    pub(in crate::engine) const LAST_PAGE: JobId = JobId(900);

    /// By all combinations of state, queue and page.
    pub(in crate::engine) fn filters() -> Vec<Filter> {
        let states = [None].into_iter().chain(State::ALL.map(Some));
        let queues = [None, Some("queue_3"), Some("keyed"), Some("unknown")];
        let pages = [None, Some(LAST_PAGE), Some(JobId(500_000))];
        let mut filters = Vec::new();
        for state in states {
            for queue in queues {
                for before in pages {
                    let queue = queue.map(str::to_owned);
                    filters.push(Filter { state, queue, before, ..Filter::default() });
                }
            }
        }
        filters
    }
}
