//! The exit status that a report gives is the CLI's own, and the CLI is started as it would be without a
//! supervisor.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;

use claude_jobs::outcome::{Ending, NotStarted, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::{Sandbox, wait_until};
use claude_jobs_tests::script::{Step, Take};

use super::{FRONT, MADE, SOON, SUPERVISOR, Start, name_and_parent};

#[tokio::test]
async fn codes() {
    for made in MADE {
        for code in [0, 1, 2, 3, 42, 125, 127, 129, 143, 255] {
            let fake = FakeClaude::new([Take::of([Step::Exit(code)])]);
            let (report, _) = Start::of(fake.path()).made(made).run().await;
            assert_eq!(report.ending, Ending::Exited(code));
        }
    }
}

#[tokio::test]
async fn signals() {
    for made in MADE {
        for signal in [6, 9, 11, 15] {
            let fake = FakeClaude::new([Take::of([Step::KillSelf(signal)])]);
            let (report, _) = Start::of(fake.path()).made(made).run().await;
            assert_eq!(report.ending, Ending::Signalled(Some(signal)));
        }
    }
}

/// What the wrapper sees, and all that there is to see when the verdict is lost.
#[test]
fn the_front_ends_as_the_cli_ended() {
    for made in MADE {
        let endings = [0, 3, 255].map(Step::Exit).into_iter().chain([6, 9, 11, 15].map(Step::KillSelf));
        for step in endings {
            let fake = FakeClaude::new([Take::of([step.clone()])]);
            let (_reader, control) = std::io::pipe().expect("a pipe can be made");
            let (status, _writer) = std::io::pipe().expect("a pipe can be made");
            let door = |descriptor: i32| {
                let data = std::fs::metadata(format!("/proc/self/fd/{descriptor}")).expect("it is open");
                format!("{descriptor} {}", data.ino())
            };
            let (host, path) = (std::process::id(), fake.path());
            let doors = format!("{} {}", door(control.as_raw_fd()), door(status.as_raw_fd()));
            let ended = std::process::Command::new(made.program())
                .env("CLAUDE_JOBS_SUPERVISE", format!("{host} {doors} 1000 0 {}", path.display()))
                .stdin(std::process::Stdio::null())
                .status()
                .expect("it can be started");
            match step {
                Step::Exit(code) => assert_eq!(ended.code(), Some(code)),
                Step::KillSelf(signal) => assert_eq!(ended.signal(), Some(signal)),
                _ => unreachable!("no other step is in the list"),
            }
            assert!(!ended.core_dumped());
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_program() {
    for made in MADE {
        let sandbox = Sandbox::new();
        let cases = [("garbage", &b"\x01\x02\x03 echo hello\n"[..]), ("orphan", b"#!/nowhere/interpreter\n")];
        for (name, content) in cases {
            let path = sandbox.path().join(name);
            std::fs::write(&path, content).expect("the sandbox can be written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
            let (report, _) = Start::of(&path).made(made).run().await;
            match (name, &report.ending) {
                ("garbage", Ending::NotStarted(NotStarted::BinaryNotRunnable(_))) => {}
                ("orphan", Ending::NotStarted(NotStarted::BinaryMissing(_))) => {}
                (_, ending) => panic!("{name}: {ending:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_cli_sees_nothing_of_it() {
    for made in MADE {
        let sandbox = Sandbox::new();
        let folder = sandbox.folder("work");
        let fake = FakeClaude::new([Take::hang()]);
        let mut start = Start::of(fake.path()).made(made);
        start.prompt = "What do you see?".to_owned();
        start.args = claude_jobs::options::ArgMap::new().working_dir(folder.to_str().expect("UTF-8"));
        let running = start.go();
        running.started().await;

        let record = fake.records().remove(0);
        assert_eq!(record.argv[0], fake.path().to_str().expect("UTF-8"));
        assert_eq!(record.argv[1..4], ["--print", "--output-format", "stream-json"]);
        assert_eq!(record.cwd, folder);
        assert_eq!(record.stdin.as_deref(), Some("What do you see?"));
        assert_eq!(record.env.get("CLAUDE_JOBS_RUN"), Some(&running.marker));
        assert!(!record.env.contains_key("CLAUDE_JOBS_SUPERVISE"));

        let (_, parent) = name_and_parent(record.pid).expect("it is alive");
        assert_eq!(running.wait_for(SUPERVISOR).await, parent);
        let (_, grandparent) = name_and_parent(parent).expect("it is alive");
        assert_eq!(running.wait_for(FRONT).await, grandparent);

        let program = std::fs::read_link(made.program()).expect("it is there");
        for keeper in [grandparent, parent] {
            assert_eq!(std::fs::read_link(format!("/proc/{keeper}/exe")).ok(), Some(program.clone()));
        }
        // They let go once the CLI has started.
        let is = |keeper, what: &str, expected: &str| {
            let held = std::fs::read_link(format!("/proc/{keeper}/{what}")).expect("it is alive");
            held.to_str() == Some(expected)
        };
        for (keeper, streams) in [(grandparent, &["fd/1", "fd/2"][..]), (parent, &["fd/0", "fd/1", "fd/2"])] {
            let has_let_go = || streams.iter().all(|stream| is(keeper, stream, "/dev/null"));
            wait_until(SOON, "streams that are the CLI's alone", has_let_go).await;
            wait_until(SOON, "no folder kept busy", || is(keeper, "cwd", "/")).await;
        }

        let status = std::fs::read_to_string(format!("/proc/{}/status", record.pid)).expect("it is alive");
        for line in ["SigBlk:\t0000000000000000", "SigPnd:\t0000000000000000"] {
            assert!(status.contains(line), "{status}");
        }
        running.stop.fire(StopReason::Cancel);
        running.finish().await;
    }
}

#[tokio::test]
async fn a_program_starts_with_the_usual_signals_and_descriptors() {
    for made in MADE {
        let sandbox = Sandbox::new();
        let seen = sandbox.path().join("seen");
        let script = sandbox.path().join("claude");
        let text = format!(
            "#!/bin/sh\ncat >/dev/null\ngrep ^Sig /proc/self/status >'{0}.draft'\n\
             ls -l /proc/self/fd >>'{0}.draft'\nmv '{0}.draft' '{0}'\n",
            seen.display()
        );
        std::fs::write(&script, text).expect("the sandbox can be written");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("it is ours");
        let (report, _) = Start::of(&script).made(made).run().await;
        assert_eq!(report.ending, Ending::Exited(0));
        wait_until(SOON, "the script's findings", || seen.exists()).await;
        let found = std::fs::read_to_string(&seen).expect("it exists");
        assert!(found.contains("SigBlk:\t0000000000000000"), "{found}");
        // Others may be ignored already where the tests were started.
        let ignored = found.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("a line");
        let ignored = u64::from_str_radix(ignored, 16).expect("a mask");
        let pipe = 1 << (rustix::process::Signal::PIPE.as_raw() - 1);
        assert_eq!(ignored & pipe, 0, "SIGPIPE: {found}");
        assert!(
            !found.contains("signalfd") && !found.contains("timerfd") && !found.contains("socket"),
            "{found}"
        );
    }
}
