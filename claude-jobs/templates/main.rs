//! The `claude-jobs` command with this program's workers: `help` lists what it can do.

mod workers;

fn main() -> std::process::ExitCode {
    claude_jobs::cli::main()
}
