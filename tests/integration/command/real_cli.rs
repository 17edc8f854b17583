//! The main job on real input: a job in a SQLite file, run by the real CLI in a real repository.

use claude_jobs::claude::{NEWEST_TESTED, OLDEST_TESTED};
use claude_jobs_tests::api::Reply;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use serde_json::{Value, json};

use super::{machine, text};

on_each_claude! {
    a_job_runs_end_to_end, each_failing_scenario_ends_where_the_table_says, a_usage_limit_stops_claims_for_the_account,
    a_worktree_needs_a_repository, a_session_is_resumed_and_each_run_has_its_own_cost, structured_output_is_kept,
    prompts_of_all_kinds_reach_the_model, the_prompt_is_on_no_command_line, run_answers_without_a_queue,
    exit_codes_tell_the_outcome, the_doctor_finds_what_is_missing,
}

fn a_job_runs_end_to_end(claude: RealClaude) {
    let (api, machine) = machine(
        claude,
        [
            Reply::tool(
                "Bash",
                json!({"command": "git log --oneline | wc -l", "description": "Count commits"}),
            ),
            Reply::text("There is one commit."),
        ],
    );
    let id = machine.enqueue("How many commits?", &["--allowed-tools", "Bash", "--model", "sonnet"]);
    machine.drain();
    let job = machine.show(&id);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(job["result"], "There is one commit.");
    assert_eq!((&job["turns"], &job["outcome"]), (&json!(2), &json!("success")));
    assert!(job["total_cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{job:#}");
    assert!(job["duration_ms"].as_u64().is_some_and(|duration| duration > 50), "{job:#}");
    let run = &job["runs"][0];
    assert_eq!((&run["cli_version"], &run["ending"]), (&json!(claude.number()), &json!("exit 0")));
    assert_eq!(run["session_id"], job["session_id"]);
    assert!(run["tokens"]["output"].as_u64().is_some_and(|tokens| tokens > 0));
    let requests = api.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].mentions("How many commits?"));
    // The session was pinned before the start: the transcript has its id.
    let session = job["session_id"].as_str().expect("a session");
    let projects = machine.sandbox.home().join(".claude/projects");
    let found = std::fs::read_dir(projects)
        .expect("transcripts")
        .flatten()
        .any(|project| project.path().join(format!("{session}.jsonl")).is_file());
    assert!(found, "no transcript of {session}");
}

/// What the CLI is asked, what it is answered; where the job ends, after how many API calls.
struct Failing {
    flags: &'static [&'static str],
    replies: Vec<Reply>,
    state: &'static str,
    reason: &'static str,
    calls: usize,
}

fn failing(
    flags: &'static [&'static str],
    replies: impl IntoIterator<Item = Reply>,
    state: &'static str,
    reason: &'static str,
    calls: usize,
) -> Failing {
    Failing { flags, replies: replies.into_iter().collect(), state, reason, calls }
}

fn list() -> Reply {
    Reply::tool("Bash", json!({"command": "ls", "description": "List"}))
}

