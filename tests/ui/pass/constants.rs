//! Constants of every type that options take, in every place where a value may stand.

use std::time::Duration;

use claude_jobs::options::ArgMap;
use claude_jobs::prelude::*;

const TEXT: &str = "opus";
static LIST: [&str; 2] = ["Read", "Grep"];
const SLICE: &[&str] = &["Read"];
const SMALL: u8 = 1;
const MEDIUM: u16 = 2;
const LARGE: u32 = 3;
const SIGNED: i32 = 4;
const LONG: i64 = 5;
const UNSIGNED: u64 = 6;
const SIZE: usize = 7;
const MONEY: f64 = 2.5;
const ON: bool = true;
const PAUSE: Duration = Duration::from_millis(1_500);

struct Limits;

impl Limits {
    const TURNS: u32 = 10;

    const fn turns() -> u32 {
        Self::TURNS * 2
    }
}

const A: Args = args! { model = TEXT, allowed_tools = SLICE, max_turns = SMALL, max_budget_usd = MONEY };
const B: Args = args! { max_turns = MEDIUM, max_thinking_tokens = LARGE, strict_mcp_config = ON, ..A };
const C: Args = args! { ..B, max_turns = SIGNED, idle_timeout = PAUSE };
const D: Args = args! { max_turns = LONG, timeout = UNSIGNED, ..C };
const E: Args = args! { max_turns = SIZE, tools = ["Read", TEXT, concat!("Gr", "ep")], ..D };

#[claude_worker(
    queue = "q",
    prompt = concat!("Review ", "it."),
    args = { max_turns = Limits::turns(), timeout = 15 * 60, idle_timeout = 2 * 30, ..E },
    pinned_args = { max_budget_usd = if ON { 1.0f64 } else { MONEY }, disallowed_tools = &["Write"] },
)]
struct Review;

fn main() {
    let args = ArgMap::from(Review::DEFINITION.args);
    assert_eq!(args.get("max_turns"), Some(&20.into()));
    assert_eq!(args.get("timeout"), Some(&900.into()));
    assert_eq!(args.get("model"), Some(&"opus".into()));
    assert_eq!(args.get("tools").map(|tools| tools[2] == "Grep"), Some(true));
    assert_eq!(ArgMap::from(Review::DEFINITION.pinned_args).get("max_budget_usd"), Some(&1.0.into()));
    assert_eq!(ArgMap::from(C).get("idle_timeout"), Some(&1.5.into()));
    let _ = (LIST, Review::new());
}
