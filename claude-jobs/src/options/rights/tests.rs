//! What lets a run write: patterns by the dozen, every option, and what is said of each.

use std::panic::catch_unwind;

use serde_json::{Value, json};

use super::*;
use crate::options::{ArgMap, ROWS, Templates};

const READING: &[&str] = &[
    "Read",
    " Read ",
    "Read(**)",
    "Read(./src/**)",
    "Glob",
    "Grep",
    "LS",
    "TodoWrite",
    "WebSearch",
    "WebFetch(domain:example.com)",
    "Task",
    "Agent(reviewer)",
    "BashOutput",
    // Whatever follows.
    "Bash(ls)",
    "Bash(ls:*)",
    "Bash(ls *)",
    "Bash(ls -la src:*)",
    "Bash(cat:*)",
    "Bash(grep -rn TODO:*)",
    "Bash(wc -l src/lib.rs)",
    "Bash(head -n 5:*)",
    "Bash(tail:*)",
    "Bash(stat:*)",
    "Bash(git status)",
    "Bash(git status:*)",
    "Bash(git status --short *)",
    "Bash(git ls-files:*)",
    "Bash(git rev-parse HEAD)",
    "Bash(gh pr view:*)",
    "Bash(gh pr view * --json title)",
    "Bash(gh pr diff 87)",
    "Bash(gh issue view:*)",
    "Bash(gh issue list --label bug:*)",
    "Bash(gh run view:*)",
    // As written.
    "Bash(git log)",
    "Bash(git log --oneline -20)",
    "Bash(git log --pretty=format:%h origin/main..HEAD)",
    "Bash(git diff HEAD^)",
    "Bash(git diff --stat main...HEAD)",
    "Bash(git show HEAD:src/lib.rs)",
    "Bash(git blame src/lib.rs)",
];

const WRITING: &[&str] = &[
    "Edit",
    "Write",
    "MultiEdit",
    "NotebookEdit",
    "Edit(src/**)",
    "Edit(**)",
    "Edit(*)",
    "Edit(/**)",
    "Edit(./**)",
    "Write(*.md)",
    "Write(docs/notes.md)",
    "MultiEdit(~/**)",
    "NotebookEdit(a.ipynb)",
    "Bash",
    "Bash()",
    "Bash(*)",
    "Bash(:*)",
    "Bash( * )",
    "Bash(**)",
];

const COMMANDS: &[&str] = &[
    // Any flag may follow: `--output=FILE` writes a file.
    "Bash(git log:*)",
    "Bash(git log *)",
    "Bash(git log --oneline:*)",
    "Bash(git diff:*)",
    "Bash(git show:*)",
    "Bash(git blame:*)",
    "Bash(git log --output=x)",
    "Bash(git log -1 --output x)",
    "Bash(git diff --ext-diff)",
    // Other commands of git and gh.
    "Bash(git)",
    "Bash(git:*)",
    "Bash(git *)",
    "Bash(git * log)",
    "Bash(git -c core.pager=sh log)",
    "Bash(git grep:*)",
    "Bash(git push:*)",
    "Bash(git commit -m x)",
    "Bash(git branch:*)",
    "Bash(gh:*)",
    "Bash(gh pr:*)",
    "Bash(gh api:*)",
    "Bash(gh pr create --draft:*)",
    // They look like reading.
    "Bash(find:*)",
    "Bash(find . -delete)",
    "Bash(sed -n 1p a)",
    "Bash(sed -i:*)",
    "Bash(awk:*)",
    "Bash(sort:*)",
    "Bash(uniq:*)",
    "Bash(tree:*)",
    "Bash(rg:*)",
    "Bash(rg --pre sh x)",
    "Bash(xargs:*)",
    "Bash(tee:*)",
    "Bash(env:*)",
    "Bash(less:*)",
    "Bash(echo:*)",
    // Interpreters, shells and what runs programs.
    "Bash(sh:*)",
    "Bash(bash -c:*)",
    "Bash(python3:*)",
    "Bash(node -e:*)",
    "Bash(perl x.pl)",
    "Bash(make:*)",
    "Bash(cargo test:*)",
    "Bash(npm run build)",
    "Bash(sudo ls)",
    "Bash(curl:*)",
    "Bash(rm:*)",
    // A wildcard in a word, another word, another path.
    "Bash(ls*)",
    "Bash(git status*)",
    "Bash(ls:*x)",
    "Bash(lsblk)",
    "Bash(git statusx)",
    "Bash(/tmp/ls:*)",
    "Bash(./ls:*)",
    "Bash(PAGER=x ls)",
    // More than one command, or signs that mean something to a shell.
    "Bash(ls && rm -rf x)",
    "Bash(ls; rm x)",
    "Bash(ls | sh)",
    "Bash(cat a > b)",
    "Bash(cat $HOME)",
    "Bash(cat `x`)",
    "Bash(git log \"--output=x\")",
    "Bash(git log '--output=x')",
    "Bash(git log \\--output=x)",
    "Bash(prompt: read only)",
];

