//! The kill matrix with the real CLI: what its Bash tool and its MCP server leave running × how the run
//! ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_jobs::options::ArgMap;
use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::host::{Host, Order};
use claude_jobs_tests::real_claude::real_claude;
use claude_jobs_tests::sandbox::{Sandbox, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{LIMIT, SOON, Start, gone, new_marker, processes};

const LEASE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Normal,
    IdleTimeout,
    Cancel,
    WaiterDropped,
    HostKilled,
    HostStopped,
}

const ENDS: [End; 6] =
    [End::Normal, End::IdleTimeout, End::Cancel, End::WaiterDropped, End::HostKilled, End::HostStopped];

/// What the tool leaves in the background, as a shell command. Each is found by its odd number.
const LEFT: [(&str, &str); 4] = [
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
struct Scene {
    sandbox: Sandbox,
    /// Answers the CLI; gone with the scene.
    _api: Api,
    env: Vec<(String, String)>,
    args: ArgMap,
}

impl Scene {
    fn new(left: &str, end: End) -> Scene {
        let sandbox = Sandbox::new();
        let rest = if end == End::Normal { "sleep 0.2; echo done" } else { "sleep 31537" };
        // In a file: the CLI would ask before it runs a command with `&`.
        let script = sandbox.path().join("left.sh");
        std::fs::write(&script, left).expect("the sandbox can be written");
        let command = format!("sh {}; {rest}", script.display());
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
        Scene { sandbox, _api: api, env, args }
    }

    /// The files that the CLI has left where sockets are.
    fn sockets(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.sandbox.path().join("tmp/cc-socks"));
        folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    async fn tool_runs(marker: &str) {
        let is_there = || {
            processes(marker).iter().any(|id| {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                line.starts_with(b"sleep\x0031537")
            })
        };
        wait_until(SOON * 2, "the tool", is_there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_end_leaves_a_process() {
    println!("{:14}{}", "real CLI", ENDS.map(|end| format!("{:>15}", format!("{end:?}"))).concat());
    for (name, left) in LEFT {
        let mut row = format!("{name:14}");
        for pair in ENDS.chunks(3) {
            let cells = pair.iter().map(|end| tokio::spawn(cell(*end, left)));
            for cell in cells.collect::<Vec<_>>() {
                row += &format!("{:>12} ms", cell.await.expect("the cell holds").as_millis());
            }
        }
        println!("{row}");
    }
}

async fn cell(end: End, left: &str) -> Duration {
    let scene = Scene::new(left, end);
    let took = match end {
        End::HostKilled | End::HostStopped => with_a_host(end, &scene).await,
        _ => in_this_process(end, &scene).await,
    };
    assert_eq!(scene.sockets(), Vec::<PathBuf>::new(), "{end:?}");
    took
}

#[tokio::test]
async fn a_killed_cli_leaves_no_socket() {
    let scene = Scene::new(LEFT[0].1, End::Cancel);
    let mut start = Start::of(real_claude());
    (start.env, start.args) = (scene.env.clone(), scene.args.clone());
    let running = start.go();
    Scene::tool_runs(&running.marker).await;
    let name = real_claude().into_os_string().into_encoded_bytes();
    let is_cli =
        |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(&name));
    let cli = processes(&running.marker).into_iter().find(is_cli).expect("it is alive");
    assert_eq!(scene.sockets().len(), 1);
    let cli = i32::try_from(cli).ok().and_then(Pid::from_raw).expect("ids are positive");
    kill_process(cli, Signal::KILL).expect("it is alive");
    assert_eq!(running.finish().await.ending, Ending::Signalled(Some(9)));
    assert_eq!(scene.sockets(), Vec::<PathBuf>::new());
}

async fn in_this_process(end: End, scene: &Scene) -> Duration {
    let mut start = Start::of(real_claude());
    (start.env, start.args) = (scene.env.clone(), scene.args.clone());
    start.grace = Duration::from_secs(3);
    start.idle = (end == End::IdleTimeout).then_some(Duration::from_secs(4));
    let running = start.go();
    let marker = running.marker.clone();
    if end == End::Normal {
        let cause = Instant::now();
        let report = running.finish().await;
        assert_eq!(report.ending, Ending::Exited(0));
        assert_eq!(report.result.expect("it has one")["result"], "Done.");
        assert_eq!(processes(&marker), [0; 0]);
        return cause.elapsed();
    }
    Scene::tool_runs(&marker).await;
    let cause = Instant::now();
    let expected = match end {
        End::Cancel => {
            running.stop.fire(StopReason::Cancel);
            StopReason::Cancel
        }
        End::IdleTimeout => StopReason::IdleTimeout,
        _ => {
            running.report.abort();
            gone(&marker, LIMIT).await;
            return cause.elapsed();
        }
    };
    let report = running.finish().await;
    assert_eq!(report.ending, Ending::Stopped(expected));
    assert!(report.started && report.session_id.is_some(), "what was seen is kept");
    assert_eq!(processes(&marker), [0; 0]);
    cause.elapsed()
}

async fn with_a_host(end: End, scene: &Scene) -> Duration {
    let args = serde_json::to_value(&scene.args).expect("args are plain data");
    let order = Order {
        binary: real_claude().display().to_string(),
        env: scene.env.clone(),
        marker: new_marker(),
        args: args.as_object().cloned().expect("args are an object"),
        prompt: "Leave something.".to_owned(),
        grace_ms: 3000,
        lease_ms: (end == End::HostStopped).then_some(LEASE.as_millis() as u64),
        ..Order::default()
    };
    let mut host = Host::start(&order);
    host.wait_for_start();
    Scene::tool_runs(&order.marker).await;
    let cause = Instant::now();
    let (signal, limit) = match end {
        End::HostKilled => (Signal::KILL, LIMIT),
        _ => (Signal::STOP, LEASE),
    };
    host.signal(signal);
    gone(&order.marker, limit).await;
    let took = cause.elapsed();
    if end == End::HostStopped {
        host.signal(Signal::CONT);
        assert_eq!(host.finish().ending, "stopped: shutdown");
    }
    took
}
