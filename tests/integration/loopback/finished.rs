//! Runs that end well, or at least with exit code 0.

use claude_jobs_tests::api::Reply;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use serde_json::json;

use super::{Stage, cost_of_run};

const SCHEMA: &str = r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;

on_each_claude! {
    async success, tool_use_in_a_git_repository, a_session_goes_back_to_its_worktree_unless_it_is_asked_for_again,
    a_session_goes_back_to_its_named_worktree, a_denied_tool_is_reported_in_a_success,
    plan_mode_asks_side_questions_in_the_oldest_version_only, structured_output,
    structured_output_may_be_missing_from_a_success, resume_adds_up_the_total_cost_but_not_the_cost_of_the_run,
    a_leading_slash_is_a_command_unless_a_newline_precedes_it, a_megabyte_and_a_leading_dash_reach_the_model,
    an_oauth_success_tells_the_state_of_the_limit,
}

async fn success(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Done.")]);
    let finished = stage.run(&[], "Do the task.").await;

    assert_eq!(finished.exit(), 0);
    assert_eq!(finished.stderr, "");
    let init = &finished.events()[0];
    assert_eq!((&init["type"], &init["subtype"]), (&json!("system"), &json!("init")));
    assert_eq!(init["cwd"], json!(stage.repo));
    assert_eq!(init["claude_code_version"], claude.number());
    assert_eq!(init["apiKeySource"], "ANTHROPIC_API_KEY");
    assert_eq!(init["permissionMode"], "default");
    let result = finished.result();
    assert_eq!(result["subtype"], "success");
    assert_eq!(result["is_error"], false);
    assert_eq!(result["terminal_reason"], "completed");
    assert_eq!(result["result"], "Done.");
    assert_eq!(result["num_turns"], 1);
    assert_eq!(result["session_id"], init["session_id"]);
    assert_eq!(result["usage"]["output_tokens"], 20);
    assert!(cost_of_run(&result) > 0.0);
    assert_eq!(result["total_cost_usd"].as_f64(), Some(cost_of_run(&result)));
    assert_eq!(stage.api.requests().len(), 1);
    assert_eq!(stage.api.requests()[0].user_texts().last().map(String::as_str), Some("Do the task."));
}

async fn tool_use_in_a_git_repository(claude: RealClaude) {
    let input = json!({ "command": "echo made > made.txt && git status --short", "description": "Make" });
    let stage = Stage::new(claude, [Reply::tool("Bash", input.clone()), Reply::text("Made it.")]);
    let finished =
        stage.run(&["--permission-mode", "acceptEdits", "--allowed-tools", "Bash"], "Make it.").await;

    assert_eq!(finished.exit(), 0);
    let call = &finished.events_of("assistant")[0]["message"]["content"][0];
    assert_eq!((&call["name"], &call["input"]), (&json!("Bash"), &input));
    let answer = &finished.events_of("user")[0];
    assert_eq!(answer["message"]["content"][0]["tool_use_id"], call["id"]);
    assert_eq!(answer["tool_use_result"]["stdout"], "?? made.txt");
    assert_eq!(finished.result()["num_turns"], 2);
    assert_eq!(finished.result()["permission_denials"], json!([]));
    let made = std::fs::read_to_string(stage.repo.join("made.txt")).expect("the tool made it");
    assert_eq!(made, "made\n");
}

/// A continuation must not ask for a worktree again.
async fn a_session_goes_back_to_its_worktree_unless_it_is_asked_for_again(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("One."), Reply::text("Two."), Reply::text("Three.")]);
    let cwd = |finished: &claude_jobs_tests::invocation::Finished| finished.events()[0]["cwd"].clone();
    let first = stage.run(&["--worktree"], "Begin.").await;
    let session = first.result()["session_id"].as_str().expect("a session").to_owned();
    let worktree = cwd(&first);
    assert_ne!(worktree, json!(stage.repo));
    let again = stage.run(&["--resume", &session], "Go on.").await;
    assert_eq!(cwd(&again), worktree);
    let other = stage.run(&["--resume", &session, "--worktree"], "Go on.").await;
    assert_ne!(cwd(&other), worktree);
}

/// So it does when it has a name.
async fn a_session_goes_back_to_its_named_worktree(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("One."), Reply::text("Two.")]);
    let first = stage.run(&["--worktree", "mine"], "Begin.").await;
    let session = first.result()["session_id"].as_str().expect("a session").to_owned();
    let again = stage.run(&["--resume", &session], "Go on.").await;
    assert_eq!(again.events()[0]["cwd"], first.events()[0]["cwd"]);
    assert!(again.events()[0]["cwd"].as_str().is_some_and(|folder| folder.ends_with("/mine")));
}

async fn a_denied_tool_is_reported_in_a_success(claude: RealClaude) {
    let input = json!({ "file_path": "/nonexistent/file", "content": "x" });
    let stage = Stage::new(claude, [Reply::tool("Write", input.clone()), Reply::text("I may not.")]);
    let finished = stage.run(&[], "Write it.").await;

    assert_eq!(finished.exit(), 0);
    let denials = &finished.result()["permission_denials"];
    assert_eq!(denials[0]["tool_name"], "Write");
    assert_eq!(denials[0]["tool_input"], input);
    assert!(finished.events_of("system").iter().any(|event| event["subtype"] == "permission_denied"));
}

