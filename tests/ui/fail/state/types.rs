use std::rc::Rc;

use claude_jobs::prelude::*;

struct App;

#[claude_worker(queue = "q", state = &App)]
struct Borrowed;

#[claude_worker(queue = "q", state = "App")]
struct Quoted;

#[claude_worker(queue = "q", state = Rc<App>)]
struct NotSent;

#[claude_worker(queue = "q", stat = App)]
struct Misspelt;

fn main() {}
