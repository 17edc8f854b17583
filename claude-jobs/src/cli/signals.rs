//! SIGINT (Ctrl-C) and SIGTERM, counted: the first asks for an orderly end, the second for a quick
//! one.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Problem;

/// How many signals have come. From its making on, the process no longer dies of them.
pub(super) struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Counts from now on.
    pub(super) fn listen() -> Result<Self, Problem> {
        let refused = |error| Problem::general(format!("cannot listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
        let (sender, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(count))
    }

    /// Resolves when that many have come.
    pub(super) fn come(&self, wanted: u32) -> impl Future<Output = ()> + Send + 'static {
        let mut count = self.0.clone();
        async move {
            if count.wait_for(|count| *count >= wanted).await.is_err() {
                std::future::pending().await
            }
        }
    }
}
