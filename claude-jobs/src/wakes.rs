//! [`Wakes`]: tells the producers and services of this process that there may be something to do, so
//! that nobody waits for the next poll.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Who waits for what. A wake-up that nobody waits for is forgotten, several become one.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// For everything.
    all: watch::Sender<u64>,
    /// For jobs of one queue, or everything.
    queues: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Self { all: watch::channel(0).0, queues: Mutex::default() }
    }

    /// There may be something for anyone.
    pub(crate) fn wake_all(&self) {
        count_up(&self.all);
        self.queues().values().for_each(count_up);
    }

    /// There may be jobs in that queue.
    pub(crate) fn wake(&self, queue: &str) {
        if let Some(sender) = self.queues().get(queue) {
            count_up(sender);
        }
    }

    /// Changes with each [`wake_all`](Self::wake_all).
    pub(crate) fn of_all(&self) -> watch::Receiver<u64> {
        self.all.subscribe()
    }

    /// Changes with each wake-up of that queue, or of all.
    pub(crate) fn of(&self, queue: &str) -> watch::Receiver<u64> {
        let mut queues = self.queues();
        // Nobody waits for those any more.
        queues.retain(|_, sender| sender.receiver_count() > 0);
        queues.entry(queue.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count_up(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_queues_that_somebody_waits_for_are_kept() {
        let wakes = Wakes::new();
        let waits = wakes.of("served");
        for number in 0..100 {
            drop(wakes.of(&format!("queue {number}")));
        }
        let mut again = wakes.of("served");
        assert_eq!(wakes.queues().len(), 1);
        wakes.wake("served");
        assert!(waits.has_changed().expect("it is there") && again.has_changed().expect("it is there"));
        again.mark_unchanged();
        drop((waits, again));
        drop(wakes.of("another"));
        let _last = wakes.of("last");
        assert_eq!(wakes.queues().len(), 1);
    }
}
