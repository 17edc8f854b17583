//! A user's program: it opens a database pool, gives it to its handlers, and ends in the `claude-jobs` command.

use claude_jobs::notice::Notice;
use claude_jobs::prelude::*;
use claude_jobs::{Limits, cli};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

struct App {
    pool: SqlitePool,
}

/// Keeps what claude has said in a table of the program's own.
#[claude_worker(queue = "notes", state = App, prompt = "Say something about {subject}.")]
struct Note {
    subject: String,
}

impl Handler for Note {
    async fn handle_result(&self, said: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        let insert = sqlx::query("INSERT INTO notes (subject, said) VALUES (?, ?)");
        insert.bind(&self.subject).bind(said).execute(&cx.state::<App>().pool).await?;
        Ok(Verdict::Complete)
    }
}

fn main() -> std::process::ExitCode {
    cli::main_with(async |setup| {
        let url = std::env::var("PROGRAM_DATABASE").map_err(|error| format!("PROGRAM_DATABASE: {error}"))?;
        let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS notes (subject, said)").execute(&pool).await?;
        println!("the pool is open");
        let setup = setup.state(App { pool }).queue("notes", Limits::local(3));
        Ok(setup.on_notice(|notice| {
            if matches!(notice, Notice::Started { .. }) {
                println!("heard of a start");
            }
        }))
    })
}
