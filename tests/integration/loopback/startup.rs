//! Runs that the CLI refuses to start: exit code 1, a line on standard error, no call of the API.

use claude_jobs_tests::api::Reply;
use claude_jobs_tests::invocation::{Finished, Invocation};
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;

use super::Stage;

const SESSION: &str = "5e551011-0000-4000-8000-000000000002";

on_each_claude! {
    async bad_options, a_blank_prompt, bypassing_permissions_is_refused_to_root_only,
    a_worktree_outside_a_git_repository, a_session_id_in_use, resuming_an_unknown_session,
    a_corrupt_configuration_is_replaced_by_the_oldest_version_only,
}

fn assert_refused(stage: &Stage, finished: &Finished, stderr: &str) {
    assert_eq!(finished.exit(), 1, "{finished:#?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.starts_with(stderr), "`{}` is not `{stderr}…`", finished.stderr);
    assert!(stage.api.requests().is_empty());
}

async fn bad_options(claude: RealClaude) {
    let table: [(&[&str], &str); 6] = [
        (&["--no-such-flag"], "error: unknown option '--no-such-flag'"),
        (
            &["--permission-mode", "nonsense"],
            "error: option '--permission-mode <mode>' argument 'nonsense' is invalid.",
        ),
        (&["--json-schema", "{"], "Error: --json-schema is not valid JSON"),
        (&["--mcp-config", "/nonexistent"], "Error: Invalid MCP configuration:\nMCP config file not found"),
        (&["--settings", "/nonexistent"], "Error: Settings file not found"),
        (&["--session-id", "nonsense"], "Error: Invalid session ID. Must be a valid UUID."),
    ];
    let stage = Stage::new(claude, [Reply::text("never")]);
    for (arguments, stderr) in table {
        let finished = stage.run(arguments, "Do it.").await;
        assert_refused(&stage, &finished, stderr);
    }
}

async fn a_blank_prompt(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("never")]);
    let blank = stage.run(&[], " ").await;
    assert_refused(&stage, &blank, "Error: Input contained only whitespace");
    let empty = stage.run(&[], "").await;
    assert_refused(&stage, &empty, "Error: Input must be provided");
}

/// The CLI looks at the user id, so who runs this test decides which half of the fact it shows.
async fn bypassing_permissions_is_refused_to_root_only(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Done.")]);
    let finished = stage.run(&["--permission-mode", "bypassPermissions"], "Do it.").await;
    if rustix::process::geteuid().is_root() {
        let line = "--dangerously-skip-permissions cannot be used with root/sudo privileges";
        assert_refused(&stage, &finished, line);
        let mut env = stage.env();
        env.push(("IS_SANDBOX".into(), "1".into()));
        let arguments = ["--permission-mode", "bypassPermissions"];
        let allowed = Invocation::new(claude, &stage.repo, env, &arguments).run("Do it.").await;
        assert_eq!(allowed.result()["result"], "Done.");
    } else {
        assert_eq!(finished.result()["result"], "Done.");
    }
}

async fn a_worktree_outside_a_git_repository(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("never")]);
    let plain = stage.sandbox.folder("plain");
    let finished = Invocation::new(claude, &plain, stage.env(), &["--worktree", "task"]).run("Do it.").await;
    assert_refused(&stage, &finished, "Error: Can only use --worktree in a git repository");
}

async fn a_session_id_in_use(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Done.")]);
    stage.run(&["--session-id", SESSION], "First.").await;
    let finished = stage.run(&["--session-id", SESSION], "Again.").await;
    assert_eq!((finished.exit(), finished.stdout.as_str()), (1, ""));
    assert_eq!(finished.stderr, format!("Error: Session ID {SESSION} is already in use.\n"));
    assert_eq!(stage.api.requests().len(), 1);
}

/// What a retry is worth: the oldest version begins a new file, so that the next run works; the newest leaves
/// the file to its owner, and says so in a result.
async fn a_corrupt_configuration_is_replaced_by_the_oldest_version_only(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Done.")]);
    let file = stage.sandbox.home().join(".claude.json");
    std::fs::write(file, "{ \"half").expect("the sandbox can be written");
    let first = stage.run(&[], "Do it.").await;
    assert_eq!(first.exit(), 1);
    assert!(first.stderr.contains("Claude configuration file at"), "{first:#?}");
    let second = stage.run(&[], "Do it.").await.result();
    match claude {
        RealClaude::Oldest => assert_eq!(second["result"], "Done."),
        RealClaude::Newest => assert_eq!(second["startup_failure_reason"], "config_file_invalid"),
    }
}

/// The one refusal that prints a result.
async fn resuming_an_unknown_session(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("never")]);
    let finished = stage.run(&["--resume", SESSION], "Go on.").await;
    assert_eq!(finished.exit(), 1);
    assert_eq!(finished.result()["subtype"], "error_during_execution");
    assert_eq!(finished.stderr, format!("No conversation found with session ID: {SESSION}\n"));
    assert!(stage.api.requests().is_empty());
}
