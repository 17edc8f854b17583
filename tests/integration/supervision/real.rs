//! Runs of the real CLI whose Bash tool and MCP server leave something running: the rows of its kill
//! matrix, and what becomes of its socket.

use std::path::PathBuf;

use claude_jobs::options::ArgMap;
use claude_jobs::outcome::Ending;
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::{Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{SOON, Start, processes};

on_each_claude! { async a_killed_cli_leaves_no_socket }

/// What the tool leaves in the background, as a shell command. Each is found by its odd number.
pub(super) const LEFT: [(&str, &str); 4] = [
    ("plain", "sleep 31536 >/dev/null 2>&1 &"),
    ("stubborn", "sh -c 'trap \"\" TERM INT HUP; while :; do sleep 31536; done' >/dev/null 2>&1 &"),
    ("daemon", "(setsid nohup sleep 31536 >/dev/null 2>&1 &)"),
    ("MCP server", ":"),
];

/// Greets the CLI, then minds neither the end of its input nor a signal.
const MCP_SERVER: &str = r#"#!/bin/sh
trap '' TERM INT HUP
greeting='"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"stubborn","version":"1"}'
while read -r line; do
    case "$line" in
    *'"server/discover"'*)
        echo '{"jsonrpc":"2.0","id":"server-discover-probe-1","error":{"code":-32601,"message":"unknown"}}' ;;
    *'"initialize"'*)
        echo '{"jsonrpc":"2.0","id":0,"result":{'"$greeting"'}}'
        break ;;
    esac
done
while :; do sleep 31536; done
"#;

/// A run of the real CLI whose tool leaves something.
pub(super) struct Scene {
    pub(super) claude: RealClaude,
    sandbox: Sandbox,
    /// Answers the CLI; gone with the scene.
    _api: Api,
    pub(super) env: Vec<(String, String)>,
    pub(super) args: ArgMap,
}

impl Scene {
    pub(super) fn new(claude: RealClaude, left: &str, is_answered: bool) -> Scene {
        let sandbox = Sandbox::new();
        let rest = if is_answered { "sleep 0.2; echo done" } else { "sleep 31537" };
        // In a file: the CLI would ask before it runs a command with `&`.
        let script = sandbox.path().join("left.sh");
        std::fs::write(&script, left).expect("the sandbox can be written");
        let started = sandbox.path().join("started");
        let command = format!("sh {}; touch {}; {rest}", script.display(), started.display());
        let input = json!({ "command": command, "description": "Leave something" });
        let api = Api::start([Reply::tool("Bash", input), Reply::text("Done.")]);
        let server = sandbox.path().join("server.sh");
        std::fs::write(&server, MCP_SERVER).expect("the sandbox can be written");
        let servers = json!({ "mcpServers": { "stubborn": { "command": "sh", "args": [server] } } });
        let folder = sandbox.folder("work");
        let args = ArgMap::new()
            .working_dir(folder.to_str().expect("UTF-8"))
            .allowed_tools(["Bash"])
            .mcp_config([servers.to_string()]);
        let env = sandbox.env(&api.url());
        Scene { claude, sandbox, _api: api, env, args }
    }

    /// Whether the Bash tool has left what it leaves.
    pub(super) fn tool_was_started(&self) -> bool {
        self.sandbox.path().join("started").exists()
    }

    /// The files that the CLI has left where sockets are.
    fn sockets(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.sandbox.path().join("tmp/cc-socks"));
        folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    pub(super) async fn tool_runs(marker: &str) {
        let is_there = || {
            processes(marker).iter().any(|id| {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                line.starts_with(b"sleep\x0031537")
            })
        };
        wait_until(SOON * 2, "the tool", is_there).await;
    }
}

async fn a_killed_cli_leaves_no_socket(claude: RealClaude) {
    let scene = Scene::new(claude, LEFT[0].1, false);
    let mut start = Start::of(claude.path());
    (start.env, start.args) = (scene.env.clone(), scene.args.clone());
    let running = start.go();
    Scene::tool_runs(&running.marker).await;
    let name = claude.path().into_os_string().into_encoded_bytes();
    let is_cli =
        |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(&name));
    let cli = processes(&running.marker).into_iter().find(is_cli).expect("it is alive");
    assert_eq!(scene.sockets().len(), 1);
    let cli = i32::try_from(cli).ok().and_then(Pid::from_raw).expect("ids are positive");
    kill_process(cli, Signal::KILL).expect("it is alive");
    assert_eq!(running.finish().await.ending, Ending::Signalled(Some(9)));
    assert_eq!(scene.sockets(), Vec::<PathBuf>::new());
}
