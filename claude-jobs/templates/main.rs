//! The `claude-jobs` command with this program's workers: `help` lists what it can do.

use workers::App;

mod workers;

fn main() -> std::process::ExitCode {
    // Only `work` does this, before it takes a job: what fails here costs none.
    claude_jobs::cli::main_with(async |setup| {
        let url = std::env::var("APP_DATABASE").unwrap_or_else(|_| "sqlite://app.db".to_owned());
        Ok(setup.state(App::open(&url).await?))
    })
}
