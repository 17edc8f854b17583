//! How many files this process may have open: a run takes about ten descriptors.

use std::sync::Once;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any machine has runs for; where no limit is set, the kernel has one of its own.
const MOST: u64 = 1 << 20;

/// Raises the soft limit to the hard one, once per process. The usual 1,024 is for programs that wait with `select`.
///
/// What runs inherit is no more than the CLI, which raises it likewise, would give its tools.
pub(super) fn raise_limit() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let (Some(from), to) = (current, maximum.unwrap_or(MOST).min(MOST)) else { return };
        if from >= to {
            return;
        }
        match setrlimit(Resource::Nofile, Rlimit { current: Some(to), maximum }) {
            Ok(()) => tracing::debug!(from, to, "the limit of open files is raised"),
            Err(error) => tracing::warn!(%error, from, "the limit of open files cannot be raised"),
        }
    });
}
