//! Derives below the attribute: serde's, in part or whole, by any path, and others.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Others {
    number: u64,
}

#[claude_worker(queue = "q")]
#[derive(serde::Serialize)]
struct Half {
    number: u64,
}

#[claude_worker(queue = "q")]
#[derive(serde::Serialize, serde::Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Both {
    number: u64,
}

#[derive(Clone, Debug)]
#[claude_worker(queue = "q")]
struct Above {
    number: u64,
}

fn main() {
    let _ = (Others::default().clone(), Others::new(1, "x"), Half::new(1, "x"), Both::new(1, "x"));
    let _ = Above::new(1, "x").into_new_job();
}
