//! The `claude-jobs` command as the tests run it: the library's own `main`, nothing more.

fn main() -> std::process::ExitCode {
    claude_jobs::cli::main()
}