const UNKNOWN: &[&str] = &[
    "*",
    "mcp__github",
    "mcp__github__get_issue",
    "mcp__*",
    "mcp__Read",
    "Skill",
    "Skill(review)",
    "SlashCommand",
    "Workflow",
    "ExitPlanMode",
    "PowerShell",
    "PowerShell(ls:*)",
    "Frobnicate",
    "edit",
    "bash(ls)",
    // The CLI takes these apart at the space.
    "Read Write",
    "Read Bash(ls)",
    "Read (x)",
];

fn of(tools: &'static [&'static str]) -> (Args, ArgMap) {
    (Args::EMPTY.allowed_tools(Literal::List(tools)), ArgMap::new().prompt("x").allowed_tools(tools))
}

/// What the constant and the merged options both come to.
fn grant(args: Args, map: &ArgMap) -> Option<Grant> {
    let grant = args.rights().first_grant(Counting::Possible);
    let options = Options::merge([map]).expect("valid");
    assert_eq!(grant, options.possible_grant(), "{map:?}");
    assert_eq!(grant.is_some(), options.can_write(), "{map:?}");
    grant
}

#[test]
fn every_pattern_is_judged() {
    type GrantAt = fn(usize) -> Option<Grant>;
    let kinds: [(&[&str], GrantAt); 4] = [
        (READING, |_| None),
        (WRITING, |index| Some(Grant::Writing(index))),
        (COMMANDS, |index| Some(Grant::Command(index))),
        (UNKNOWN, |index| Some(Grant::Unknown(index))),
    ];
    for (patterns, expected) in kinds {
        for pattern in patterns {
            assert!(is_tool_pattern(pattern), "{pattern}");
            for tools in [vec![*pattern], vec!["Read", *pattern, "Write"]] {
                let index = tools.len() / 2;
                let (args, map) = of(tools.leak());
                let expected = expected(index).or((index == 1).then_some(Grant::Writing(2)));
                assert_eq!(grant(args, &map), expected, "{pattern}");
            }
        }
    }
}

#[test]
fn a_mode_grants_or_leaves_all_as_it_is() {
    for name in PermissionMode::NAMES {
        let with_mode = |(args, map): (Args, ArgMap)| {
            (args.permission_mode(Literal::Str(name)), map.permission_mode(*name))
        };
        let grants = ["accept_edits", "bypass_permissions", "auto"].contains(name).then_some(Grant::Mode);
        for (tools, granted) in [
            (&[][..], None),
            (&["Read", "Bash(git status:*)"], None),
            (&["Bash(touch:*)"], Some(Grant::Command(0))),
            (&["Edit(src/**)"], Some(Grant::Writing(0))),
        ] {
            let (args, map) = with_mode(of(tools));
            assert_eq!(grant(args, &map), grants.or(granted), "{name} {tools:?}");
        }
    }
    let (args, map) = of(&[]);
    assert_eq!(grant(args, &map), None, "no mode");
}

