//! A working directory that does not answer: it holds up its own run only, and that can be stopped.

use std::time::Duration;

use claude_jobs::Inserted;
use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::hanging::HangingFolder;
use claude_jobs_tests::script::Take;

use crate::workers::{Place, Plain};

async fn until(place: &Place, job: &Inserted, state: State) {
    for _ in 0..1_000 {
        if place.job(job).await.state == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not {state}: {:?}", place.job(job).await);
}

#[tokio::test]
async fn a_folder_that_does_not_answer_holds_up_its_own_run_only() {
    let Some(folder) = HangingFolder::new() else {
        return eprintln!("nothing can be mounted here: the tests of `claude/lookup.rs` stand in");
    };
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    let stuck = Plain::new("x").working_dir(folder.path()).insert(&place.queue).await.expect("valid");
    let claude = ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8")).build();
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 4).claude(claude).run_until(async {
        until(&place, &stuck, State::Executing).await;
        let other = Plain::new("y").insert(&place.queue).await.expect("valid");
        until(&place, &other, State::Completed).await;
        assert_eq!(place.job(&stuck).await.state, State::Executing);
        place.queue.cancel(stuck.id()).await.expect("it runs");
        until(&place, &stuck, State::Cancelled).await;
    });
    runtime.await.expect("it runs");
    let runs = place.queue.details(stuck.id()).await.expect("there").runs;
    assert_eq!((runs.len(), runs[0].cost_usd, runs[0].ending.as_str()), (1, Some(0.0), "stopped: cancel"));
}
