//! An endpoint for Prometheus: [`serve`] answers `GET /metrics` over HTTP.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};

use super::meter::describe_metrics;
use super::tables::{QUEUE_LATENCY, RUN_DURATION};
use crate::error::{Error, Result};

/// Where the endpoint is unless told otherwise: on this machine only, at the port that OpenTelemetry's
/// exporters for Prometheus have.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// Bounds of durations of runs, in seconds: from what fails at once to what takes all night.
const RUN_BUCKETS: &[f64] =
    &[0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];

/// Bounds of waits in queues, in seconds.
const LATENCY_BUCKETS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0];

/// The longest request that is read, in bytes, and how long it may take.
const REQUEST: (usize, Duration) = (8 * 1024, Duration::from_secs(5));

/// How many requests are answered at once.
const AT_ONCE: usize = 16;

/// How often the recorder is asked to sum up what it was told, whether or not anybody looks.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Serves the metrics of this process at this address until the answer is dropped. Port 0 is any free one.
///
/// The recorder is installed with the first call; it is this process's own from then on.
///
/// ```no_run
/// # async fn example() -> claude_jobs::Result<()> {
/// use claude_jobs::telemetry::prometheus;
///
/// let endpoint = prometheus::serve(prometheus::DEFAULT_ADDRESS).await?;
/// println!("metrics at http://{}/metrics", endpoint.address());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`Error::Configuration`] when the address cannot be listened on, or the program has installed another
/// recorder.
pub async fn serve(address: SocketAddr) -> Result<Endpoint> {
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(address, &error))?;
    let handle = recorder()?;
    Ok(Endpoint { address, serving: tokio::spawn(answer_all(listener, handle)) })
}

/// The metrics of this process as text, for a program with a web server of its own.
///
/// # Errors
///
/// [`Error::Configuration`] when the program has installed another recorder.
pub fn render() -> Result<String> {
    let handle = recorder()?;
    handle.run_upkeep();
    Ok(handle.render())
}

/// An endpoint; it ends when this is dropped.
#[must_use = "the endpoint ends when this is dropped"]
pub struct Endpoint {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Endpoint {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: give another port, or 0 for any free one",
        io::ErrorKind::PermissionDenied => "give a port from 1024",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: give `127.0.0.1:PORT`",
        _ => "give another address",
    };
    Error::Configuration(format!("cannot serve metrics at `{address}` ({error}): {remedy}"))
}

/// The recorder of this process, made and installed the first time.
fn recorder() -> Result<PrometheusHandle> {
    static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    RECORDER.get_or_init(install).clone().map_err(Error::Configuration)
}

fn install() -> Result<PrometheusHandle, String> {
    let buckets = [(RUN_DURATION.name, RUN_BUCKETS), (QUEUE_LATENCY.name, LATENCY_BUCKETS)];
    let builder = buckets.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
    });
    let recorder = builder.map_err(|error| format!("metrics: {error}"))?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| {
        "cannot serve metrics: this program has installed another recorder; serve what that one records"
            .to_owned()
    })?;
    describe_metrics();
    Ok(handle)
}

async fn answer_all(listener: TcpListener, handle: PrometheusHandle) {
    let mut answers = JoinSet::new();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut sum_up = interval(SUM_UP_EVERY);
    loop {
        tokio::select! {
            _ = sum_up.tick() => handle.run_upkeep(),
            Some(_) = answers.join_next() => {}
            connection = next(&listener, &slots) => match connection {
                Ok((stream, slot)) => {
                    let handle = handle.clone();
                    answers.spawn(async move {
                        // Whoever asks too slowly, or goes away, gets no answer.
                        let _ = timeout(REQUEST.1, answer(stream, &handle)).await;
                        drop(slot);
                    });
                }
                // Out of descriptors, say: others need them first.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, slot))
}

/// Answers the one request of a connection.
async fn answer(mut stream: TcpStream, handle: &PrometheusHandle) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST.0 || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", handle.render())
        }
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
