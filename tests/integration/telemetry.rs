//! What those who watch see: the trace of a job through processes, spans and log events by their tables, metrics
//! by HTTP, and no contents anywhere unless asked for.

mod contents;
mod endpoint;
mod tables;
mod traces;
