//! The `claude-jobs` command. All of it is in [`claude_jobs::cli`].

fn main() -> std::process::ExitCode {
    claude_jobs::cli::main()
}
