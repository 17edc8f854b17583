//! The test kit, used as its users would: workers with handlers, follow-on jobs, retries by the clock,
//! uniqueness, typed failures. No claude, no network, no sleep.

mod messages;
mod recordings;
mod scripts;

use std::time::{Duration, Instant};

use claude_jobs::FailureKind::{self, MaxTurns, OutputMismatch, Overloaded, UsageLimit};
use claude_jobs::clock::Clock;
use claude_jobs::prelude::*;
use claude_jobs::testing::{
    self, ScriptedClaude, assert_enqueued, drain, elapse, fail, for_worker, hang, perform, refute_enqueued,
    respond, sequence, structured,
};
use serde_json::json;

/// Reviews a pull request; what it finds is fixed by another job.
#[claude_worker(
    name = "kit.review",
    queue = "kit-reviews",
    unique_period = 10,
    prompt = "Review PR {number}.",
    args = { model = "sonnet", timeout = 600 },
    pinned_args = { permission_mode = "plan" },
)]
#[derive(Debug)]
struct Review {
    number: u64,
}

impl Handler for Review {
    async fn handle_result(&self, text: String, run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        let cost = run.cost_usd;
        cx.meta().insert("cost".into(), json!(cost));
        Ok(match text.as_str() {
            "No findings." => Verdict::Complete,
            "CI is pending." => Verdict::snooze(Duration::from_secs(300), "CI is pending"),
            "I do not know." => Verdict::retry("it does not know"),
            _ => {
                cx.enqueue(Fix::new(self.number, text.lines().map(str::to_owned).collect()));
                Verdict::Complete
            }
        })
    }

    async fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        _: &Run,
        _: &mut Ctx,
    ) -> Result<Verdict> {
        Ok(match failure.kind {
            MaxTurns => Verdict::cancel("too large to review"),
            _ => verdict,
        })
    }
}

/// Fixes what a review has found, then asks for another review.
#[claude_worker(
    name = "kit.fix",
    queue = "kit-fixes",
    max_attempts = 2,
    tags = ["writes"],
    prompt = "PR {number}: fix {findings}"
)]
#[derive(Debug, PartialEq)]
struct Fix {
    number: u64,
    #[json]
    findings: Vec<String>,
}

impl Handler for Fix {
    async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.enqueue(Review::new(self.number).priority(3).schedule_in(Duration::from_secs(120)));
        Ok(Verdict::Complete)
    }
}

/// The job carries everything.
#[claude_worker(name = "kit.plain", queue = "kit-plain", max_attempts = 3)]
struct Anything;

/// Answers in a type.
#[claude_worker(name = "kit.sort", queue = "kit-sort", output = Sorted, prompt = "Sort the issue.")]
struct Sort;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
struct Sorted {
    label: String,
}

impl Handler for Sort {
    async fn handle_result(&self, sorted: Sorted, _: &Run, _: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::cancel(sorted.label))
    }
}

/// On the first of July only: every runtime of this program has the entry.
#[claude_worker(name = "kit.yearly", queue = "kit-yearly", cron = "30 4 1 7 *", prompt = "Sum up the year.")]
struct Yearly;

#[tokio::test]
async fn a_job_is_performed_without_a_database() -> claude_jobs::Result<()> {
    let done = perform(Review::new(87), respond("unwrap in main\nno tests").cost(0.75).turns(4)).await?;
    assert_eq!((&done.verdict, done.state, done.runs_again_in), (&Verdict::Complete, State::Completed, None));
    assert_eq!((done.run.cost_usd, done.run.turns), (Some(0.75), Some(4)));
    assert_eq!(done.meta["cost"], json!(0.75));
    assert_eq!(done.prompt(), "Review PR 87.");
    let options = done.options();
    assert_eq!((options.model.as_deref(), options.timeout), (Some("sonnet"), Some(Duration::from_secs(600))));
    assert_eq!(options.to_json()["permission_mode"], json!("plan"), "pinned");
    let findings = ["unwrap in main", "no tests"].map(str::to_owned).to_vec();
    assert_eq!(done.follow_ons_of::<Fix>(), [Fix { number: 87, findings }]);
    assert_enqueued!(done, Fix { number: 87, .. }, queue = "kit-fixes", tag = "writes", count = 1);
    refute_enqueued!(done, Review);
    Ok(())
}

#[tokio::test]
async fn the_handler_is_told_how_it_failed() -> claude_jobs::Result<()> {
    let table = [
        (MaxTurns, Verdict::cancel("too large to review"), State::Cancelled),
        (Overloaded, Verdict::retry("overloaded: API Error: 529 Overloaded"), State::Retryable),
    ];
    for (kind, verdict, state) in table {
        let done = perform(Review::new(87), fail(kind)).await?;
        assert_eq!((done.failure().map(|failure| failure.kind), &done.verdict), (Some(kind), &verdict));
        assert_eq!(done.state, state);
    }
    let last = perform(Review::new(87), fail(Overloaded)).attempt(3).await?;
    assert_eq!((last.state, last.runs_again_in), (State::Discarded, None));
    let first = perform(Review::new(87), fail(Overloaded)).await?;
    let wait = first.runs_again_in.expect("it is tried again").as_secs_f64();
    assert!((13.5..=16.5).contains(&wait), "15 s and what it is spread by: {wait}");
    Ok(())
}

