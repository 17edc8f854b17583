//! What the workers do, without claude, network or sleep.

use claude_jobs::FailureKind::MaxTurns;
use claude_jobs::options::Worktree;
use claude_jobs::testing::{self, assert_enqueued, drain, fail, perform, respond};

use super::*;

fn job() -> claude_jobs::JobBuilder<IssueWork> {
    IssueWork::new(
        87,
        "It breaks".into(),
        "Steps to reproduce: start it.".into(),
    )
}

#[tokio::test]
async fn an_issue_has_a_worktree_of_its_own() -> Result<()> {
    let app = App::in_memory().await?;
    let done = perform(job(), respond("Fixed.").cost(0.4))
        .state(app.clone())
        .await?;
    assert!(
        done.prompt().starts_with("Implement issue 87"),
        "{}",
        done.prompt()
    );
    assert_eq!(
        done.options().worktree,
        Some(Worktree::Named("issue-87".into()))
    );
    assert_eq!(
        (done.verdict, done.run.cost_usd),
        (Verdict::Complete, Some(0.4))
    );
    assert_eq!(app.answer(87).await?.as_deref(), Some("Fixed."));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_cancelled_with_the_reason() -> Result<()> {
    let app = App::in_memory().await?;
    let done = perform(job(), respond("BLOCKED: there is no such file"))
        .state(app.clone())
        .await?;
    assert_eq!(done.verdict, Verdict::cancel("there is no such file"));
    Ok(())
}

#[tokio::test]
async fn an_issue_that_takes_too_long_is_not_tried_again() -> Result<()> {
    let queue = testing::queue().await?;
    job().insert(&queue).await?;
    assert_enqueued!(queue, IssueWork { number: 87, .. }, queue = "issues");

    let app = App::in_memory().await?;
    let drained = drain(&queue, fail(MaxTurns))
        .state(app.clone())
        .through_time()
        .await?;
    assert_eq!(
        (drained.cancelled(), drained.retried()),
        (1, 0),
        "{drained}"
    );
    assert_eq!(app.answer(87).await?, None);
    Ok(())
}