fn each_failing_scenario_ends_where_the_table_says(claude: RealClaude) {
    let mut table = vec![
        failing(&["--allowed-tools", "Bash", "--max-turns", "2"], [list()], "cancelled", "max_turns: ", 2),
        failing(&["--max-budget-usd", "0.01"], [list().tokens(1_000_000, 1)], "cancelled", "max_budget: ", 1),
        failing(&[], [Reply::invalid_key()], "cancelled", "authentication: Invalid API key", 1),
        failing(&[], [Reply::overloaded()], "retryable", "overloaded: API Error: 529", 1),
        failing(
            &["--model", "nonsense"],
            [Reply::unknown_model("nonsense")],
            "cancelled",
            "model_not_found: ",
            2,
        ),
        failing(&["--timeout", "6s"], [Reply::hang()], "scheduled", "timeout: ", 1),
        failing(
            &["--agent", "nobody"],
            [Reply::text("never")],
            "cancelled",
            "invalid_option: --agent 'nobody' not found",
            0,
        ),
        failing(
            &["--resume", "5e551011-0000-4000-8000-00000000000b"],
            [Reply::text("never")],
            "cancelled",
            "session_not_found: ",
            0,
        ),
        failing(
            &[
                "--json-schema",
                r#"{"type":"object","required":["ok"],"properties":{"ok":{"type":"boolean"}}}"#,
            ],
            [Reply::text("I will not")],
            "retryable",
            "output_mismatch: ",
            2,
        ),
    ];
    if rustix::process::geteuid().is_root() {
        let flags = &["--permission-mode", "bypass_permissions"];
        table.push(failing(flags, [Reply::text("never")], "cancelled", "dangerous_mode_refused: ", 0));
    }
    for case in table {
        let (api, machine) = machine(claude, case.replies);
        let id = machine.enqueue("Do it.", case.flags);
        machine.drain();
        let job = machine.show(&id);
        let reason = job["reason"].as_str().unwrap_or_default();
        assert!(job["state"] == case.state && reason.starts_with(case.reason), "{:?}: {job:#}", case.flags);
        assert_eq!(api.requests().len(), case.calls, "{:?}", case.flags);
        assert_eq!(job["runs"].as_array().map(Vec::len), Some(1), "one run of the CLI: {:?}", case.flags);
        assert!(job["session_id"].is_string(), "{:?}: {job:#}", case.flags);
    }
}

fn a_usage_limit_stops_claims_for_the_account(claude: RealClaude) {
    let (api, mut machine) = machine(claude, [Reply::usage_limit(4_102_444_800)]);
    machine.unset("ANTHROPIC_API_KEY");
    machine.set("CLAUDE_CODE_OAUTH_TOKEN", "dummy-token");
    let id = machine.enqueue("Do it.", &[]);
    machine.drain();
    let job = machine.show(&id);
    assert_eq!((&job["state"], &job["snoozes"]), (&json!("scheduled"), &json!(0)), "{job:#}");
    let queues = machine.json(&["queues", "list", "--json"]);
    let blocked = &queues[0]["blocked"][0];
    assert_eq!((&blocked["by"], &blocked["until"]), (&json!("account"), &job["scheduled_at"]), "{queues:#}");
    assert_eq!(api.requests().len(), 1);
}

fn a_worktree_needs_a_repository(claude: RealClaude) {
    let (api, machine) = machine(claude, [Reply::text("never")]);
    let folder = machine.sandbox.folder("plain");
    let folder = folder.to_str().expect("UTF-8");
    let id = machine.json(&["enqueue", "x", "--json", "--working-dir", folder, "--worktree", "w"])["id"]
        .to_string();
    machine.drain();
    let job = machine.show(&id);
    assert_eq!(job["state"], "cancelled", "{job:#}");
    assert!(
        job["reason"].as_str().is_some_and(|reason| reason.starts_with("not_a_git_repository: ")),
        "{job:#}"
    );
    assert!(api.requests().is_empty());
}

fn a_session_is_resumed_and_each_run_has_its_own_cost(claude: RealClaude) {
    let (api, machine) = machine(claude, [Reply::text("First."), Reply::text("Second.")]);
    let first = machine.enqueue("Begin.", &[]);
    machine.drain();
    let first = machine.show(&first);
    let session = first["session_id"].as_str().expect("a session").to_owned();
    let second = machine.enqueue("Go on.", &["--resume", &session]);
    machine.drain();
    let second = machine.show(&second);
    assert_eq!((&second["result"], &second["session_id"]), (&json!("Second."), &json!(session)));
    let cost = |job: &Value| job["runs"][0]["cost_usd"].as_f64().expect("a cost");
    assert!((cost(&first) - cost(&second)).abs() < cost(&first) / 2.0, "not the session's total");
    assert!(api.requests()[1].mentions("Begin."), "the conversation went along");
}

fn structured_output_is_kept(claude: RealClaude) {
    let schema = r#"{"type":"object","required":["ok"],"properties":{"ok":{"type":"boolean"}}}"#;
    let (_api, machine) = machine(claude, [Reply::structured(json!({"ok": true}))]);
    let id = machine.enqueue("Judge.", &["--json-schema", schema]);
    machine.drain();
    let job = machine.show(&id);
    assert_eq!((&job["state"], &job["structured"]), (&json!("completed"), &json!({"ok": true})), "{job:#}");
}