/// Every kind that a run can end with, through classifier and handler to a verdict.
#[tokio::test]
async fn each_kind_of_failure_can_be_tried() -> claude_jobs::Result<()> {
    use FailureKind::{InvalidArgs, Lost, Shutdown, UnsupportedVersion};
    for kind in FailureKind::ALL {
        if [InvalidArgs, Lost, Shutdown, UnsupportedVersion].contains(kind) {
            continue;
        }
        let done = perform(Anything::new("x"), fail(*kind)).await?;
        assert_eq!(done.run.outcome_name(), kind.name());
        assert!(done.state != State::Completed || done.verdict == Verdict::Complete, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_inserted_is_not_performed() {
    let error = perform(Anything::new("x").max_turns(0), respond("y")).await.expect_err("no turns");
    assert!(error.to_string().starts_with("invalid args: `max_turns`"), "{error}");
    let error = perform(Anything::new("x"), respond("y")).args(ArgMap::new().max_turns(0)).await;
    assert!(error.expect_err("no turns").to_string().starts_with("invalid args: `max_turns`"));
    let done =
        perform(Anything::new("x"), respond("y")).args(ArgMap::new().model("opus")).await.expect("fine");
    assert_eq!(done.options().model.as_deref(), Some("opus"), "the runtime's own layer");
}

#[tokio::test]
async fn typed_answers_are_typed_and_corrected_once() -> claude_jobs::Result<()> {
    let done = perform(Sort::new(), structured(json!({"label": "bug"}))).await?;
    assert_eq!((done.verdict, done.requests.len()), (Verdict::cancel("bug"), 1));
    let script =
        sequence([structured(json!({"label": 3})).cost(0.5), structured(json!({"label": "bug"})).cost(0.25)]);
    let done = perform(Sort::new(), script).await?;
    assert_eq!((done.verdict, done.requests.len()), (Verdict::cancel("bug"), 2));
    assert_eq!(done.run.cost_usd, Some(0.75));
    let done = perform(Sort::new(), respond("a bug, I think")).await?;
    assert_eq!(done.failure().map(|failure| failure.kind), Some(OutputMismatch));
    Ok(())
}

#[tokio::test]
async fn a_queue_is_drained_with_what_follows() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    Review::new(87).insert(&queue).await?;
    let claude = ScriptedClaude::new(sequence([respond("unwrap in main"), respond("No findings.")]))
        .when(for_worker::<Fix>(), sequence([fail(Overloaded), respond("Done.").cost(0.5)]));
    let drained = drain(&queue, &claude).await?;
    assert_eq!((drained.len(), drained.completed(), drained.retried()), (2, 1, 1), "{drained}");
    refute_enqueued!(queue, Review);
    assert_enqueued!(queue, Fix { number: 87, findings: ["unwrap in main"] }, state = State::Retryable);

    let drained = drain(&queue, &claude).through_time().await?;
    assert_eq!(
        drained.to_string(),
        "job 2, kit.fix { findings: [\"unwrap in main\"], number: 87 }: success, completed\n\
        job 3, kit.review { number: 87 }: success, completed"
    );
    assert_eq!((drained.cost_usd(), drained.of::<Review>()[0].prompt()), (0.5, "Review PR 87."));
    assert_eq!(drained.runs[0].fields::<Fix>().number, 87);
    assert!(drain(&queue, &claude).await?.is_empty());
    let asked = [
        "Review PR 87.",
        "PR 87: fix [\"unwrap in main\"]",
        "PR 87: fix [\"unwrap in main\"]",
        "Review PR 87.",
    ];
    assert_eq!(claude.prompts(), asked);
    Ok(())
}

#[tokio::test]
async fn time_passes_only_when_the_test_says_so() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    Review::new(1).schedule_in(Duration::from_secs(3_600)).insert(&queue).await?;
    assert_enqueued!(queue, Review, scheduled_in = Duration::from_secs(3_600), state = State::Scheduled);
    assert!(drain(&queue, respond("No findings.")).await?.is_empty());
    queue.clock().advance(Duration::from_secs(3_599));
    assert!(drain(&queue, respond("No findings.")).await?.is_empty());
    queue.clock().advance(Duration::from_secs(1));
    let drained = drain(&queue, respond("CI is pending.")).await?;
    assert_eq!((drained.snoozed(), drained.runs[0].job.snoozes), (1, 1));
    assert_enqueued!(queue, Review { number: 1 }, scheduled_in = Duration::from_secs(300));
    // A snooze in place of an attempt, three times; then the attempts.
    let drained = drain(&queue, respond("CI is pending.")).through_time().await?;
    assert_eq!((drained.snoozed(), drained.retried(), drained.discarded()), (2, 2, 1), "{drained}");
    Ok(())
}

#[tokio::test]
async fn a_duplicate_is_not_enqueued_until_its_time_is_over() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    for number in [87, 87, 88] {
        Review::new(number).insert(&queue).await?;
    }
    assert_enqueued!(queue, Review, count = 2);
    assert_enqueued!(queue, Review { number: 87 }, count = 1);
    queue.clock().advance(Duration::from_secs(11));
    Review::new(87).insert(&queue).await?;
    assert_enqueued!(queue, Review { number: 87 }, count = 2);
    Ok(())
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_by_the_clock() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    Review::new(87).insert(&queue).await?;
    let started = (queue.clock().now(), Instant::now());
    let drained = drain(&queue, respond("No findings.").takes(Duration::from_secs(599))).await?;
    assert_eq!((drained.completed(), drained.runs[0].run.duration()), (1, Duration::from_secs(599)));
    Review::new(88).insert(&queue).await?;
    let drained = drain(&queue, hang()).await?;
    let run = &drained.runs[0].run;
    assert_eq!(
        (run.outcome.as_str(), run.cost_usd, run.duration()),
        ("timeout", None, Duration::from_secs(600))
    );
    assert_eq!(queue.clock().now().duration_since(started.0).as_secs(), 1_199);
    assert!(started.1.elapsed() < Duration::from_secs(60), "nobody waits");
    Ok(())
}

