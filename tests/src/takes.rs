//! Ready-made takes: what the real CLI printed, with the words that a test wants put in.
//!
//! Every shape comes from a recorded transcript, so a fake run looks like a real one.

use serde_json::{Value, json};

use crate::script::{Step, Take};
use crate::transcript::Transcript;

impl Take {
    /// A take of these steps.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Take {
        Take { steps: steps.into_iter().collect(), ..Take::default() }
    }

    /// A recorded transcript as it was: its events, its standard error, its exit code.
    pub fn replay(name: &str) -> Take {
        edited(name, |_| {})
    }

    /// The model says this and stops; the run is a success.
    pub fn success(text: &str) -> Take {
        edited("success", |event| match event["type"].as_str() {
            Some("assistant") => event["message"]["content"][0]["text"] = json!(text),
            Some("result") => event["result"] = json!(text),
            _ => {}
        })
    }

    /// The model hands in this object for `--json-schema`.
    pub fn structured(output: &Value) -> Take {
        edited("structured_output", |event| match event["type"].as_str() {
            Some("assistant") => event["message"]["content"][0]["input"] = output.clone(),
            Some("result") => {
                event["structured_output"] = output.clone();
                event["result"] = json!(output.to_string());
            }
            _ => {}
        })
    }

    /// The API answered with this HTTP status, or with none at all; `kind` is the CLI's own word for it
    /// (`server_error`, `rate_limit`, `authentication_failed`, …) and `text` what it tells the user.
    pub fn api_error(status: Option<u16>, kind: &str, text: &str) -> Take {
        edited("overloaded", |event| match event["type"].as_str() {
            Some("assistant") => {
                event["error"] = json!(kind);
                event["api_error_status"] = json!(status);
                event["message"]["content"][0]["text"] = json!(text);
            }
            Some("result") => {
                event["api_error_status"] = json!(status);
                event["result"] = json!(text);
            }
            _ => {}
        })
    }

    /// The subscription's five-hour limit is used up until this time (seconds since 1970).
    pub fn usage_limit(reset_epoch: u64) -> Take {
        let text = format!("You've hit your session limit · resets {} (UTC)", hour(reset_epoch));
        edited("usage_limit", |event| match event["type"].as_str() {
            Some("rate_limit_event") => event["rate_limit_info"]["resetsAt"] = json!(reset_epoch),
            Some("assistant") => {
                event["api_error_params"]["rate_limit_info"]["resetsAt"] = json!(reset_epoch);
                event["message"]["content"][0]["text"] = json!(text);
            }
            Some("result") => event["result"] = json!(text),
            _ => {}
        })
    }

    /// `--max-turns` was reached.
    pub fn max_turns() -> Take {
        Take::replay("max_turns")
    }

    /// `--max-budget-usd` was reached.
    pub fn max_budget() -> Take {
        Take::replay("max_budget")
    }

    /// The CLI refuses to start: this line on standard error, nothing on standard output, exit code 1.
    pub fn startup_failure(line: &str) -> Take {
        Take::of([Step::Stderr(format!("{line}\n")), Step::Exit(1)])
    }

    /// The run starts, says so, and then nothing more comes.
    pub fn hang() -> Take {
        let mut take = Take::replay("success");
        take.steps.truncate(1);
        take.steps.push(Step::Hang);
        take
    }

    /// Exit code 0 without a `result` event.
    pub fn no_result() -> Take {
        let mut take = Take::replay("success");
        take.steps.retain(|step| !is_result(step));
        take
    }

    /// The same, with this cost of the run in the result.
    #[must_use]
    pub fn costing(mut self, usd: f64) -> Take {
        for step in &mut self.steps {
            let Step::Print(event) = step else { continue };
            if event["type"] == "result" {
                set_cost(event, usd);
            }
        }
        self
    }

    /// The same, with a step before all others.
    #[must_use]
    pub fn first(mut self, step: Step) -> Take {
        self.steps.insert(0, step);
        self
    }

    /// The same, with a step after the first event, which announces the session.
    #[must_use]
    pub fn then(mut self, step: Step) -> Take {
        let announced = self.steps.iter().position(|step| matches!(step, Step::Print(_)));
        self.steps.insert(announced.map_or(0, |position| position + 1), step);
        self
    }
}

/// The take of a transcript after each event has been edited.
fn edited(name: &str, mut edit: impl FnMut(&mut Value)) -> Take {
    let transcript = Transcript::load(name);
    let mut steps = Vec::new();
    for mut event in transcript.events() {
        localise(&mut event);
        edit(&mut event);
        steps.push(Step::Print(event));
    }
    if !transcript.stderr.is_empty() {
        steps.push(Step::Stderr(transcript.stderr));
    }
    steps.push(match transcript.entry.exit {
        Some(code) => Step::Exit(code),
        None => Step::KillSelf(signal_hook::consts::SIGKILL),
    });
    Take::of(steps)
}

/// Makes a recorded event speak of the run in which it is played.
fn localise(event: &mut Value) {
    if event.get("session_id").is_some() {
        event["session_id"] = json!("$SESSION_ID");
    }
    for key in ["cwd", "original_cwd"] {
        if event.get(key).is_some() {
            event[key] = json!("$CWD");
        }
    }
}

fn is_result(step: &Step) -> bool {
    matches!(step, Step::Print(event) if event["type"] == "result")
}

fn set_cost(result: &mut Value, usd: f64) {
    result["total_cost_usd"] = json!(usd);
    for usage in ["modelUsage", "model_usage_since_last_result"] {
        let models = result[usage].as_object_mut().into_iter().flatten();
        for (_, model) in models {
            model["costUSD"] = json!(usd);
        }
    }
}

/// The time of day as the CLI prints it: `2:30am`, `12pm`.
fn hour(epoch: u64) -> String {
    let (hour, minute) = (epoch / 3600 % 24, epoch / 60 % 60);
    let half = if hour < 12 { "am" } else { "pm" };
    let hour = (hour + 11) % 12 + 1;
    if minute == 0 { format!("{hour}{half}") } else { format!("{hour}:{minute:02}{half}") }
}
