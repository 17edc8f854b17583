//! What a run may do is what its options say; no value of another option changes that.

use std::sync::{Arc, Mutex};

use claude_jobs::claude::ClaudeCli;
use claude_jobs::notice::Notice;
use claude_jobs::options::{ROWS, Shape};
use claude_jobs::prelude::*;
use claude_jobs_tests::api::Reply;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use serde_json::{Value, json};

use super::Stage;
use crate::workers::Plain;

/// Flags of the CLI that open what `plan` keeps shut.
const FLAGS: [&str; 3] = [
    "--dangerously-skip-permissions",
    "--permission-mode=acceptEdits",
    "--allow-dangerously-skip-permissions",
];

on_each_claude! {
    async no_value_is_taken_for_a_flag, a_grant_is_what_the_judgement_takes_it_for,
    in_plan_mode_no_model_grants_a_command,
}

/// Some of the CLI's options take a value or none; what begins with `-` is a flag to it then. Whatever value an option
/// of ours takes, the real CLI takes it for that.
async fn no_value_is_taken_for_a_flag(claude: RealClaude) {
    let mut tried = Vec::new();
    for row in ROWS.iter().filter(|row| !["permission_mode", "working_dir"].contains(&row.name)) {
        for flag in FLAGS {
            let value = if row.shape == Shape::Many { json!([flag]) } else { json!(flag) };
            if row.is_valid(&value) {
                let mode = mode_with(claude, row.name, value).await;
                assert!(mode.is_none_or(|mode| mode == "plan"), "`{}` as {flag}", row.name);
                tried.push(row.name);
            }
        }
    }
    tried.dedup();
    assert_eq!(tried, ["prompt", "system_prompt", "append_system_prompt"]);
}

/// On this rests what `claude-jobs/src/options/rights` takes for reading and for writing: what the model calls with
/// which grants, and whether `made` is there afterwards.
async fn a_grant_is_what_the_judgement_takes_it_for(claude: RealClaude) {
    let cases: [(&[&str], &str, bool); 13] = [
        (&[], "git log --output=made", false),
        (&["--allowed-tools", "Bash(git log:*)"], "git log --output=made", true),
        (&["--allowed-tools", "Bash(git show HEAD:*)"], "git show HEAD --output=made", true),
        (&["--allowed-tools", "Bash(git log)"], "git log --output=made", false),
        // Of a pattern that only reads nothing else follows.
        (&["--allowed-tools", "Bash(git status:*)"], "git status > made", false),
        (&["--allowed-tools", "Bash(ls:*)"], "ls && touch made", false),
        (&["--allowed-tools", "Bash(ls:*)"], "ls | tee made", false),
        (&["--allowed-tools", "Bash(ls:*)"], "ls $(touch made)", false),
        (&["--allowed-tools", "Bash(git status:*)"], "GIT_PAGER='touch made' git status", false),
        (&["--allowed-tools", "Bash(touch mad*)"], "touch made", true),
        // `plan` takes no granted command back, wherever it is granted.
        (&["--permission-mode", "plan", "--allowed-tools", "Bash(touch:*)"], "touch made", true),
        (
            &["--permission-mode", "plan", "--settings", r#"{"permissions":{"allow":["Bash(touch:*)"]}}"#],
            "touch made",
            true,
        ),
        (&["--permission-mode", "dontAsk", "--allowed-tools", "Bash(touch:*)"], "touch made", true),
    ];
    for (flags, command, is_made) in cases {
        let input = json!({ "command": command, "description": "Make it" });
        let stage = Stage::new(claude, [Reply::tool("Bash", input), Reply::text("Done.")]);
        stage.run(flags, "Make it.").await;
        assert_eq!(stage.repo.join("made").exists(), is_made, "{flags:?}: `{command}`");
    }
    // The CLI splits a grant at the space, and mode `plan` refuses its edit tools.
    let edits: [(&[&str], bool); 3] = [
        (&["--allowed-tools", "Write(docs/**)"], false),
        (&["--allowed-tools", "Read Write"], true),
        (&["--permission-mode", "plan", "--allowed-tools", "Write"], false),
    ];
    for (flags, is_made) in edits {
        let input = json!({ "file_path": "made", "content": "x" });
        let stage = Stage::new(claude, [Reply::tool("Write", input), Reply::text("Done.")]);
        stage.run(flags, "Make it.").await;
        assert_eq!(stage.repo.join("made").exists(), is_made, "{flags:?}");
    }
}

/// Outside text, for a run that plans.
#[claude_worker(queue = "tests", prompt = "{text}", pinned_args = { permission_mode = "plan" })]
struct Outside {
    #[untrusted]
    text: String,
}

/// In plan mode the oldest version asks a model whether a command is harmless, and runs it if the answer is yes. A run
/// over untrusted text asks nobody, and the command is refused.
async fn in_plan_mode_no_model_grants_a_command(claude: RealClaude) {
    let input = json!({ "command": "touch made", "description": "Make it" });
    let stage = Stage::new(claude, [Reply::tool("Bash", input), Reply::text("Done.")]);
    let queue = Queue::connect("sqlite::memory:").await.expect("a database");
    let folder = stage.repo.to_str().expect("UTF-8");
    let job =
        Outside::new("Make it.".into()).working_dir(folder).insert(&queue).await.expect("it cannot write");
    let binary = claude.path();
    let builder = ClaudeCli::builder().binary(binary.to_str().expect("UTF-8"));
    let claude = stage.env().iter().fold(builder, |builder, (name, value)| builder.env(name, value)).build();
    Runtime::builder(queue.clone()).queue("tests", 1).claude(claude).drain().await.expect("it drains");
    let state = queue.get(job.id()).await.expect("a read").expect("it is there").state;
    assert_eq!(state, State::Completed);
    assert_eq!(stage.api.requests().len(), 2, "the model has called its tool");
    assert_eq!(stage.api.side_requests().len(), 0);
    assert!(!stage.repo.join("made").exists());
}

/// The mode in which the real CLI begins when it is to plan; none when it does not begin.
async fn mode_with(claude: RealClaude, option: &str, value: Value) -> Option<String> {
    let stage = Stage::new(claude, [Reply::text("Done.")]);
    let queue = Queue::connect("sqlite::memory:").await.expect("a database");
    let mut job = Plain::new("Go.").into_new_job().expect("plain fields");
    let folder = stage.repo.to_str().expect("UTF-8");
    for (name, value) in [("permission_mode", json!("plan")), ("working_dir", json!(folder)), (option, value)]
    {
        job.args.set(name, value);
    }
    queue.insert(job).await.expect("valid");
    let binary = claude.path();
    let builder = ClaudeCli::builder().binary(binary.to_str().expect("UTF-8"));
    let claude = stage.env().iter().fold(builder, |builder, (name, value)| builder.env(name, value)).build();
    let mode = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&mode);
    let runtime = Runtime::builder(queue).queue("tests", 1).claude(claude).on_notice(move |notice| {
        if let Notice::Progress { event, .. } = notice
            && event["subtype"] == "init"
        {
            *seen.lock().expect("no holder panics") = event["permissionMode"].as_str().map(str::to_owned);
        }
    });
    runtime.drain().await.expect("it drains");
    mode.lock().expect("no holder panics").take()
}
