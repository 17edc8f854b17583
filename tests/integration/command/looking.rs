//! Commands that only look make no database and change none.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::postgres::database;
use claude_jobs_tests::script::Take;

use super::{Machine, text};

const LOOKS: [&[&str]; 6] = [
    &["jobs", "list"],
    &["jobs", "show", "1"],
    &["jobs", "cancel", "1"],
    &["queues", "list"],
    &["queues", "pause", "default"],
    &["tail"],
];

#[test]
fn a_look_makes_no_file() {
    let fake = FakeClaude::new([Take::success("done")]);
    let mut machine = Machine::with_claude(&fake.path());
    for (variable, url, named) in [
        ("CLAUDE_JOBS_DATABASE", "sqlite://other.db", "`sqlite://other.db` (from $CLAUDE_JOBS_DATABASE)"),
        ("DATABASE_URL", "sqlite://app.db", "`sqlite://app.db` (from $DATABASE_URL)"),
        ("NOTHING", "", "`sqlite://claude-jobs.db`; name another one with `--database URL`"),
    ] {
        machine.unset("CLAUDE_JOBS_DATABASE");
        machine.unset("DATABASE_URL");
        machine.set(variable, url);
        let before = files(&machine);
        for look in LOOKS {
            let output = machine.run(look);
            let said = text(&output.stderr);
            assert!(said.contains(&format!("no such database: {named}")), "{look:?}: {said}");
            assert_eq!((output.status.code(), files(&machine)), (Some(1), before.clone()), "{look:?}");
        }
    }
}

/// Each command would have a database of its own, gone when it ends, or none at all.
#[test]
fn a_url_without_a_file_is_refused_by_every_command() {
    let fake = FakeClaude::new([Take::success("done")]);
    let mut machine = Machine::with_claude(&fake.path());
    machine.unset("CLAUDE_JOBS_DATABASE");
    let before = files(&machine);
    let others: [&[&str]; 3] = [&["enqueue", "hello"], &["work", "--drain"], &["doctor"]];
    for (url, reason) in [
        ("sqlite://", "the URL names no file"),
        ("sqlite:", "the URL names no file"),
        ("sqlite::memory:", "a database in memory is gone when this command ends"),
        ("sqlite://jobs.db?mode=memory", "a database in memory is gone when this command ends"),
        ("sqlite:///dev/null", "`/dev/null` is no regular file"),
    ] {
        machine.set("DATABASE_URL", url);
        for command in LOOKS.iter().chain(&others) {
            let output = machine.run(command);
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(said.contains(reason) && said.contains("$DATABASE_URL"), "{url} {command:?}: {said}");
            assert!(!output.status.success(), "{url} {command:?}: {said}");
        }
        assert_eq!(files(&machine), before, "{url}");
    }
}

#[test]
fn a_look_makes_no_table_and_names_what_it_reads() {
    let fake = FakeClaude::new([Take::success("done")]);
    let mut machine = Machine::with_claude(&fake.path());
    let database = database();
    machine.unset("CLAUDE_JOBS_DATABASE");
    // As an application with Prisma has it.
    machine.set("DATABASE_URL", &format!("{}&schema=public&connection_limit=5", database.url()));
    database.psql("create table jobs (id int); create table migrations (id int, migration text, batch int)");
    let tables =
        || database.psql("select count(*) from pg_class where relnamespace = 'public'::regnamespace");
    let before = tables();
    for look in LOOKS {
        let output = machine.run(look);
        let said = text(&output.stderr);
        assert!(said.contains("not migrated: `postgres://"), "{look:?}: {said}");
        assert!(said.contains("?schema=public` (from $DATABASE_URL)"), "{look:?}: {said}");
        assert_eq!((output.status.code(), tables()), (Some(1), before.clone()), "{look:?}");
    }

    let id = machine.enqueue("hello", &[]);
    machine.drain();
    assert_eq!(machine.show(&id)["state"], "completed");
    let listed = machine.run(&["jobs", "list"]);
    assert!(text(&listed.stderr).contains("database: `postgres://"), "{}", text(&listed.stderr));
    assert_eq!(database.psql("select count(*) from claude_jobs_runs"), "1");
    assert_eq!(database.psql("select count(*) from jobs, migrations"), "0");
}

fn files(machine: &Machine) -> Vec<String> {
    let folder = std::fs::read_dir(machine.sandbox.path()).expect("its folder").flatten();
    let mut names: Vec<String> = folder.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
