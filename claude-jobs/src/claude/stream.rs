//! [`Invocation`]: one process of the CLI, its prompt on standard input, its events on standard output.
//!
//! The reader takes whatever is printed, in any amount: see [`Lines`]. Nothing that the CLI prints can end the run.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

mod line;
mod tail;

use line::{Lines, Unread};
use tail::Tail;

/// What to start.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// All of it: nothing is inherited.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) working_dir: Option<PathBuf>,
    /// Gets the process's id.
    pub(super) pid: Arc<AtomicU32>,
    /// How long the process's group may take to end when it is told to; no time for a process that is only a front.
    pub(super) grace: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended; none when it was killed.
    pub(super) status: Option<ExitStatus>,
    /// The end of what it wrote to standard error; if that is nothing, of the lines that were no events.
    pub(super) said: String,
    /// How many lines could not be read.
    pub(super) unreadable: u64,
}

/// A process that was started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    grace: Option<Duration>,
}

impl Invocation {
    /// Starts the process.
    pub(super) fn start(self) -> io::Result<Running> {
        let mut command = Command::new(self.program);
        command
            .args(self.args)
            .env_clear()
            .envs(self.environment)
            // A group of its own: the terminal's Ctrl-C is for the runtime, which stops runs in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(folder) = self.working_dir {
            command.current_dir(folder);
        }
        let child = command.spawn()?;
        let id = child.id().unwrap_or_default();
        self.pid.store(id, Ordering::SeqCst);
        let group = i32::try_from(id).ok().and_then(Pid::from_raw);
        Ok(Running { child, group, grace: self.grace })
    }
}

impl Running {
    /// Writes the prompt and gives each event to `event`, until the process has ended, or `kill` resolves and the
    /// process is killed.
    pub(super) async fn finish(
        mut self,
        prompt: &str,
        kill: impl Future<Output = ()>,
        mut event: impl FnMut(Value),
    ) -> io::Result<Ended> {
        let (stdin, stdout, stderr) =
            (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (mut lines, mut tail) = (Lines::default(), Tail::default());
        let streams = async {
            let read_out = read(stdout, |bytes| lines.feed(bytes, &mut event));
            let read_err = read(stderr, |bytes| tail.feed(bytes));
            tokio::join!(write(stdin, prompt), read_out, read_err);
        };
        let mut streams = Box::pin(streams);
        let mut kill = pin!(kill);
        let is_whole = tokio::select! {
            () = &mut streams => true,
            () = &mut kill => {
                self.end(&mut streams).await;
                false
            }
        };
        drop(streams);
        // It may live on without its streams.
        let is_whole = is_whole
            && tokio::select! {
                _ = self.child.wait() => true,
                () = &mut kill => {
                    self.end(std::future::pending()).await;
                    false
                }
            };
        let status = self.child.wait().await?;
        let Unread { lines: unreadable, text } = lines.finish(&mut event);
        let said = tail.into_text();
        let said = if said.trim().is_empty() { text } else { said };
        Ok(Ended { status: Some(status).filter(|_| is_whole), said, unreadable })
    }

    /// Ends the group. The process is not reaped yet, so that the group's id is still its own.
    async fn end(&self, mut streams: impl Future<Output = ()> + Unpin) {
        let mut are_over = false;
        if let Some(grace) = self.grace {
            self.signal(Signal::TERM);
            let (ended, ()) = tokio::join!(timeout(grace, &mut streams), sleep(grace));
            are_over = ended.is_ok();
        }
        self.signal(Signal::KILL);
        if !are_over {
            // What has left the group may hold the pipes.
            let _ = timeout(LAST_WORDS, streams).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// How long pipes may stay open whose writers were killed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A CLI that refuses to start closes its input unread; why it does is on its other streams.
async fn write(stdin: Option<ChildStdin>, prompt: &str) {
    let Some(mut stdin) = stdin else { return };
    if let Err(error) = stdin.write_all(prompt.as_bytes()).await {
        tracing::debug!(%error, "the CLI did not read its prompt to the end");
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return,
            Ok(length) => take(&buffer[..length]),
            Err(error) => {
                tracing::warn!(%error, "the output of a run could not be read to its end");
                return;
            }
        }
    }
}
