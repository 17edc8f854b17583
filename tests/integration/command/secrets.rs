//! What claude says may hold a secret of its environment: it is in nothing that is kept or told.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Step, Take};
use serde_json::json;

use super::{Machine, text};

const SECRET: &str = "tok_veryS3cretValue12345";

/// The files in the machine's folder, databases above all, in which this text stands.
pub(super) fn files_with(machine: &Machine, text: &str) -> Vec<String> {
    let has_it = |file: &std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    };
    let files = std::fs::read_dir(machine.sandbox.path()).expect("its folder").flatten().filter(has_it);
    files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_secret_that_claude_repeats_is_nowhere() {
    let words = format!("API Error: token {SECRET} rejected");
    let failing = || Take::api_error(Some(400), "invalid_request_error", &words);
    let fake = FakeClaude::new([failing(), Take::success(&format!("It is {SECRET}."))]);
    let mut machine = Machine::with_claude(&fake.path());
    machine.set("MY_API_TOKEN", SECRET);
    let ids = [machine.enqueue("x", &[]), machine.enqueue("x", &[])];
    let worked = machine.run(&["work", "--drain", "--queue", "default=1", "--run-log", "full"]);
    let said = text(&worked.stderr);
    assert!(said.contains("job 1 cancelled") && said.contains("bad_request"), "{said}");
    assert!(!said.contains("rejected"), "nothing is quoted: {said}");
    for arguments in [
        &["jobs", "list"][..],
        &["jobs", "show", &ids[0]],
        &["jobs", "show", &ids[0], "--json"],
        &["jobs", "show", &ids[1]],
        &["tail", &ids[0]],
        &["queues", "list"],
    ] {
        let told = text(&machine.run(arguments).stdout);
        assert!(!told.contains("S3cret"), "{arguments:?}: {told}");
    }
    let shown = text(&machine.run(&["jobs", "show", &ids[0]]).stdout);
    assert!(shown.contains("API Error: token [secret] rejected"), "{shown}");
    let answered = machine.show(&ids[1]);
    assert_eq!((&answered["state"], &answered["result"]), (&"completed".into(), &"It is [secret].".into()));
    assert_eq!(files_with(&machine, SECRET), [""; 0]);

    // Who asks for it is told what was said, without the secret.
    fake.rewrite(&claude_jobs_tests::script::Script { takes: vec![failing()], ..Default::default() });
    machine.enqueue("x", &[]);
    let worked = machine.run(&["work", "--drain", "--show-contents"]);
    assert!(text(&worked.stderr).contains("API Error: token [secret] rejected"), "{}", text(&worked.stderr));
}

/// What claude says is in no reason, error or last event either where the log of runs is kept without texts.
#[test]
fn without_texts_in_the_log_there_are_none_in_the_ledger() {
    const WORDS: &str = "a letter from Ada";
    let failing = Take::api_error(Some(400), "invalid_request_error", &format!("API Error: {WORDS}"));
    let mut saying = Take::success("The answer.");
    saying.steps.insert(1, Step::Print(json!({
        "type": "assistant", "message": {"content": [{"type": "text", "text": WORDS}]}, "session_id": "$SESSION_ID",
    })));
    for (keeps, is_kept) in [("full", true), ("redacted", false), ("off", false)] {
        let fake = FakeClaude::new([failing.clone(), saying.clone()]);
        let machine = Machine::with_claude(&fake.path());
        let ids = [machine.enqueue("x", &[]), machine.enqueue("x", &[])];
        machine.run(&["work", "--drain", "--queue", "default=1", "--run-log", keeps]);
        let [failed, answered] = ids.map(|id| machine.show(&id));
        assert_eq!(answered["result"], "The answer.", "it is what was paid for");
        assert_eq!(failed.to_string().contains(WORDS), is_kept, "{keeps}: {failed}");
        assert_eq!(answered.to_string().contains(WORDS), is_kept, "{keeps}: {answered}");
        assert_eq!(files_with(&machine, WORDS).is_empty(), !is_kept, "{keeps}");
        if !is_kept {
            assert_eq!(
                (&failed["reason"], &failed["errors"][0]["message"]),
                (&"bad_request".into(), &"redacted".into())
            );
        }
    }
}
