//! Each rule, with definitions that break it and definitions that only just keep it.

use super::*;

fn messages(attribute: &str, item: &str) -> Vec<String> {
    let mut problems = Problems::default();
    let attr = Attr::read(attribute.parse().expect("tokens"), &mut problems);
    let item: DeriveInput = syn::parse_str(item).expect("an item");
    if let Some(fields) = fields(&item, &mut problems) {
        super::attribute(&attr, &fields, &mut problems);
    }
    problems.messages()
}

#[test]
fn good_definitions() {
    let long = format!("queue = \"{}\"", "ä".repeat(128));
    let cases = [
        ("queue = \"q\"", "struct W;"),
        (&*long, "struct W {}"),
        ("queue = \"q\", max_attempts = 1000, max_snoozes = 0, priority = 9u8", "struct W { a: u8 }"),
        ("queue = \"q\", prompt = \"{{}}\"", "struct W { prompt: String }"),
        ("queue = \"q\", args = { prompt = \"x\" }", "struct W { prompt: String }"),
        (
            "queue = \"q\", unique_period = 1, unique_by = [\"type\"], \
             unique_states = [\"executing\", \"available\", \"scheduled\"]",
            "struct W;",
        ),
        ("queue = \"q\", cron = \"@daily\", prompt = \"x\"", "struct W;"),
        (
            "queue = \"q\", cron = \"0 9 * * 1-5\", timezone = \"Asia/Tokyo\", missed = \"all\", \
             if_busy = \"skip\", on_lost = \"resume\", pinned_args = { prompt = \"x\" }",
            "struct W {}",
        ),
        ("queue = \"q\", cron = \"@daily\", args = { ..BASE }", "struct W;"),
        ("queue = \"q\", concurrency_key = \"type\"", "struct W { r#type: u8 }"),
        ("queue = \"q\", output = Vec<(A, B)>, args = { ..BASE }", "struct W;"),
        ("queue = \"q\", pinned_args = { json_schema = \"{}\" }", "struct W;"),
    ];
    for (attribute, item) in cases {
        assert_eq!(messages(attribute, item), [""; 0], "{attribute} {item}");
    }
}

#[test]
fn each_rule_of_the_attribute() {
    let cases = [
        ("", "missing `queue`"),
        ("queue = \"\"", "`queue` takes 1 to 128 characters"),
        ("queue = \"a b\"", "`queue` takes 1 to 128 characters"),
        ("queue = \"q\", name = \"a\\0\"", "`name` takes 1 to 128 characters"),
        ("queue = \"q\", tags = [\"t\", \"\"]", "`tags` takes 1 to 128 characters"),
        ("queue = \"q\", max_attempts = 0", "`max_attempts` takes a whole number from 1 to 1000"),
        ("queue = \"q\", max_attempts = 1001", "`max_attempts` takes a whole number from 1 to 1000"),
        (
            "queue = \"q\", max_snoozes = 99999999999999999999999",
            "`max_snoozes` takes a whole number from 0 to 1000",
        ),
        ("queue = \"q\", priority = 10", "`priority` takes a whole number from 0 to 9"),
        ("queue = \"q\", unique_by = [\"args\"]", "`unique_by` needs `unique_period`"),
        ("queue = \"q\", unique_period = 1, unique_by = []", "`unique_by` is empty"),
        ("queue = \"q\", unique_period = 1, unique_by = [\"a b\"]", "`unique_by` takes `\"worker\"`"),
        (
            "queue = \"q\", unique_period = 1, unique_states = [\"availabel\"]",
            "unknown state: did you mean `available`?",
        ),
        (
            "queue = \"q\", unique_period = 1, unique_states = [\"available\", \"executing\"]",
            "`unique_states` must name `scheduled` and `available`",
        ),
        (
            "queue = \"q\", args = { model = \"a\" }, pinned_args = { model = \"b\" }",
            "`model` is in `pinned_args` too",
        ),
        ("queue = \"q\", prompt = \"a\", args = { prompt = \"b\" }", "the prompt is given twice"),
        (
            "queue = \"q\", output = A, pinned_args = { json_schema = \"{}\" }",
            "the schema is given twice: `output` makes it from the type, so drop this one in `pinned_args`",
        ),
        (
            "queue = \"q\", args = { json_schema = \"{\\\"not\\\": 1}\" }",
            "`json_schema`: `/not`: a schema is an object, `true` or `false`",
        ),
        (
            "queue = \"q\", on_lost = \"retyr\"",
            "unknown `on_lost`: did you mean `retry`? (it takes `resume`, `retry`, ",
        ),
        (
            "queue = \"q\", concurrency_key = \"a b\"",
            "`concurrency_key` takes the name of a field or an option",
        ),
        ("queue = \"q\", timezone = \"UTC\"", "`timezone` needs `cron`"),
        ("queue = \"q\", missed = \"one\"", "`missed` needs `cron`"),
        ("queue = \"q\", cron = \"@daily\"", "a schedule has no prompt to give"),
        ("queue = \"q\", prompt = \"a\", cron = \"61 * * * *\"", "`61` is no minute: give 0 to 59"),
        ("queue = \"q\", prompt = \"a\", cron = \"0 0 31 2 *\"", "`0 0 31 2 *` is never due"),
        (
            "queue = \"q\", prompt = \"a\", cron = \"@daily\", timezone = \"Berlin\"",
            "unknown time zone `Berlin`: did you mean `Europe/Berlin`?",
        ),
        (
            "queue = \"q\", prompt = \"a\", cron = \"@daily\", missed = \"none\"",
            "unknown `missed`: did you mean `one`?",
        ),
        (
            "queue = \"q\", prompt = \"a\", cron = \"@daily\", if_busy = \"wait\"",
            "unknown `if_busy` (it takes `queue`, `skip`)",
        ),
    ];
    for (attribute, message) in cases {
        let found = messages(attribute, "struct W;");
        assert!(found.len() == 1 && found[0].starts_with(message), "{attribute}: {found:#?}");
    }
}

#[test]
fn each_rule_of_the_item() {
    let cases = [
        ("struct W<T> { t: T }", "a worker has no generics"),
        ("struct W where u8: Copy;", "a worker has no generics"),
        ("struct W(u8);", "a worker's fields have names"),
        ("enum W { A }", "a worker is a struct"),
        ("union W { a: u8 }", "a worker is a struct"),
        ("struct W { prompt: String }", "`new` takes the job's prompt already"),
    ];
    let scheduled = messages("queue = \"q\", prompt = \"x\", cron = \"@daily\"", "struct W { a: u8 }");
    assert!(scheduled.len() == 1 && scheduled[0].starts_with("a schedule has no values"), "{scheduled:?}");
    for (item, message) in cases {
        let found = messages("queue = \"q\"", item);
        assert!(found.len() == 1 && found[0].starts_with(message), "{item}: {found:#?}");
    }
}
