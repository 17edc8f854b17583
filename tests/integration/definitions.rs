//! Worker definitions: those that must not compile, each with its exact messages, and those that must.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p claude-jobs-tests definitions`, then
//! read the difference.

#[test]
fn definitions() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/fail/*/*.rs");
    cases.pass("ui/pass/*.rs");
}

mod linked {
    //! Workers of this binary.

    use claude_jobs::prelude::*;
    use claude_jobs::registry::Registry;

    #[claude_worker(queue = "definitions", name = "definitions-linked")]
    struct Linked {
        number: u64,
    }

    #[test]
    fn an_annotated_worker_is_found_by_its_name() {
        let registry = Registry::linked().expect("no name is taken twice");
        let definition = registry.get("definitions-linked").expect("linked").definition;
        assert_eq!((definition.queue, definition.fields), ("definitions", &["number"][..]));
        assert!(definition.defined_at.contains("definitions.rs:"), "{}", definition.defined_at);
    }

    #[test]
    fn a_job_carries_the_fields_and_the_prompt() {
        let job = Linked::new(87, "fix it").max_turns(3).into_new_job().expect("a job");
        assert_eq!(job.worker, "definitions-linked");
        assert_eq!(job.input, serde_json::json!({"number": 87}));
        assert_eq!(job.args.get("prompt"), Some(&"fix it".into()));
    }

    #[test]
    fn input_that_does_not_fit_is_refused_without_being_quoted() {
        let problem = |input| Linked::registration().read(&input).expect_err("refused");
        assert_eq!(problem(serde_json::json!({})), "missing field `number`");
        let wrong = problem(serde_json::json!({"number": "secret"}));
        assert!(wrong.contains("`number`") && !wrong.contains("secret"), "{wrong}");
    }
}
