//! What an agent finds that looks for a way into the queue: nothing in its environment, its descriptors, or what the
//! system shows of the processes above it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use claude_jobs::claude::ClaudeCli;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::postgres::database;
use claude_jobs_tests::script::Take;

use super::{Machine, text};
use crate::workers::{Place, Plain};

const PASSWORD: &str = "c0rrect-h0rse";

/// Runs before the fake claude: writes down whatever it finds.
const LOOKS: &str = r#"#!/bin/bash
exec 2>/dev/null
env > HOME/seen.env
{
    ls -l /proc/self/fd /proc/$PPID/fd
    for process in /proc/[0-9]*; do
        tr '\0' '\n' < $process/environ
        tr '\0' '\n' < $process/cmdline
    done
    grep -r postgres HOME . --exclude='seen.*'
} > HOME/seen.rest
exec FAKE "$@"
"#;

/// An executable that looks round, leaves what it has found in that folder, and goes on as the fake claude.
fn looking(fake: &FakeClaude, path: &Path, finds: &Path) -> String {
    let (home, fake) = (finds.to_str().expect("UTF-8"), fake.path());
    let script = LOOKS.replace("HOME", home).replace("FAKE", fake.to_str().expect("UTF-8"));
    std::fs::write(path, script).expect("a file");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("it is ours");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn an_agent_finds_no_way_into_the_queue() {
    let fake = FakeClaude::new([Take::success("done")]);
    let mut machine = Machine::with_claude(&fake.path());
    let home = machine.env.iter().find(|(name, _)| name == "HOME").expect("it has one").1.clone();
    let agent = looking(&fake, &machine.sandbox.path().join("agent"), Path::new(&home));

    let database = database();
    let url = database.url().replacen("@localhost", &format!(":{PASSWORD}@localhost"), 1);
    assert!(url.contains(PASSWORD), "{url}");
    machine.set("CLAUDE_JOBS_DATABASE", &url);
    machine.set("DATABASE_URL", "postgres://app@localhost/app");
    machine.set("PGPASSWORD", PASSWORD);
    machine.set("APP_SETTINGS", &format!("queue={url};verbose"));
    machine.set("APP_NAME", "kept");
    let id = machine.enqueue("x", &[]);
    let arguments = ["work", "--drain", "--database", &url, "--binary", &agent];
    let worked = machine.run(&arguments);
    assert!(worked.status.success(), "{}", text(&worked.stderr));
    assert_eq!(machine.show(&id)["state"], "completed", "the program itself still finds its database");

    let seen = |name| {
        String::from_utf8_lossy(&std::fs::read(format!("{home}/{name}")).expect("a file")).into_owned()
    };
    let (environment, rest) = (seen("seen.env"), seen("seen.rest"));
    assert!(environment.contains("APP_NAME=kept\n"), "{environment}");
    for gone in ["CLAUDE_JOBS_DATABASE=", "DATABASE_URL=", "PGPASSWORD=", "APP_SETTINGS=", PASSWORD] {
        assert!(!environment.contains(gone), "{gone}: {environment}");
    }
    assert!(rest.contains("APP_NAME=kept"), "it has read the environment of the processes above it");
    let told = rest.lines().filter(|line| line.contains(PASSWORD)).collect::<Vec<_>>();
    assert!(told.is_empty(), "{told:?}");
}

/// A program's own runtime: what the program sets for its runs counts, whatever it holds.
#[tokio::test]
async fn a_program_says_which_variables_a_run_inherits() {
    let place = Place::new().await;
    let fake = FakeClaude::new([Take::success("done")]);
    let agent = looking(&fake, &place.folder.path().join("agent"), place.folder.path());
    Plain::new("x").insert(&place.queue).await.expect("valid");
    let claude = ClaudeCli::builder().binary(agent).env_only(["CARGO_PKG_NAME"]).env("ITS_OWN", place.url());
    place.drain(claude.build()).await;
    let environment = std::fs::read_to_string(place.folder.path().join("seen.env")).expect("a file");
    let has = |name: &str| environment.lines().any(|line| line.starts_with(&format!("{name}=")));
    for (name, is_there) in
        [("PATH", true), ("CARGO_PKG_NAME", true), ("CARGO_PKG_VERSION", false), ("ITS_OWN", true)]
    {
        assert_eq!(has(name), is_there, "{name}: {environment}");
    }
}
