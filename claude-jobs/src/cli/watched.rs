//! How the command is watched: the trace that it continues, the endpoint for metrics, contents in its log.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::duration::duration;
use super::exit::Problem;
use super::live;
use crate::runtime::RuntimeBuilder;
use crate::telemetry::{TraceContext, show_contents};

/// Where the metrics are, unless the flag says: the port of OpenTelemetry's exporters for Prometheus.
const METRICS: &str = "127.0.0.1:9464";

/// The trace in which this command was started, for the job or run that it makes.
pub(super) fn trace() -> Option<TraceContext> {
    TraceContext::of_environment().unwrap_or_else(|problem| {
        live::say(&format!("warning: the variable TRACEPARENT is ignored: {problem}"));
        None
    })
}

/// How `work` is watched.
#[derive(Debug, clap::Args)]
pub(super) struct Watched {
    /// Serve metrics for Prometheus at http://ADDRESS/metrics; a port alone is one of this machine's own
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = METRICS, value_parser = address)]
    metrics: Option<SocketAddr>,
    /// With --metrics: count the jobs of all queues this often, such as `30s` [default: never]
    #[arg(long, value_name = "DURATION", requires = "metrics", allow_hyphen_values = true, value_parser = duration)]
    metrics_count: Option<Duration>,
    /// Let log lines quote prompts, answers and what claude says, and the lines of `work` why a job ended
    #[arg(long)]
    show_contents: bool,
}

/// What goes on as long as this is there.
#[cfg(feature = "prometheus")]
pub(super) type Served = Option<crate::telemetry::prometheus::Endpoint>;
#[cfg(not(feature = "prometheus"))]
pub(super) type Served = Option<std::convert::Infallible>;

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let host = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    port.or_else(|_| host.as_deref().unwrap_or(text).parse())
        .map_err(|_| format!("give an address and a port such as `{METRICS}`, or a port"))
}

impl Watched {
    /// Begins to serve.
    #[cfg(feature = "prometheus")]
    pub(super) async fn serve(&self) -> Result<Served, Problem> {
        show_contents(self.show_contents);
        let Some(address) = self.metrics else { return Ok(None) };
        let endpoint = crate::telemetry::prometheus::serve(address).await?;
        live::say(&format!("metrics at http://{}/metrics", endpoint.address()));
        Ok(Some(endpoint))
    }

    /// Nothing can be served.
    #[cfg(not(feature = "prometheus"))]
    pub(super) async fn serve(&self) -> Result<Served, Problem> {
        show_contents(self.show_contents);
        match self.metrics {
            None => Ok(None),
            Some(_) => Err(crate::Error::Configuration(
                "this build has no metrics: switch on the feature `prometheus` of claude-jobs".to_owned(),
            )
            .into()),
        }
    }

    /// The runtime, counting where that is asked for.
    #[cfg(feature = "prometheus")]
    pub(super) fn count(&self, runtime: RuntimeBuilder) -> RuntimeBuilder {
        match self.metrics_count {
            Some(every) => runtime.count_queues(every.max(Duration::from_secs(1))),
            None => runtime,
        }
    }

    /// There is nothing to tell the counts to.
    #[cfg(not(feature = "prometheus"))]
    pub(super) fn count(&self, runtime: RuntimeBuilder) -> RuntimeBuilder {
        let _ = self.metrics_count;
        runtime
    }
}
