//! Fields that no text can show.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "Labels: {labels}")]
struct List {
    labels: Vec<String>,
}

#[claude_worker(queue = "q", prompt = "Go.", args = { worktree = "issue-{pair}" })]
struct InOption {
    pair: (u32, u32),
}

#[claude_worker(queue = "q", prompt = "Go {pair.first}")]
struct Part {
    pair: (u32, u32),
}

fn main() {
    let _ = (List::new(vec![]), InOption::new((1, 2)), Part::new((1, 2)));
}
