//! The test harness of claude-jobs: everything a test needs that is not the thing under test.
//!
//! | module | what it is |
//! |---|---|
//! | [`fake`] | a real executable that plays a script in place of the `claude` CLI |
//! | [`script`], [`record`] | what that executable does, and what it saw |
//! | [`real_claude`], [`invocation`] | where the real CLI is in each supported version, and one run of it |
//! | [`transcript`], [`takes`] | what the real CLI printed, recorded, and scripts made from it |
//! | [`host`] | a program that runs one request, to be killed and stopped |
//! | [`api`] | a loopback stand-in for the Messages API, which the real CLI talks to |
//! | [`sandbox`] | a private home, a cleared environment, git repositories, waiting and looking |
//! | [`alone`] | a test in a process of its own, on a disk of its own |
//! | [`once`] | workers whose jobs may run but once |
//! | [`log`] | what the code under test logs |
//! | [`watching`] | every span and log event of a process, and a real OpenTelemetry |
//! | [`chaos`] | nodes in processes of their own, and what befalls them |
//! | [`hanging`] | a folder that does not answer |
//! | [`postgres`] | a throwaway PostgreSQL server |

#![forbid(unsafe_code)]

pub mod alone;
pub mod api;
pub mod chaos;
pub mod fake;
pub mod hanging;
pub mod host;
pub mod invocation;
pub mod log;
pub mod once;
pub mod pgbouncer;
pub mod postgres;
pub mod real_claude;
pub mod record;
pub mod sandbox;
pub mod script;
pub mod takes;
pub mod transcript;
pub mod watching;
