//! The command line as a whole, and its exit codes.

use clap::CommandFactory;

use super::*;
use crate::outcome::{Failure, FailureKind, Outcome, Report, judge};
use crate::{Error, classify};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_module_documents_every_exit_code() {
    let documented: Vec<&str> =
        include_str!("../cli.rs").lines().filter(|line| line.starts_with("//! | ")).collect();
    for exit in Exit::ALL {
        assert!(
            documented.iter().any(|line| line.starts_with(&format!("//! | {} |", exit as u8))),
            "{exit:?}"
        );
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let cases = [
        (None, Exit::Complete),
        (Some(FailureKind::Overloaded), Exit::Retry),
        (Some(FailureKind::UsageLimit), Exit::Retry),
        (Some(FailureKind::Refused), Exit::Cancelled),
        (Some(FailureKind::WorkingDirMissing), Exit::Cancelled),
        (Some(FailureKind::Cancelled), Exit::Cancelled),
        (Some(FailureKind::Timeout), Exit::Timeout),
        (Some(FailureKind::IdleTimeout), Exit::Timeout),
        (Some(FailureKind::MaxTurns), Exit::RailStop),
        (Some(FailureKind::MaxBudget), Exit::RailStop),
        (Some(FailureKind::BinaryMissing), Exit::Environment),
        (Some(FailureKind::Authentication), Exit::Environment),
    ];
    for (kind, exit) in cases {
        let mut run = judge(Report::new(None), &crate::options::Options::default());
        run.outcome = kind.map_or(Outcome::Success, |kind| Outcome::Failure(Failure::new(kind, "")));
        assert_eq!(Exit::of_run(&run, &classify::default(&run)), exit, "{kind:?}");
    }
}

#[test]
fn what_a_user_got_wrong_is_usage() {
    let usage = [
        Error::InvalidJob("priority".into()),
        Error::Configuration("queue `a` is configured twice".into()),
        Error::UnknownWorker { name: "x".into(), hint: String::new() },
    ];
    for error in usage {
        assert_eq!(Problem::from(error).exit(), Exit::Usage);
    }
    assert_eq!(Problem::from(Error::NoSuchJob(crate::JobId(7))).exit(), Exit::Retry);
}