/// In plan mode the oldest version asks small questions of its own before a command; the stand-in must not
/// take them for the run's requests. The newest asks none.
async fn plan_mode_asks_side_questions_in_the_oldest_version_only(claude: RealClaude) {
    let input = json!({ "command": "echo x > file.txt", "description": "Write" });
    let stage = Stage::new(claude, [Reply::tool("Bash", input), Reply::text("Planned.")]);
    let finished = stage.run(&["--permission-mode", "plan"], "Plan it.").await;

    assert_eq!(finished.result()["result"], "Planned.");
    assert_eq!(stage.api.requests().len(), 2);
    match claude {
        RealClaude::Oldest => assert!(!stage.api.side_requests().is_empty()),
        RealClaude::Newest => assert_eq!(stage.api.side_requests().len(), 0),
    }
    // The cost is that of the two: the others are on no bill that the CLI shows.
    assert_eq!(finished.result()["usage"]["output_tokens"], 40);
    assert_eq!(
        finished.result()["model_usage_since_last_result"].as_object().map(serde_json::Map::len),
        Some(1)
    );
    assert!(!stage.repo.join("file.txt").exists());
}

async fn structured_output(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::structured(json!({ "answer": "yes" }))]);
    let finished = stage.run(&["--json-schema", SCHEMA], "Answer.").await;

    assert_eq!(finished.exit(), 0);
    let result = finished.result();
    assert_eq!(result["structured_output"], json!({ "answer": "yes" }));
    assert_eq!(result["result"], r#"{"answer":"yes"}"#);
    assert_eq!(result["num_turns"], 2);
    // The tool call ends the run: the model is not asked again.
    assert_eq!(stage.api.requests().len(), 1);
    let requests = stage.api.requests();
    let tool = requests[0].tool("StructuredOutput").expect("the CLI offers the tool");
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("it is JSON");
    assert_eq!(tool["input_schema"], schema);
}

async fn structured_output_may_be_missing_from_a_success(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("I would rather talk.")]);
    let finished = stage.run(&["--json-schema", SCHEMA], "Answer.").await;

    assert_eq!(finished.exit(), 0);
    assert_eq!(finished.result()["is_error"], false);
    assert!(finished.result().get("structured_output").is_none());
    assert_eq!(stage.api.requests().len(), 2, "the CLI asks once more");
}

async fn resume_adds_up_the_total_cost_but_not_the_cost_of_the_run(claude: RealClaude) {
    let session = "5e551011-0000-4000-8000-000000000001";
    let stage = Stage::new(claude, [Reply::text("One."), Reply::text("Two.")]);
    let first = stage.run(&["--session-id", session], "First.").await.result();
    let second = stage.run(&["--resume", session], "Second.").await.result();

    assert_eq!((&first["session_id"], &second["session_id"]), (&json!(session), &json!(session)));
    let total = |result: &serde_json::Value| result["total_cost_usd"].as_f64().expect("a number");
    assert!((total(&second) - total(&first) - cost_of_run(&second)).abs() < 1e-9);
    assert!((cost_of_run(&first) - cost_of_run(&second)).abs() < 1e-9);
    assert_eq!(second["num_turns"], 1);
    assert!(stage.api.requests()[1].mentions("First."), "the model sees the conversation");
}

async fn a_leading_slash_is_a_command_unless_a_newline_precedes_it(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Here to help.")]);
    let command = stage.run(&[], "/help").await;
    assert_eq!(command.exit(), 0);
    assert_eq!(command.result()["num_turns"], 0);
    assert_eq!(command.result()["is_error"], false);
    assert!(stage.api.requests().is_empty());

    let prompt = stage.run(&[], "\n/help").await;
    assert_eq!(prompt.result()["result"], "Here to help.");
    assert!(stage.api.requests()[0].mentions("/help"));
}

async fn a_megabyte_and_a_leading_dash_reach_the_model(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("Long.")]);
    let prompt = format!("--version {}", "word ".repeat(210_000));
    let finished = stage.run(&[], &prompt).await;
    assert_eq!(finished.result()["result"], "Long.");
    let sent = stage.api.requests()[0].user_texts().join("");
    assert!(sent.contains(prompt.trim_end()));
}

async fn an_oauth_success_tells_the_state_of_the_limit(claude: RealClaude) {
    let reply = Reply::text("Done.")
        .header("anthropic-ratelimit-unified-status", "allowed")
        .header("anthropic-ratelimit-unified-reset", "4102444800");
    let stage = Stage::new(claude, [reply]);
    let finished = stage.run_oauth("Do it.").await;
    let info = &finished.events_of("rate_limit_event")[0]["rate_limit_info"];
    assert_eq!((&info["status"], &info["resetsAt"]), (&json!("allowed"), &json!(4_102_444_800_u64)));
}
