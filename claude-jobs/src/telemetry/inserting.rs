//! [`Inserting`]: what goes with the writing of jobs: its span, the trace that the jobs continue, the counts.

use std::future::Future;

use tracing::{Instrument, Span};

use super::{TraceContext, context_of, meter, spans};
use crate::error::Result;
use crate::job::{Inserted, NewJob};

/// Jobs that are about to be written.
pub(crate) struct Inserting {
    span: Span,
    here: Option<TraceContext>,
}

impl Inserting {
    pub(crate) fn begin() -> Self {
        let span = spans::insert();
        Self { here: context_of(&span), span }
    }

    /// The job, in the present trace unless it has one of its own.
    pub(crate) fn trace(&self, mut job: NewJob) -> NewJob {
        job.trace = job.trace.or_else(|| self.here.clone());
        job
    }

    /// Writes them, and tells what became of them.
    pub(crate) async fn watch<T>(
        &self,
        write: impl Future<Output = Result<T>>,
        all: fn(&T) -> &[Inserted],
    ) -> Result<T> {
        let result = write.instrument(self.span.clone()).await;
        let written = result.as_ref().ok().map(all);
        spans::inserted(&self.span, written);
        if cfg!(feature = "metrics") {
            let each = |one: &Inserted| meter::inserted(&one.job.queue, &one.job.worker, one.duplicate);
            written.into_iter().flatten().for_each(each);
        }
        result
    }
}
