//! The command line as a whole, and its exit codes.

use clap::CommandFactory;

use super::*;
use crate::outcome::{Failure, FailureKind, Outcome, Report, judge};
use crate::{Error, classify};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// The names of all commands, those of commands that have commands included: `jobs list`.
fn commands(command: &clap::Command, above: &str) -> Vec<String> {
    let below = command.get_subcommands().filter(|command| command.get_name() != "help");
    below
        .flat_map(|command| {
            let name = format!("{above}{} ", command.get_name());
            if command.has_subcommands() {
                commands(command, &name)
            } else {
                vec![name.trim_end().to_owned()]
            }
        })
        .collect()
}

#[test]
fn the_guide_names_every_command() {
    let guide = include_str!("../../../docs/operating.md");
    let commands = commands(&Cli::command(), "");
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let row = format!("| `claude-jobs {command}");
        assert!(guide.lines().any(|line| line.starts_with(&row)), "docs/operating.md lacks {command:?}");
    }
    for exit in Exit::ALL {
        assert!(guide.contains(&format!("\n| {} |", exit as u8)), "docs/operating.md lacks {exit:?}");
    }
}

/// The words of a command line as a shell reads it: quotes, and comments.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_command_takes_what_readme_and_guides_give_it() {
    let texts = [
        include_str!("../../../README.md"),
        include_str!("../../../docs/getting-started.md"),
        include_str!("../../../docs/operating.md"),
        include_str!("../../templates/README.md"),
    ];
    let mut lines = 0;
    for line in
        texts.iter().flat_map(|text| text.replace("\\\n", "").lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let line = line
            .replace("cargo run -p claude-jobs -- ", "claude-jobs ")
            .replace("cargo run -- ", "claude-jobs ");
        if line.starts_with("claude-jobs ") {
            lines += 1;
            Cli::try_parse_from(words(&line)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
    assert!(lines > 25, "{lines}");
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
