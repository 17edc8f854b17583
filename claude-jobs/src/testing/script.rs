//! [`Script`] (answers, in turn) and [`ScriptedClaude`] (which script is for which request).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::answer::{Answer, Does};
use super::played::Played;
use crate::claude::{Claude, Request, RunnerError};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::outcome::{Ending, Report, StopReason};
use crate::worker::Worker;

/// What is answered to one request after the other. An [`Answer`] is a script that repeats it;
/// [`sequence`], [`answering`] and [`replay`](super::replay) make others.
#[derive(Clone)]
#[must_use = "a script does nothing until a scripted claude is given it"]
pub struct Script(Lines);

#[derive(Clone)]
enum Lines {
    /// One after the other, then the last for ever, if there is one.
    Fixed { once: Vec<Answer>, then: Option<Box<Answer>> },
    /// Whatever this says.
    Made(Arc<dyn Fn(&Request) -> Answer + Send + Sync>),
}

/// Answers one request after the other with these. Whoever asks more often gets no answer, which ends the
/// test, unless [`then`](Script::then) says what comes after.
///
/// ```standalone_crate
/// use claude_jobs::FailureKind::Overloaded;
/// use claude_jobs::testing::{fail, respond, sequence};
///
/// let script = sequence([fail(Overloaded), fail(Overloaded), respond("Done.")]);
/// let script = sequence([fail(Overloaded)]).then(respond("Done."));
/// ```
pub fn sequence(answers: impl IntoIterator<Item = Answer>) -> Script {
    Script(Lines::Fixed { once: answers.into_iter().collect(), then: None })
}

/// Answers each request with what this makes of it.
///
/// ```standalone_crate
/// use claude_jobs::testing::{answering, respond};
///
/// let echo = answering(|request| respond(format!("You said: {}", request.prompt())));
/// ```
pub fn answering(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Script {
    Script(Lines::Made(Arc::new(answer)))
}

impl Script {
    /// Answers all further requests with this.
    pub fn then(self, answer: Answer) -> Self {
        match self.0 {
            Lines::Fixed { once, .. } => Self(Lines::Fixed { once, then: Some(Box::new(answer)) }),
            Lines::Made(_) => self,
        }
    }

    /// The answer to a request that comes after so many; none when they are used up.
    fn answer(&self, request: &Request, before: usize) -> Option<Answer> {
        match &self.0 {
            Lines::Fixed { once, then } => once.get(before).or(then.as_deref()).cloned(),
            Lines::Made(answer) => Some(answer(request)),
        }
    }
}

impl From<Answer> for Script {
    fn from(answer: Answer) -> Self {
        Self(Lines::Fixed { once: Vec::new(), then: Some(Box::new(answer)) })
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Lines::Fixed { once, then } => {
                formatter.debug_struct("Script").field("once", once).field("then", then).finish()
            }
            Lines::Made(_) => formatter.write_str("Script(..)"),
        }
    }
}

/// A claude that follows a script and remembers what it was asked. Clones share their memory and where
/// they are in the script.
///
/// [`drain`](super::drain()) and [`perform`](super::perform()) take an [`Answer`] or a [`Script`] in its
/// place. Make one to answer by request, to look at the requests afterwards, or to give it to a
/// [`Runtime`](crate::Runtime).
///
/// ```standalone_crate
/// use claude_jobs::FailureKind::Overloaded;
/// use claude_jobs::prelude::*;
/// use claude_jobs::testing::{self, ScriptedClaude, drain, fail, for_worker, prompt_contains, respond};
///
/// #[claude_worker(queue = "reviews", prompt = "Review PR {number}.")]
/// struct Review { number: u64 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let claude = ScriptedClaude::new(respond("No findings."))
///     .when(prompt_contains("PR 13"), fail(Overloaded))
///     .when(|request| request.options.model.as_deref() == Some("opus"), respond("Expensive."));
/// let queue = testing::queue().await?;
/// Review::new(13).insert(&queue).await?;
/// Review::new(87).insert(&queue).await?;
/// let drained = drain(&queue, &claude).await?;
/// assert_eq!((drained.completed(), drained.retried()), (1, 1));
/// assert_eq!(claude.prompts(), ["Review PR 13.", "Review PR 87."]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ScriptedClaude {
    /// The first that matches and still has an answer counts.
    rules: Vec<Rule>,
    memory: Arc<Memory>,
    clock: Option<Clock>,
}

#[derive(Clone)]
struct Rule {
    matches: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
    script: Script,
    /// How many answers it has given.
    given: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Memory {
    requests: Mutex<Vec<Request>>,
    /// Why the last request had no answer.
    problem: Mutex<Option<String>>,
}

impl ScriptedClaude {
    /// Answers each request by this script.
    pub fn new(script: impl Into<Script>) -> Self {
        let otherwise = Rule::new(|_: &Request| true, script.into());
        Self { rules: vec![otherwise], memory: Arc::default(), clock: None }
    }

    /// Answers the requests for which this is true by a script of their own. What was said first counts,
    /// and the script of [`new`](Self::new) comes last. When a sequence is used up, the next script that
    /// matches takes over.
    #[must_use]
    pub fn when(
        mut self,
        matches: impl Fn(&Request) -> bool + Send + Sync + 'static,
        script: impl Into<Script>,
    ) -> Self {
        let last = self.rules.len() - 1;
        self.rules.insert(last, Rule::new(matches, script.into()));
        self
    }

