//! A handler for a struct that is no worker.

use claude_jobs::prelude::*;

struct Review;

impl Handler for Review {}

fn main() {}
