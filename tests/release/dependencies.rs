//! Feature by feature: it builds without a warning, and how much it brings along.

use std::collections::BTreeSet;

use super::{builds_alone, cargo, repository, said};

/// The features, and the most crates that a program gets with them: ours, and all that those need to be
/// built and to run, on this machine. `docs/features.md` says the same.
const CHOICES: [(&str, &[&str], usize); 6] = [
    ("none", &["--no-default-features"], 130),
    ("`sqlite`", &["--no-default-features", "--features", "sqlite"], 185),
    ("`postgres`", &["--no-default-features", "--features", "postgres"], 212),
    ("`sqlite`, `cli` (the default)", &[], 205),
    ("`sqlite`, `metrics`", &["--no-default-features", "--features", "sqlite,metrics"], 190),
    ("the default and `prometheus`", &["--features", "prometheus"], 225),
];

#[test]
fn every_choice_of_features_builds_without_a_warning() {
    let _alone = builds_alone();
    for (name, flags, _) in CHOICES {
        let arguments = [&["check", "--locked", "-p", "claude-jobs", "--lib", "--bins"], flags].concat();
        let text = said(&mut cargo(&repository(), &arguments));
        assert!(!text.contains("warning"), "{name}: {text}");
    }
    let only_cli = ["check", "--locked", "-p", "claude-jobs", "--no-default-features", "--features", "cli"];
    let text = said(&mut cargo(&repository(), &only_cli));
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn the_trees_stay_small() {
    let guide = std::fs::read_to_string(repository().join("docs/features.md")).expect("a guide");
    for (name, flags, most) in CHOICES {
        let tree =
            ["tree", "--locked", "-p", "claude-jobs", "-e", "normal,build", "--prefix", "none", "-f", "{p}"];
        let mut command = cargo(&repository(), &[&tree, flags].concat());
        let output = command.output().expect("it starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        // `name v1.2.3`, whatever follows.
        let crates: BTreeSet<String> =
            text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        let number = crates.len();
        assert!(number > 50 && number <= most, "{name}: {number} crates, at most {most}");
        assert!(guide.contains(&format!("| {name} | {most} |")), "{name}: the guide does not say {most}");
    }
}

/// The benchmarks build the harness of the tests too. What that needs must not come into what they measure.
#[test]
fn the_benchmarks_count_nothing() {
    let tree = [
        "tree",
        "--locked",
        "-p",
        "claude-jobs",
        "-e",
        "normal,build,dev",
        "--prefix",
        "none",
        "-f",
        "{p} {f}",
    ];
    let text =
        String::from_utf8(cargo(&repository(), &tree).output().expect("it starts").stdout).expect("UTF-8");
    let ours = text.lines().find(|line| line.starts_with("claude-jobs v")).expect("the crate itself");
    let features: BTreeSet<&str> = ours.rsplit(' ').next().expect("the features").split(',').collect();
    assert_eq!(features, BTreeSet::from(["cli", "default", "postgres", "sqlite"]), "{ours}");
}
