//! Runs that the CLI refuses to start: exit code 1, a line on standard error, no call of the API.

use claude_jobs_tests::api::Reply;
use claude_jobs_tests::invocation::{Finished, Invocation};

use super::Stage;

const SESSION: &str = "5e551011-0000-4000-8000-000000000002";

fn assert_refused(stage: &Stage, finished: &Finished, stderr: &str) {
    assert_eq!(finished.exit(), 1, "{finished:#?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.starts_with(stderr), "`{}` is not `{stderr}…`", finished.stderr);
    assert!(stage.api.requests().is_empty());
}

#[tokio::test]
async fn bad_options() {
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
    let stage = Stage::new([Reply::text("never")]);
    for (arguments, stderr) in table {
        let finished = stage.run(arguments, "Do it.").await;
        assert_refused(&stage, &finished, stderr);
    }
}

#[tokio::test]
async fn a_blank_prompt() {
    let stage = Stage::new([Reply::text("never")]);
    let blank = stage.run(&[], " ").await;
    assert_refused(&stage, &blank, "Error: Input contained only whitespace");
    let empty = stage.run(&[], "").await;
    assert_refused(&stage, &empty, "Error: Input must be provided");
}

/// The CLI looks at the user id, so who runs this test decides which half of the fact it shows.
#[tokio::test]
async fn bypassing_permissions_is_refused_to_root_only() {
    let stage = Stage::new([Reply::text("Done.")]);
    let finished = stage.run(&["--permission-mode", "bypassPermissions"], "Do it.").await;
    if rustix::process::geteuid().is_root() {
        let line = "--dangerously-skip-permissions cannot be used with root/sudo privileges";
        assert_refused(&stage, &finished, line);
        let mut env = stage.env();
        env.push(("IS_SANDBOX".into(), "1".into()));
        let arguments = ["--permission-mode", "bypassPermissions"];
        let allowed = Invocation::new(&stage.repo, env, &arguments).run("Do it.").await;
        assert_eq!(allowed.result()["result"], "Done.");
    } else {
        assert_eq!(finished.result()["result"], "Done.");
    }
}

#[tokio::test]
async fn a_worktree_outside_a_git_repository() {
    let stage = Stage::new([Reply::text("never")]);
    let plain = stage.sandbox.folder("plain");
    let finished = Invocation::new(&plain, stage.env(), &["--worktree", "task"]).run("Do it.").await;
    assert_refused(&stage, &finished, "Error: Can only use --worktree in a git repository");
}

#[tokio::test]
async fn a_session_id_in_use() {
    let stage = Stage::new([Reply::text("Done.")]);
    stage.run(&["--session-id", SESSION], "First.").await;
    let finished = stage.run(&["--session-id", SESSION], "Again.").await;
    assert_eq!((finished.exit(), finished.stdout.as_str()), (1, ""));
    assert_eq!(finished.stderr, format!("Error: Session ID {SESSION} is already in use.\n"));
    assert_eq!(stage.api.requests().len(), 1);
}

/// The one refusal that prints a result.
#[tokio::test]
async fn resuming_an_unknown_session() {
    let stage = Stage::new([Reply::text("never")]);
    let finished = stage.run(&["--resume", SESSION], "Go on.").await;
    assert_eq!(finished.exit(), 1);
    assert_eq!(finished.result()["subtype"], "error_during_execution");
    assert_eq!(finished.stderr, format!("No conversation found with session ID: {SESSION}\n"));
    assert!(stage.api.requests().is_empty());
}
