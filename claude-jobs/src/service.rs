//! The services beside the producers, each a small loop over the engine, each safe to run on every
//! node at once.

pub(crate) mod begun;
pub(crate) mod cancel;
#[cfg(feature = "metrics")]
pub(crate) mod count;
pub(crate) mod cron;
pub(crate) mod gate;
pub(crate) mod lease;
pub(crate) mod log;
pub(crate) mod prune;
pub(crate) mod rescue;
pub(crate) mod watch;
