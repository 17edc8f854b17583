//! What the assertions say when they fail.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use claude_jobs::prelude::*;
use claude_jobs::testing::{self, Expected, HoldsJobs, assert_enqueued, drain, refute_enqueued, respond};
use serde_json::json;

use super::{Anything, Fix, Review};

/// What it panics with.
async fn panic_of(assertion: impl Future<Output = ()>) -> String {
    let mut assertion = std::pin::pin!(assertion);
    let panic = std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| assertion.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(|()| None),
            Err(panic) => std::task::Poll::Ready(Some(panic)),
        }
    });
    let panic = panic.await.expect("it fails");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a message")
}

async fn queue() -> Queue {
    let queue = testing::queue().await.expect("a queue");
    let findings = vec!["unwrap in main".to_owned()];
    Fix::new(87, findings)
        .priority(2)
        .schedule_in(Duration::from_secs(90))
        .insert(&queue)
        .await
        .expect("valid");
    Anything::new("summarize").model("opus").meta(meta()).insert(&queue).await.expect("valid");
    Review::new(3).insert(&queue).await.expect("valid");
    queue
}

fn meta() -> serde_json::Map<String, serde_json::Value> {
    json!({"source": {"webhook": 7}}).as_object().expect("an object").clone()
}

#[tokio::test]
async fn nothing_is_there() {
    let queue = testing::queue().await.expect("a queue");
    let text = panic_of(async { drop(assert_enqueued!(queue, Review { number: 87 }, queue = "x")) }).await;
    assert_eq!(
        text,
        "no job is enqueued like\n    kit.review { number: 87 }, queue = \"x\"\nthere is no job at all"
    );
}

#[tokio::test]
async fn each_difference_is_named_and_the_others_are_listed() {
    let queue = queue().await;
    let number = 88;
    let text = panic_of(async {
        assert_enqueued!(
            queue,
            Fix { number, findings: [1], .. },
            queue = "kit-reviews",
            priority = 1,
            tag = "urgent",
            scheduled_in = Duration::from_secs(60),
            max_attempts = 5,
            concurrency_key = "repo=a"
        );
    })
    .await;
    let expected = "no job is enqueued like
    kit.fix { number: 88, findings: [1] }, queue = \"kit-reviews\", priority = 1, tag = \"urgent\", \
    scheduled_in = 60s, max_attempts = 5, concurrency_key = Some(\"repo=a\")
there is
    job 1, kit.fix { findings: [\"unwrap in main\"], number: 87 }, in queue `kit-fixes`, scheduled in 90s, priority 2, tags [\"writes\"]
        number: 87, not 88
        findings: [\"unwrap in main\"], not [1]
        queue: \"kit-fixes\", not \"kit-reviews\"
        priority: 2, not 1
        tags: [\"writes\"], without \"urgent\"
        scheduled_in: 90s, not 60s
        max_attempts: 2, not 5
        concurrency_key: None, not Some(\"repo=a\")
    job 2, kit.plain, in queue `kit-plain`, available, prompt \"summarize\"
    job 3, kit.review { number: 3 }, in queue `kit-reviews`, available";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn options_and_notes_are_compared_by_what_is_asked_for() {
    let queue = queue().await;
    assert_enqueued!(
        queue,
        Anything,
        args = json!({"model": "opus"}),
        meta = json!({"source": {"webhook": 7.0}})
    );
    let text = panic_of(async {
        assert_enqueued!(
            queue,
            Anything {},
            args = json!({"model": "sonnet"}),
            meta = json!({"user": 1}),
            prompt = "x"
        );
    })
    .await;
    for difference in
        ["args.model: \"opus\", not \"sonnet\"", "meta.user: null, not 1", "prompt: \"summarize\", not \"x\""]
    {
        assert!(text.contains(difference), "{text}");
    }
}

#[tokio::test]
async fn a_job_that_does_not_wait_is_not_enqueued() {
    let queue = queue().await;
    drain(&queue, respond("No findings.")).await.expect("it runs");
    let text = panic_of(async { drop(assert_enqueued!(queue, Review { .. })) }).await;
    assert!(text.contains("\n        completed: it does not wait\n"), "{text}");
    assert!(!text.contains("kit.plain"), "of another worker, and over: {text}");
    assert_enqueued!(queue, Review, state = State::Completed, state = State::Cancelled);
    let text = panic_of(async { drop(assert_enqueued!(queue, Review, state = State::Cancelled)) }).await;
    assert!(text.contains("state: completed, not cancelled"), "{text}");
}

#[tokio::test]
async fn too_many_and_too_few_are_counted() {
    let queue = queue().await;
    for number in [4, 5] {
        Review::new(number).insert(&queue).await.expect("valid");
    }
    let text = panic_of(async { drop(assert_enqueued!(queue, Review, count = 2)) }).await;
    assert!(
        text.starts_with("3 and not 2 jobs are enqueued like\n    kit.review, count = 2\nthere is\n"),
        "{text}"
    );
    let text = panic_of(async { drop(assert_enqueued!(queue, Review { number: 9 }, count = 2)) }).await;
    assert!(text.starts_with("none of 2 jobs is enqueued like"), "{text}");
    let text = panic_of(async { drop(assert_enqueued!(queue, Review { number: 9 }, count = 0)) }).await;
    assert!(text.contains("write `refute_enqueued!`"), "{text}");
}

#[tokio::test]
async fn what_should_not_be_there_is_shown() {
    let queue = queue().await;
    refute_enqueued!(queue, Fix { number: 88, .. });
    refute_enqueued!(queue, Fix, matching = |fix| fix.findings.is_empty());
    let text =
        panic_of(async { refute_enqueued!(queue, Fix, matching = |fix| fix.findings.len() == 1) }).await;
    let expected = "a job is enqueued like\n    kit.fix, matching = …\nnamely\n    job 1, kit.fix { ";
    assert!(text.starts_with(expected), "{text}");
}

#[tokio::test]
async fn a_long_list_and_a_long_value_are_cut_short() {
    let queue = testing::queue().await.expect("a queue");
    for number in 0..25 {
        Fix::new(number, vec!["x".repeat(200)]).insert(&queue).await.expect("valid");
    }
    let text = panic_of(async { drop(assert_enqueued!(queue, Review)) }).await;
    assert!(text.ends_with("\n    … and 5 more") && text.lines().count() == 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 220), "{text}");
}

/// Through references, pointers and fields; and without the macros.
#[tokio::test]
async fn it_is_looked_for_wherever_the_queue_is() {
    struct App {
        queue: std::sync::Arc<Queue>,
    }
    let app = App { queue: std::sync::Arc::new(queue().await) };
    let reference = &app.queue;
    assert_enqueued!(app.queue, Review { number: 3 });
    assert_enqueued!(reference, Review { number: 3 });
    assert_enqueued!(&app.queue, super::Review,);
    let jobs = app.queue.held_jobs().await.expect("a read");
    let found =
        Expected::<Review>::new().field("number", 3).queue("kit-reviews").find(&jobs).expect("it is there");
    assert_eq!(found.len(), 1);
}