/// A value of an option, as a constant and as JSON.
fn value(option: &str) -> (Literal, Value) {
    let text = if option == "agents" { r#"{"a": {}}"# } else { "x" };
    let row = crate::options::row(option).expect("an option");
    match row.shape {
        crate::options::Shape::Many => (Literal::List(&["x"]), json!(["x"])),
        _ => (Literal::Str(text), json!(text)),
    }
}

#[test]
fn what_cannot_be_judged_grants() {
    macro_rules! args {
        ($option:expr, $literal:expr; $($name:ident)+) => {
            match $option { $(stringify!($name) => Args::EMPTY.$name($literal),)+ other => panic!("{other}") }
        };
    }
    let args = |option: &str, literal| args!(option, literal; binary permission_prompt_tool mcp_config agent agents settings plugin_dir plugin_url file);
    for option in UNJUDGED {
        let (literal, json) = value(option);
        let mut map = ArgMap::new().prompt("x").permission_mode("plan");
        map.set(option, json.clone());
        assert_eq!(grant(args(option, literal), &map), Some(Grant::Unjudged(option)));
        if json.is_array() {
            map.set(option, json!([]));
            assert_eq!(grant(args(option, Literal::List(&[])), &map), None, "{option} of nothing");
        }
        // A value that is refused anyway is no second error.
        assert_eq!(args(option, Literal::Int(1)).rights().first_grant(Counting::Possible), None, "{option}");
    }
}

#[test]
fn no_other_option_grants() {
    for row in ROWS.iter().filter(|row| !GRANTING.contains(&row.name)) {
        let tries = [
            json!("x"),
            json!(["x"]),
            json!(true),
            json!(1),
            json!("a.b"),
            json!("low"),
            json!(["user"]),
            json!({}),
        ];
        let value = tries.into_iter().find(|value| row.is_valid(value));
        let value = value
            .or_else(|| (row.name == "session_id").then(|| json!("0199f1de-0000-7000-8000-0123456789ab")));
        let mut map = ArgMap::new();
        map.set(row.name, value.unwrap_or_else(|| panic!("{} has no value here", row.name)));
        let (options, grant) = match Options::check_layer(&map) {
            Ok(()) => {
                let options: Options = serde_json::from_value(json!(map)).expect("valid");
                (options.clone(), options.possible_grant())
            }
            // It stands with another only.
            Err(problem) => {
                assert_eq!(row.name, "fork_session", "{problem}");
                continue;
            }
        };
        assert_eq!(grant, None, "{options:?}");
    }
}

#[test]
fn a_template_is_judged_by_its_sample() {
    use crate::options::{Part, Template};
    const ITEMS: &[Template] =
        &[Template { source: "Bash({command}:*)", sample: "Bash(0:*)", parts: &[Part::Value(0)] }];
    const TEMPLATES: Templates = Templates { items: ITEMS, samples: &["Bash(0:*)"] };
    let args = Args::EMPTY.allowed_tools(Literal::Templates(&TEMPLATES));
    assert_eq!(args.rights().first_grant(Counting::Possible), Some(Grant::Command(0)));
    assert_eq!(args.tool(0), "Bash({command}:*)");
}

#[test]
fn only_what_surely_writes_asks_for_max_attempts() {
    let sure = |tools| of(tools).0.rights().first_grant(Counting::Sure);
    for tools in [COMMANDS, UNKNOWN, READING] {
        assert_eq!(sure(tools), None);
    }
    assert_eq!(sure(&["Bash(git push:*)", "Edit(src/**)"]), Some(Grant::Writing(1)));
    assert_eq!(Args::EMPTY.settings(Literal::Str("x")).rights().first_grant(Counting::Sure), None);
}

#[test]
fn a_check_panics_at_the_place_of_the_first_grant_only() {
    let args = Args::EMPTY
        .allowed_tools(Literal::List(&["Read", "mcp__x"]))
        .settings(Literal::Str("{}"))
        .agents(Literal::Str("{}"));
    let panics = |options: &'static [&str]| catch_unwind(|| args.check_untrusted(options)).is_err();
    assert!(panics(&["allowed_tools"]) && panics(GRANTING));
    assert!(!panics(&["settings", "agents"]) && !panics(&[]));
    args.check_attempts(GRANTING);
    let args = Args::EMPTY.allowed_tools(Literal::List(&["Write(a)"]));
    assert!(catch_unwind(|| args.check_attempts(&["allowed_tools"])).is_err());
    args.check_attempts(&["permission_mode"]);
}

#[test]
fn a_problem_names_what_grants_but_no_value() {
    let problem = |map: ArgMap| {
        let options = Options::merge([&map.prompt("x")]).expect("valid");
        options.untrusted_problem().expect("it grants")
    };
    let map = ArgMap::new;
    let cases = [
        (map().permission_mode("auto"), "`permission_mode` lets the run write, "),
        (
            map().allowed_tools(["Read", "Edit(secret)"]),
            "`allowed_tools` lets the run write with its entry 2 (`Edit`), ",
        ),
        (
            map().allowed_tools(["Bash(secret)"]),
            "`allowed_tools` grants its entry 1 (`Bash`), which is not known to only read, ",
        ),
        (
            map().allowed_tools(["mcp__secret"]),
            "`allowed_tools` grants its entry 1 (an MCP tool), which is not ",
        ),
        (
            map().allowed_tools(["secret"]),
            "`allowed_tools` grants its entry 1 (a tool of another kind), which is ",
        ),
        (map().settings("secret"), "`settings` may let the run write, which cannot be judged, "),
    ];
    for (map, begins) in cases {
        let problem = problem(map);
        assert!(problem.starts_with(begins), "{problem}");
        assert!(problem.ends_with(", or accept the risk with `allow_untrusted_writes`"), "{problem}");
        assert!(!problem.contains("secret"), "{problem}");
    }
    assert_eq!(Options::merge([&map().prompt("x")]).expect("valid").untrusted_problem(), None);
}
