//! What claude has said is kept, whatever its form; and why a run failed is told as it is. With a scripted CLI for what
//! the real one prints seldom, and with the real one against the stand-in of the API.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_jobs::claude::{Claude, ClaudeCli, Request};
use claude_jobs::jiff::Timestamp;
use claude_jobs::options::{ArgMap, Options};
use claude_jobs::outcome::{Ending, FailureKind, Report, Run, StopReason, judge};
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;
use claude_jobs_tests::script::{Step, Take};
use serde_json::{Value, json};

/// Prints these lines and exits.
fn prints(lines: &[&[u8]]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let output = sandbox.path().join("output");
    std::fs::write(&output, lines.join(&b"\n"[..])).expect("the sandbox can be written");
    let path = sandbox.path().join("claude");
    let script = format!("#!/bin/sh\ncat >/dev/null; cat {}\n", output.display());
    std::fs::write(&path, script).expect("the sandbox can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
    (sandbox, path)
}

async fn report(claude: ClaudeCli, args: ArgMap, require_mcp: bool) -> (Report, Options) {
    let options = Options::merge([&args]).expect("the options are valid");
    let mut request = Request::new(options.clone());
    request.require_mcp = require_mcp;
    (claude.run(request).await.expect("a report"), options)
}

async fn run(binary: &Path, args: ArgMap) -> (Run, u64) {
    let claude = ClaudeCli::builder().binary(binary.to_str().expect("UTF-8")).build();
    let (report, options) = report(claude, args.prompt("Do it."), false).await;
    let unreadable = report.unreadable;
    (judge(report, &options), unreadable)
}

const INIT: &[u8] = br#"{"type":"system","subtype":"init","session_id":"s","model":"m"}"#;

#[tokio::test]
async fn a_paid_result_is_kept_whatever_its_form() {
    let deep = format!(r#"{{"type":"user","x":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let result = |fields: &str| {
        format!(r#"{{"type":"result","subtype":"success","is_error":false,"num_turns":1,{fields}}}"#)
            .into_bytes()
    };
    let cost = r#""total_cost_usd":0.5"#;
    for (last, text, dollars) in [
        (result(&format!(r#""result":"end \ud83d",{cost}"#)), "end \u{fffd}", Some(0.5)),
        (
            result(&format!(r#""result":"ok","permission_denials":[{{"tool_input":"\ude00"}}],{cost}"#)),
            "ok",
            Some(0.5),
        ),
        (result(r#""result":"ok","total_cost_usd":"0.5""#), "ok", Some(0.5)),
        (result(r#""result":"ok""#), "ok", None),
        (result(&format!(r#""result":{{"a":1}},{cost}"#)), r#"{"a":1}"#, Some(0.5)),
        (result(&format!(r#""result":7,"num_turns":1.0,{cost}"#)), "7", Some(0.5)),
        (result(&format!(r#""result":"ok","x":NaN,{cost}"#)), "ok", Some(0.5)),
        ([&result(&format!(r#""result":"ok",{cost}"#))[..], b"\r"].concat(), "ok", Some(0.5)),
    ] {
        let lines: [&[u8]; 6] =
            [INIT, b"garbage \xff\0", b"{\"type\":\"assis", deep.as_bytes(), b"{\"type\":\"news\"}", &last];
        let (_sandbox, binary) = prints(&lines);
        let (run, unreadable) = run(&binary, ArgMap::new()).await;
        let shown = String::from_utf8_lossy(&last);
        assert_eq!((run.outcome_name(), run.text(), run.cost_usd), ("success", text, dollars), "{shown}");
        assert_eq!(unreadable, 2, "{shown}");
    }
}

#[tokio::test]
async fn a_structured_answer_is_kept_whatever_its_form() {
    let last = br#"{"type":"result","subtype":"success","num_turns":2,"result":"x","structured_output":{"name":"Ada \ud83d"}}"#;
    let (_sandbox, binary) = prints(&[INIT, last]);
    let (run, _) = run(&binary, ArgMap::new().json_schema(json!({"type": "object"}))).await;
    assert_eq!(run.structured(), Some(&json!({"name": "Ada \u{fffd}"})));
}

#[tokio::test]
async fn each_mcp_server_that_a_run_lacks_is_told_in_order() {
    let statuses = ["connected", "failed", "pending", "needs-auth", "disabled", "news"];
    let servers: Vec<_> =
        statuses.iter().map(|status| json!({"name": format!("s-{status}"), "status": status})).collect();
    let init =
        json!({"type": "system", "subtype": "init", "session_id": "s", "mcp_servers": servers}).to_string();
    let last = br#"{"type":"result","subtype":"success","num_turns":1,"result":"x","total_cost_usd":0.5}"#;
    let (_sandbox, binary) = prints(&[init.as_bytes(), last]);
    let (run, _) = run(&binary, ArgMap::new()).await;
    let told = [
        "MCP server `s-failed` failed to start",
        "MCP server `s-pending` did not answer in time",
        "MCP server `s-needs-auth` needs a login",
        "MCP server `s-news` is not connected but `news`",
    ];
    assert_eq!((run.outcome_name(), run.warnings()), ("success", &told.map(str::to_owned)[..]));
}

fn tool_use(id: &str) -> Value {
    json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": id, "name": "Bash", "input": {}}]}})
}

#[tokio::test]
async fn a_silent_tool_is_no_run_that_hangs_and_has_a_limit_of_its_own() {
    let take = || {
        let mut take = Take::success("Done.");
        let at = take.steps.len() - 2;
        take.steps.splice(at..at, [Step::Print(tool_use("t1")), Step::SleepMs(4_000)]);
        take
    };
    let second = Duration::from_millis(1_500);
    let fake = FakeClaude::new([take()]);
    let (run, _) = run(&fake.path(), ArgMap::new().idle_timeout(second)).await;
    assert_eq!(run.outcome_name(), "success", "{run:?}");
    let record = fake.records().remove(0);
    assert!(format!("{record:?}").contains("--include-partial-messages"), "{record:?}");

    let fake = FakeClaude::new([take()]);
    let (run, _) = self::run(&fake.path(), ArgMap::new().tool_timeout(second)).await;
    let failure = run.failure().expect("it was stopped");
    assert_eq!(
        (failure.kind, &run.ending),
        (FailureKind::ToolTimeout, &Ending::Stopped(StopReason::ToolTimeout))
    );
    assert!(failure.message.contains("`Bash`"), "{failure:?}");
}

on_each_claude! {
    async work_that_ends_without_a_word_is_done, a_stop_hook_that_never_lets_go_is_named,
    an_mcp_server_that_is_missing_is_told_and_may_be_required, a_key_that_is_refused_ends_the_run_at_the_first_sign,
    the_cli_endures_a_hiccup_of_the_api, a_usage_limit_is_one_in_every_shape,
}

/// A stage for the real CLI.
struct Stage {
    claude: RealClaude,
    sandbox: Sandbox,
    repo: PathBuf,
    api: Api,
}

impl Stage {
    fn new(claude: RealClaude, replies: impl IntoIterator<Item = Reply>) -> Stage {
        let sandbox = Sandbox::new();
        let repo = sandbox.git_repo();
        Stage { claude, sandbox, repo, api: Api::start(replies) }
    }

    async fn run(&self, args: ArgMap, env: &[(&str, &str)], require_mcp: bool) -> Run {
        let mut builder = ClaudeCli::builder().binary(self.claude.path().to_str().expect("UTF-8"));
        for (name, value) in self.sandbox.env(&self.api.url()) {
            builder = builder.env(name, value);
        }
        for (name, value) in env {
            builder = builder.env(*name, *value);
        }
        let args = args.prompt("Do it.").working_dir(self.repo.to_str().expect("UTF-8"));
        let (report, options) = report(builder.build(), args, require_mcp).await;
        judge(report, &options)
    }
}

async fn work_that_ends_without_a_word_is_done(claude: RealClaude) {
    let tool = Reply::tool("Bash", json!({"command": "echo done >> paid.txt", "description": "Work"}));
    let stage = Stage::new(claude, [tool, Reply::text("")]);
    let run = stage.run(ArgMap::new().allowed_tools(["Bash"]), &[], false).await;
    assert_eq!((run.outcome_name(), run.text(), run.worked), ("success", "", true), "{run:?}");
}

async fn a_stop_hook_that_never_lets_go_is_named(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("done now")]);
    let hook =
        json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "echo not yet >&2; exit 2"}]}]}});
    std::fs::create_dir(stage.repo.join(".claude")).expect("a folder");
    std::fs::write(stage.repo.join(".claude/settings.json"), hook.to_string()).expect("a file");
    let run = stage.run(ArgMap::new(), &[], false).await;
    let failure = run.failure().expect("it failed");
    assert_eq!((failure.kind, run.text()), (FailureKind::StopHook, "done now"), "{run:?}");
    assert!(failure.message.contains("Stop hook") && failure.message.contains("not yet"), "{failure:?}");
}

async fn an_mcp_server_that_is_missing_is_told_and_may_be_required(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("I have no such tool.")]);
    let config = json!({"mcpServers": {"srv": {"command": "/bin/false"}}}).to_string();
    let args = || ArgMap::new().mcp_config([config.as_str()]);
    let told = "MCP server `srv` failed to start";
    let run = stage.run(args(), &[], false).await;
    assert_eq!((run.outcome_name(), run.warnings()), ("success", &[told.to_owned()][..]), "{run:?}");
    assert!(run.last_events[0].contains(told), "{run:?}");
    let paid = stage.api.requests().len();
    let run = stage.run(args(), &[], true).await;
    let failure = run.failure().expect("it was ended");
    assert_eq!((failure.kind, run.cost_usd), (FailureKind::McpUnavailable, Some(0.0)), "{run:?}");
    assert!(failure.message.contains(told), "{failure:?}");
    assert_eq!(stage.api.requests().len(), paid, "it was not paid for");
    // With all servers there it runs as any other, in its own session.
    let run = stage.run(ArgMap::new(), &[], true).await;
    assert_eq!((run.outcome_name(), run.text()), ("success", "I have no such tool."), "{run:?}");
}

/// The sandbox forbids the CLI to try again; here it may, as it does outside.
async fn a_key_that_is_refused_ends_the_run_at_the_first_sign(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::invalid_key()]);
    let run = stage.run(ArgMap::new(), &[("CLAUDE_CODE_MAX_RETRIES", "")], false).await;
    let failure = run.failure().expect("it was refused");
    assert_eq!((failure.kind, failure.api_status), (FailureKind::Authentication, Some(401)), "{run:?}");
    assert!(stage.api.requests().len() <= 2, "{}", stage.api.requests().len());
}

/// It rides out what it can by itself: one run, the work done once.
async fn the_cli_endures_a_hiccup_of_the_api(claude: RealClaude) {
    let tool = Reply::tool("Bash", json!({"command": "echo done >> paid.txt", "description": "Work"}));
    let broken = || Reply::error(500, "api_error", "Broken");
    let stage = Stage::new(claude, [tool, broken(), broken(), broken(), Reply::text("Done.")]);
    let args = ArgMap::new().allowed_tools(["Bash"]);
    let run = stage.run(args, &[("CLAUDE_CODE_MAX_RETRIES", "")], false).await;
    assert_eq!((run.outcome_name(), run.text()), ("success", "Done."), "{run:?}");
    let paid = std::fs::read_to_string(stage.repo.join("paid.txt")).expect("the work was done");
    assert_eq!(paid, "done\n");
}

/// With the API's own headers, with those that a gateway has changed, and with the words alone.
async fn a_usage_limit_is_one_in_every_shape(claude: RealClaude) {
    let now = Timestamp::now().as_second();
    let headers = |reset: Option<String>| {
        let reply = Reply::rate_limit()
            .header("anthropic-ratelimit-unified-status", "rejected")
            .header("anthropic-ratelimit-unified-representative-claim", "five_hour");
        reset.iter().fold(reply, |reply, value| reply.header("anthropic-ratelimit-unified-reset", value))
    };
    let says = |text: &str| Reply::error(429, "rate_limit_error", text);
    let soon = now + 3_600;
    let table = [
        ("seconds", headers(Some(soon.to_string())), Some(soon)),
        ("milliseconds", headers(Some((soon * 1_000).to_string())), Some(soon)),
        ("a float", headers(Some(format!("{soon}.5"))), Some(soon)),
        ("past", headers(Some((now - 90).to_string())), Some(now - 90)),
        ("null", headers(Some("null".to_owned())), None),
        ("no time", headers(None), None),
        ("the old text", says(&format!("Claude AI usage limit reached|{soon}")), Some(soon)),
    ];
    for (shape, reply, expected) in table {
        let stage = Stage::new(claude, [reply]);
        let token = [("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy"), ("ANTHROPIC_API_KEY", "")];
        let run = stage.run(ArgMap::new(), &token, false).await;
        let failure = run.failure().expect("it was refused");
        let resets_at = failure.resets_at.map(Timestamp::as_second);
        // The CLI rounds.
        let is_expected = match (resets_at, expected) {
            (Some(found), Some(expected)) => (expected..=expected + 1).contains(&found),
            (found, expected) => found == expected,
        };
        assert!(failure.kind == FailureKind::UsageLimit && is_expected, "{shape}: {failure:?}");
        assert_eq!(stage.api.requests().len(), 1, "{shape}: refused once");
    }
}
