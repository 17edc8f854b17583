//! Where the helper cannot be executed, and without a supervisor, as on systems that are not Linux: what the
//! process group alone gives.

use claude_jobs::claude::{ClaudeCli, Supervision};
use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::alone;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::script::{Child, Step, Take};

use super::real::{LEFT, Scene};
use super::{LIMIT, Start, gone, processes};

on_each_claude! { async a_stop_ends_the_cli_its_tool_and_its_mcp_server }

/// The host is its own supervisor then. Otherwise such fronts are tested with `Made::OfTheHost`.
#[test]
fn where_nothing_in_memory_is_executed() {
    if alone::inside().is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
        return runtime.block_on(a_run_of_a_host_that_is_its_own_supervisor());
    }
    let test = "supervision::fallback::where_nothing_in_memory_is_executed";
    if !alone::run_without_programs_in_memory(test) {
        eprintln!("nobody may forbid it here: the unit tests of `supervisor::program` stand in");
    }
}

async fn a_run_of_a_host_that_is_its_own_supervisor() {
    let Supervision::ThisProgram(why) = ClaudeCli::default().supervision() else {
        panic!("{:?}", ClaudeCli::default().supervision());
    };
    assert!(why.contains("memory: "), "{why}");
    let daemon = Child { daemonise: true, ..Child::default() };
    let fake = FakeClaude::new([Take::success("Done.").then(Step::ForkChild(daemon))]);
    let (report, marker) = Start::of(fake.path()).run().await;
    assert_eq!(report.ending, Ending::Exited(0));
    assert_eq!(processes(&marker), [0; 0]);
}

async fn a_stop_ends_the_cli_its_tool_and_its_mcp_server(claude: RealClaude) {
    for is_dropped in [false, true] {
        let (_, nothing) = LEFT[3];
        let scene = Scene::new(claude, nothing, false);
        let mut start = Start::of(claude.path()).by_process_group();
        (start.env, start.args) = (scene.env.clone(), scene.args.clone());
        start.grace = std::time::Duration::from_secs(3);
        let running = start.go();
        let marker = running.marker.clone();
        Scene::tool_runs(&marker).await;
        if is_dropped {
            running.report.abort();
        } else {
            running.stop.fire(StopReason::Cancel);
            let report = running.finish().await;
            assert_eq!(report.ending, Ending::Stopped(StopReason::Cancel));
            assert!(report.session_id.is_some(), "what was seen is kept");
        }
        gone(&marker, LIMIT).await;
    }
}

#[tokio::test]
async fn a_stubborn_cli_is_killed_after_the_grace() {
    let fake = FakeClaude::new([Take::hang().first(Step::IgnoreSigterm)]);
    let running = Start::of(fake.path()).by_process_group().go();
    let marker = running.marker.clone();
    running.started().await;
    assert_eq!(processes(&marker).len(), 1, "the CLI and nobody else");
    running.stop.fire(StopReason::Timeout);
    assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Timeout));
    gone(&marker, LIMIT).await;
}

#[test]
fn it_says_so() {
    let runner = ClaudeCli::builder().by_process_group().build();
    assert!(matches!(runner.supervision(), Supervision::ProcessGroup(why) if why == "configured so"));
}