fn prompts_of_all_kinds_reach_the_model(claude: RealClaude) {
    let big = "All work and no play. ".repeat(48_000);
    assert!(big.len() > 1 << 20);
    for prompt in ["/help me", "-x --version", "--model", "!ls", "#note", "nul\u{0}byte", &big] {
        let (api, machine) = machine(claude, [Reply::text("Read.")]);
        let mut command = machine.command(&["enqueue", "-", "--json"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), prompt.as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", text(&output.stderr));
        machine.drain();
        let job = machine.show("1");
        let shown: String = prompt.chars().take(20).collect();
        assert_eq!(job["state"], "completed", "{shown}: {:?}", job["reason"]);
        let texts = api.requests()[0].user_texts().join("\n");
        assert!(
            texts.contains(prompt.trim_end_matches('\u{0}').split('\u{0}').next().expect("a part")),
            "{shown}"
        );
    }
}

fn the_prompt_is_on_no_command_line(claude: RealClaude) {
    let secret = "xyzzy-secret-prompt";
    let (api, machine) =
        machine(claude, [Reply::text("Done.").after(std::time::Duration::from_millis(1_500))]);
    let mut command = machine.command(&["enqueue", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), secret.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    let mut work = machine.command(&["work", "--drain"]).spawn().expect("it starts");
    let mut seen_running = false;
    while work.try_wait().expect("it is ours").is_none() {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        for process in processes {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            seen_running |= line.contains("--output-format") && line.contains("stream-json");
            assert!(!line.contains(secret), "{line}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(seen_running, "the CLI was looked at while it ran");
    assert!(api.requests()[0].mentions(secret));
}

fn run_answers_without_a_queue(claude: RealClaude) {
    let (_api, machine) = machine(claude, [Reply::text("Forty-two.")]);
    let output = machine.run(&["run", "What is it?"]);
    assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(0), "Forty-two."));
    let output = machine.json(&["run", "What is it?", "--json"]);
    assert_eq!((&output["outcome"], &output["verdict"]), (&json!("success"), &json!("complete")));
    assert!(output["cost_usd"].as_f64().is_some() && output["session_id"].is_string());
    assert!(!machine.sandbox.path().join("jobs.db").exists(), "no database");
}

fn exit_codes_tell_the_outcome(claude: RealClaude) {
    type Case = (&'static [&'static str], fn() -> Reply, i32);
    let table: &[Case] = &[
        (&[], Reply::overloaded, 1),
        (&["--max-turns", "0"], || Reply::text("never"), 2),
        (&["--model", "nonsense"], || Reply::unknown_model("nonsense"), 3),
        (&["--timeout", "1"], Reply::hang, 4),
        (&["--max-turns", "1", "--allowed-tools", "Bash"], list, 5),
        (&[], Reply::invalid_key, 6),
        (&["--binary", "/nowhere/claude"], || Reply::text("never"), 6),
    ];
    for (flags, reply, code) in table {
        let (_api, machine) = machine(claude, [reply()]);
        let output = machine.run(&[&["run", "Do it."], *flags].concat());
        assert_eq!(output.status.code(), Some(*code), "{flags:?}: {}", text(&output.stderr));
    }
}

fn the_doctor_finds_what_is_missing(claude: RealClaude) {
    let (_api, mut machine) = machine(claude, [Reply::text("never")]);
    let report = machine.json(&["doctor", "--json"]);
    for words in [claude.number(), format!("tested with {OLDEST_TESTED} to {NEWEST_TESTED}")] {
        assert!(report.to_string().contains(&words), "{report:#}");
    }
    let orphans =
        report["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "orphans");
    let detail = &orphans.expect("it is checked")["detail"];
    assert!(detail.as_str().is_some_and(|detail| detail.contains("a helper of")), "{detail}");
    machine.unset("ANTHROPIC_API_KEY");
    let output = machine.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stdout));
    let empty = machine.sandbox.folder("empty");
    machine.set("PATH", empty.to_str().expect("UTF-8"));
    let output = machine.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(6));
    let said = text(&output.stdout);
    assert!(said.contains("claude") && said.contains("git"), "{said}");
}
