//! The `claude-jobs` command.
fn main() {}
