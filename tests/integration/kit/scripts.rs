//! Scripted claudes: which request gets which answer, what a run without an answer comes to, and a
//! scripted claude in a whole runtime.

use std::time::Duration;

use claude_jobs::Error;
use claude_jobs::FailureKind::{Overloaded, Timeout};
use claude_jobs::claude::Request;
use claude_jobs::notice::Notice;
use claude_jobs::prelude::*;
use claude_jobs::testing::{
    self, ScriptedClaude, answering, ask, assert_enqueued, drain, fail, hang, perform, prompt_contains,
    respond, sequence,
};
use serde_json::json;

use super::{Anything, Review};

#[tokio::test]
async fn who_asks_decides_what_is_answered() -> claude_jobs::Result<()> {
    let claude = ScriptedClaude::new(respond("otherwise"))
        .when(prompt_contains("PR 1"), sequence([respond("first")]))
        .when(|request| request.options.model.as_deref() == Some("opus"), respond("expensive"))
        .when(prompt_contains("PR 1"), respond("when the first is used up"));
    let ask = async |prompt: &str, model: &str| {
        let done = perform(Anything::new(prompt).model(model), &claude).await?;
        Ok::<_, Error>(done.run.text().to_owned())
    };
    assert_eq!(ask("PR 1", "opus").await?, "first");
    assert_eq!(ask("PR 1", "opus").await?, "expensive");
    assert_eq!(ask("PR 1", "sonnet").await?, "when the first is used up");
    assert_eq!(ask("PR 2", "sonnet").await?, "otherwise");
    assert_eq!(claude.requests()[0].options.model.as_deref(), Some("opus"));
    assert_eq!(claude.requests()[0].worker.as_deref(), Some("kit.plain"));
    Ok(())
}

#[tokio::test]
async fn an_answer_may_be_made_of_the_request() -> claude_jobs::Result<()> {
    let echo = || answering(|request: &Request| respond(request.prompt().to_uppercase()));
    assert_eq!(perform(Anything::new("hello"), echo()).await?.run.text(), "HELLO");
    let someone_else = ScriptedClaude::new(echo());
    assert_eq!(perform(Anything::new("hi"), ask(someone_else.clone())).await?.run.text(), "HI");
    assert_eq!(someone_else.prompts(), ["hi"]);
    Ok(())
}

#[tokio::test]
async fn a_request_without_an_answer_ends_the_test() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    for number in [1, 2] {
        Review::new(number).insert(&queue).await?;
    }
    let error = drain(&queue, sequence([respond("No findings.")])).await.expect_err("one answer for two");
    let expected = "claude was asked more often than the script has answers: asked by kit.review with the prompt \
                    \"Review PR 2.\"";
    assert_eq!(error.to_string(), expected);
    let error = perform(Review::new(1), sequence([])).await.expect_err("no answer");
    assert!(matches!(error, Error::Unscripted(_)), "{error}");
    let error = perform(Anything::new("x"), hang()).await.expect_err("nothing would ever end it");
    assert!(error.to_string().contains("neither `timeout` nor `idle_timeout`"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_drain_without_an_end_is_ended() -> claude_jobs::Result<()> {
    /// Enqueues itself.
    #[claude_worker(name = "kit.again", queue = "kit-again", prompt = "again")]
    struct Again;

    impl Handler for Again {
        async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
            cx.enqueue(Again::new());
            Ok(Verdict::Complete)
        }
    }

    let queue = testing::queue().await?;
    Again::new().insert(&queue).await?;
    let error = drain(&queue, respond("x")).at_most(20).await.expect_err("no end");
    assert!(
        error.to_string().starts_with("20 jobs have run and more are due, the next is job 21, kit.again: is"),
        "{error}"
    );
    assert_enqueued!(queue, Again, count = 1, state = State::Available);
    Ok(())
}

#[tokio::test]
async fn all_that_is_said_of_a_run_is_seen() -> claude_jobs::Result<()> {
    let tool = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Bash", "input": {}}]}});
    let answer = respond("Done.").cost(1.5).turns(7).tokens(100, 20).model("opus").session("s-1").event(tool);
    let run = perform(Anything::new("x"), answer).await?.run;
    assert_eq!((run.cost_usd, run.turns, run.model.as_deref()), (Some(1.5), Some(7), Some("opus")));
    assert_eq!(run.tokens.map(|tokens| (tokens.input, tokens.output)), Some((100, 20)));
    assert_eq!(run.session_id.as_deref(), Some("s-1"));
    let tools = run.last_events.iter().position(|event| event.contains("Bash"));
    let result = run.last_events.iter().position(|event| event.starts_with("result"));
    assert!(tools.is_some() && tools < result, "{:?}", run.last_events);

    let plain = perform(Anything::new("x").model("haiku"), respond("Done.")).await?;
    assert_eq!(
        (plain.run.cost_usd, plain.run.turns, plain.run.model.as_deref()),
        (Some(0.0), Some(1), Some("haiku"))
    );
    assert_eq!(plain.run.session_id, plain.requests[0].session_id, "the one that was asked for");
    let failed = perform(Anything::new("x"), fail(Overloaded).saying("API Error: 529 not now")).await?;
    assert_eq!(failed.failure().map(|failure| failure.message.as_str()), Some("API Error: 529 not now"));
    Ok(())
}

/// The whole runtime with several jobs at once: events are shown, a run that hangs is stopped by its timeout.
#[tokio::test]
async fn a_runtime_takes_a_scripted_claude() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    for number in 1..=5 {
        Anything::new(format!("job {number}")).timeout(Duration::from_millis(20)).insert(&queue).await?;
    }
    let claude = ScriptedClaude::new(respond("Done.")).when(prompt_contains("job 3"), hang());
    let (sender, events) = std::sync::mpsc::channel();
    Runtime::builder(queue.clone())
        .queue("kit-plain", 2)
        .claude(claude.clone())
        .on_notice(move |notice| {
            if let Notice::Progress { event, .. } = notice {
                sender.send(event["type"].to_string()).expect("the test listens");
            }
        })
        .drain()
        .await?;
    assert_eq!(claude.requests().len(), 5);
    let events: Vec<_> = events.try_iter().collect();
    assert_eq!(events.iter().filter(|kind| *kind == "\"result\"").count(), 4);
    let states = queue.counts().await?;
    let count = |state: State| states.iter().find(|count| count.state == state).map_or(0, |count| count.jobs);
    assert_eq!((count(State::Completed), count(State::Scheduled)), (4, 1), "{states:?}");
    let hung = perform(Anything::new("x").timeout(Duration::from_millis(20)), hang()).await?;
    assert_eq!(hung.failure().map(|failure| failure.kind), Some(Timeout));
    Ok(())
}