#[tokio::test]
async fn a_usage_limit_stops_the_others_until_it_is_lifted() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    for number in [1, 2] {
        Review::new(number).insert(&queue).await?;
    }
    let drained = drain(&queue, fail(UsageLimit)).await?;
    assert_eq!((drained.len(), drained.snoozed()), (1, 1), "no stampede: {drained}");
    queue.clock().advance(Duration::from_secs(2 * 3_600));
    assert_eq!(drain(&queue, respond("No findings.")).await?.completed(), 2);
    Ok(())
}

#[tokio::test]
async fn jobs_come_by_priority_then_time_then_number() -> claude_jobs::Result<()> {
    let queue = testing::queue().await?;
    for (prompt, priority) in [("third", 5), ("first", 0), ("fourth", 5), ("second", 1)] {
        Anything::new(prompt).priority(priority).insert(&queue).await?;
    }
    Anything::new("elsewhere").queue("kit-other").insert(&queue).await?;
    let drained = drain(&queue, respond("Done.")).only("kit-plain").await?;
    let prompts: Vec<_> = drained.runs.iter().map(|run| run.prompt().to_owned()).collect();
    assert_eq!(prompts, ["first", "second", "third", "fourth"]);
    assert_enqueued!(queue, Anything, queue = "kit-other", prompt = "elsewhere");
    queue.pause("kit-other").await?;
    assert!(drain(&queue, respond("Done.")).through_time().await?.is_empty(), "it is paused");
    Ok(())
}

#[tokio::test]
async fn schedules_are_served_while_time_elapses() -> claude_jobs::Result<()> {
    let clock = Clock::manual("2027-06-30T12:00:00Z".parse().expect("a moment"));
    let queue = testing::queue().await?.with_clock(clock);
    elapse(&queue, Duration::from_secs(16 * 3_600)).await?;
    refute_enqueued!(queue, Yearly);
    elapse(&queue, Duration::from_secs(16 * 3_600)).await?;
    let job = assert_enqueued!(
        queue,
        Yearly,
        count = 1,
        meta = json!({"cron": {"entry": "kit.yearly", "due": "2027-07-01T04:30:00Z"}})
    );
    assert_eq!(job.inserted_at.to_string(), "2027-07-01T04:30:00Z");
    assert_eq!(queue.clock().now().to_string(), "2027-07-01T20:00:00Z");
    let queue = queue.with_clock(Clock::system());
    let error = elapse(&queue, Duration::from_secs(1)).await.expect_err("it cannot be moved");
    assert!(error.to_string().contains("with_clock"), "{error}");
    Ok(())
}

#[tokio::test]
async fn queues_of_tests_have_nothing_to_do_with_each_other() -> claude_jobs::Result<()> {
    let (one, other) = (testing::queue().await?, testing::queue().await?);
    Review::new(87).insert(&one).await?;
    one.clock().advance(Duration::from_secs(3_600));
    refute_enqueued!(other, Review);
    assert!(other.clock().now() < one.clock().now());
    Ok(())
}

/// What a user's test costs. The figure is printed (`--nocapture`), not asserted: the machine may be busy.
#[tokio::test]
async fn what_a_test_costs() -> claude_jobs::Result<()> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let queue = testing::queue().await?;
        let ready = started.elapsed();
        Review::new(87).insert(&queue).await?;
        assert_enqueued!(queue, Review { number: 87 });
        let script = sequence([
            respond("unwrap in main"),
            fail(Overloaded),
            respond("Done."),
            respond("No findings."),
        ]);
        assert_eq!(drain(&queue, script).through_time().await?.completed(), 3);
        refute_enqueued!(queue, Review);
        drop(queue);
        times.push((started.elapsed(), ready));
    }
    times.sort();
    let (median, ready) = times[times.len() / 2];
    let worst = times.last().expect("some").0;
    println!(
        "a test with a queue, an insert and four runs: median {median:?} (the queue {ready:?}), worst {worst:?}"
    );
    Ok(())
}