    /// Moves this clock by the time that answers [take](Answer::takes), if it is one that is moved by hand;
    /// nobody waits then. `drain` and `perform` see to it themselves. Without a clock the time is waited
    /// for, on tokio's clock.
    #[must_use]
    pub fn on_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock).filter(Clock::is_manual);
        self
    }

    /// What it was asked, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.memory.requests).clone()
    }

    /// The prompts it was asked with, in order.
    pub fn prompts(&self) -> Vec<String> {
        lock(&self.memory.requests).iter().map(|request| request.prompt().to_owned()).collect()
    }

    /// How many requests there were so far.
    pub(super) fn count(&self) -> usize {
        lock(&self.memory.requests).len()
    }

    /// Says that a request had no answer, if one had none since this was last asked.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.memory.problem).take().map_or(Ok(()), |problem| Err(Error::Unscripted(problem)))
    }

    fn answer(&self, request: &Request) -> Option<Answer> {
        let mut matching = self.rules.iter().filter(|rule| (rule.matches)(request));
        matching.find_map(|rule| rule.script.answer(request, rule.given.fetch_add(1, Ordering::SeqCst)))
    }

    fn unscripted(&self, what: &str, request: &Request) -> RunnerError {
        let prompt: String = request.prompt().chars().take(200).collect();
        let worker = request.worker.as_deref().unwrap_or("no worker");
        let problem = format!("{what}: asked by {worker} with the prompt {prompt:?}");
        *lock(&self.memory.problem) = Some(problem.clone());
        problem.into()
    }

    /// Lets the time of a run pass, up to its end or to what ends it before.
    async fn pass(&self, takes: Duration, request: &Request) -> Result<Option<StopReason>, RunnerError> {
        let options = &request.options;
        let limits =
            [(options.timeout, StopReason::Timeout), (options.idle_timeout, StopReason::IdleTimeout)];
        let limits = limits.into_iter().filter_map(|(limit, reason)| Some((limit?, reason)));
        let limit = limits.min_by_key(|(limit, _)| *limit).filter(|(limit, _)| *limit < takes);
        if let Some(reason) = request.stop.reason() {
            return Ok(Some(reason));
        }
        let Some(clock) = &self.clock else {
            return Ok(wait(
                limit.map_or(takes, |(limit, _)| limit),
                limit.map(|(_, reason)| reason),
                request,
            )
            .await);
        };
        match limit {
            Some((limit, _)) => clock.advance(limit),
            None if takes == Duration::MAX => {
                let what = "the answer never comes, and the job has neither `timeout` nor `idle_timeout`";
                return Err(self.unscripted(what, request));
            }
            None => clock.advance(takes),
        }
        Ok(limit.map(|(_, reason)| reason))
    }
}

/// Waits until the run is stopped, or this long; the reason then is `at_end`.
async fn wait(time: Duration, at_end: Option<StopReason>, request: &Request) -> Option<StopReason> {
    if time.is_zero() {
        return at_end;
    }
    tokio::select! {
        reason = request.stop.fired() => Some(reason),
        () = tokio::time::sleep(time) => at_end,
    }
}

#[async_trait]
impl Claude for ScriptedClaude {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        lock(&self.memory.requests).push(request.clone());
        let Some(answer) = self.answer(&request) else {
            return Err(self.unscripted("claude was asked more often than the script has answers", &request));
        };
        if let Does::Ask(claude) = &answer.does {
            return claude.run(request).await;
        }
        if let Some(reason) = self.pass(answer.takes, &request).await? {
            let mut played = Played::begun(Ending::Stopped(reason));
            played.adjust(&answer.details, &request, false);
            return Ok(played.report(&request));
        }
        let now = self.clock.clone().unwrap_or_default().now();
        match answer.played(&request, now) {
            Played { ending: Ending::Custom(error), .. } => Err(error.into()),
            played => Ok(played.report(&request)),
        }
    }
}

impl Rule {
    fn new(matches: impl Fn(&Request) -> bool + Send + Sync + 'static, script: Script) -> Self {
        Self { matches: Arc::new(matches), script, given: Arc::default() }
    }
}

impl From<Answer> for ScriptedClaude {
    fn from(answer: Answer) -> Self {
        Self::new(answer)
    }
}

impl From<Script> for ScriptedClaude {
    fn from(script: Script) -> Self {
        Self::new(script)
    }
}

impl From<&ScriptedClaude> for ScriptedClaude {
    fn from(claude: &ScriptedClaude) -> Self {
        claude.clone()
    }
}

impl fmt::Debug for ScriptedClaude {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scripts: Vec<_> = self.rules.iter().map(|rule| &rule.script).collect();
        formatter.debug_struct("ScriptedClaude").field("scripts", &scripts).finish_non_exhaustive()
    }
}

/// For [`ScriptedClaude::when`]: the prompt, with all templates filled, contains this.
pub fn prompt_contains(text: impl Into<String>) -> impl Fn(&Request) -> bool + Send + Sync + 'static {
    let text = text.into();
    move |request| request.prompt().contains(&text)
}

/// For [`ScriptedClaude::when`]: a job of this worker asks.
pub fn for_worker<W: Worker>() -> impl Fn(&Request) -> bool + Send + Sync + 'static {
    |request| request.worker.as_deref() == Some(W::registration().definition.name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
