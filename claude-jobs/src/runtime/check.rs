//! What a configuration must be before a runtime starts with it.

use std::time::Duration;

use crate::app_state::AppState;
use crate::definition::Definition;
use crate::engine::Limits;
use crate::error::{Error, Result};
use crate::node::Terms;
use crate::queue::Queue;
use crate::retention::Retention;
use crate::unique::Unique;

/// A job that is removed before its unique period is over lets another one in.
pub(super) fn retention(queue: &Queue, kept: Retention) -> Result<()> {
    for definition in queue.registry().definitions() {
        let Some(unique) = definition.unique.map(Unique::from) else { continue };
        let Some(period) = unique.period else { continue };
        for (state, kept) in kept.limits().filter(|(state, _)| unique.states.contains(state)) {
            if kept < period {
                let worker = definition.name;
                return Err(Error::Configuration(format!(
                    "worker `{worker}` is unique for {period:?}, and {state} jobs are to be removed after {kept:?}: keep \
                     them for as long at least, or leave the state out of `unique_states`"
                )));
            }
        }
    }
    Ok(())
}

/// Every worker whose queue is served must find the state that it declares.
pub(super) fn state(queue: &Queue, state: &AppState, served: &[(String, Limits)]) -> Result<()> {
    let is_served = |worker: &&Definition| served.iter().any(|(name, _)| name == worker.queue);
    queue.registry().definitions().filter(is_served).try_for_each(|worker| state.check(worker))
}

/// Runs that may take long to end need a lease that leaves them the time.
pub(super) fn grace(terms: Terms, grace: Duration) -> Result<()> {
    let (lease, shortest) = (terms.lease(), Terms::shortest_for(grace));
    if lease >= shortest {
        return Ok(());
    }
    let seconds = shortest.as_secs_f64().ceil();
    Err(Error::Configuration(format!(
        "a lease of {lease:?} is too short for runs that may take {grace:?} to end: give at least {seconds} s, or the \
         runner a shorter grace"
    )))
}

pub(super) fn queues(queues: &[(String, Limits)]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let problem = |text: String| Err(Error::Configuration(text));
    if queues.is_empty() {
        return problem("the runtime serves no queue: add `.queue(\"name\", concurrency)`".into());
    }
    for (name, limits) in queues {
        if !crate::job::is_label(name) {
            let rule = crate::job::LABEL_RULE;
            return problem(format!("queue name `{}`: {rule}", name.escape_default()));
        }
        limits.check(name)?;
        if !seen.insert(name) {
            return problem(format!("queue `{name}` is configured twice: name it once"));
        }
    }
    Ok(())
}
