//! The recorded transcripts are complete and speak of no machine in particular.

use claude_jobs_tests::transcript::Transcript;

#[test]
fn every_transcript_is_whole() {
    let transcripts = Transcript::all();
    assert!(transcripts.len() >= 85, "only {} transcripts", transcripts.len());
    for transcript in transcripts {
        let name = &transcript.label();
        for event in transcript.events() {
            assert!(event["type"].is_string(), "{name}: an event without a type");
            assert!(event["session_id"].is_string(), "{name}: an event without a session");
        }
        let text = transcript.stdout.clone() + &transcript.stderr;
        for path in ["/tmp/claude-jobs-test-", "/root/", "/work/"] {
            assert!(!text.contains(path), "{name}: speaks of `{path}`");
        }
    }
}

/// The rules on which the classifier rests (claude-cli.md, section 0), over all that was recorded.
#[test]
fn the_ground_rules_hold() {
    for transcript in Transcript::all() {
        let (name, exit) = (&transcript.label(), transcript.entry.exit);
        let events = transcript.events();
        let last = events.iter().rfind(|event| event["type"] == "result");
        let Some(result) = last else {
            assert_ne!(exit, Some(0), "{name}: exit 0 without a result");
            continue;
        };
        if result["is_error"] == false {
            assert_eq!(exit, Some(0), "{name}: a success exits with 0");
            assert_eq!(result["subtype"], "success", "{name}");
        } else if result["subtype"] == "success" {
            assert_eq!(exit, Some(1), "{name}: an API failure exits with 1");
            assert!(result["terminal_reason"].is_string(), "{name}");
            assert!(result["result"].is_string(), "{name}: its text is in `result`");
        } else {
            assert!(result["errors"].is_array(), "{name}: a cap's texts are in `errors`");
            assert!(result.get("result").is_none(), "{name}: a cap has no `result`");
        }
    }
}
