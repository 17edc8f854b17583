//! The integration tests, in one binary so that they link once.
//!
//! They run in parallel: each has its own ports and folders, ends only what it started, and talks to
//! 127.0.0.1 only.

mod base;
mod breakdowns;
mod chaos;
mod classifier;
mod command;
mod conformance;
mod copies;
mod definitions;
mod descriptors;
mod events;
mod examples;
mod fake_claude;
mod faults;
mod fences;
mod frozen;
mod growth;
mod handlers;
mod hanging;
mod interrupted;
mod kit;
mod limits;
mod loopback;
mod lost;
mod options;
mod outage;
mod postgres;
mod queue;
mod refusals;
mod rescued;
mod rows;
mod runtime;
mod said;
mod schedules;
mod serving;
mod state;
mod supervision;
mod takes;
mod telemetry;
mod templates;
mod tidy;
mod transcripts;
mod typed;
mod workers;
