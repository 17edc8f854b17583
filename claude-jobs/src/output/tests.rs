//! Schemas of types as claude gets them, and answers held against them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::*;

/// What was found.
#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Report {
    /// In one sentence.
    summary: String,
    severity: Severity,
    line: Option<u32>,
    labels: BTreeMap<String, i8>,
    #[serde(default)]
    places: Vec<(String, u64)>,
    found_at: Moment,
    cause: Cause,
    parent: Option<Box<Node>>,
}

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Low,
    /// Wakes somebody up.
    High,
}

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
#[schemars(extend("x-mine" = 1))]
struct Moment(#[schemars(extend("format" = "date-time"))] String);

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
#[serde(tag = "kind")]
enum Cause {
    Known { id: u8 },
    Unknown,
}

#[derive(Debug, Deserialize, PartialEq, schemars::JsonSchema)]
struct Node {
    name: String,
    children: Vec<Node>,
}

fn of<T: JsonSchema>() -> Value {
    let schema = OutputSchema::of::<T>().expect("a schema");
    serde_json::from_str(schema.text()).expect("JSON")
}

fn report() -> Value {
    json!({
        "summary": "s", "severity": "high", "line": null, "labels": {"a": 1}, "places": [["a", 1]],
        "found_at": "2026-11-23T06:00:00Z", "cause": {"kind": "Known", "id": 7},
        "parent": {"name": "a", "children": [{"name": "b", "children": []}]},
    })
}

fn read<T: Output>(answer: Value) -> Result<T, Mismatch> {
    OutputSchema::of::<T>().expect("a schema").read(Some(&answer))
}

#[test]
fn a_rich_type() {
    let node = json!({
        "type": "object", "required": ["name", "children"],
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/definitions/Node"}},
        },
    });
    let mut parent = node.clone();
    parent["type"] = json!(["object", "null"]);
    let expected = json!({
        "title": "Report", "description": "What was found.", "type": "object", "additionalProperties": false,
        "required": ["summary", "severity", "labels", "found_at", "cause"],
        "properties": {
            "summary": {"description": "In one sentence.", "type": "string"},
            "severity": {"oneOf": [
                {"type": "string", "enum": ["low"]},
                {"description": "Wakes somebody up.", "type": "string", "const": "high"},
            ]},
            "line": {"type": ["integer", "null"], "format": "uint32", "minimum": 0},
            "labels": {
                "type": "object",
                "additionalProperties": {"type": "integer", "format": "int8", "minimum": -128, "maximum": 127},
            },
            "places": {"type": "array", "default": [], "items": {
                "type": "array", "minItems": 2, "maxItems": 2,
                "items": [{"type": "string"}, {"type": "integer", "format": "uint64", "minimum": 0}],
            }},
            "found_at": {"type": "string", "format": "date-time"},
            "cause": {"oneOf": [
                {
                    "type": "object", "required": ["kind", "id"],
                    "properties": {
                        "kind": {"type": "string", "const": "Known"},
                        "id": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255},
                    },
                },
                {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "const": "Unknown"}}},
            ]},
            "parent": parent,
        },
        "definitions": {"Node": node},
    });
    let schema = of::<Report>();
    assert_eq!(schema, expected, "{schema:#}");
    assert_eq!(read::<Report>(report()).expect("it fits").cause, Cause::Known { id: 7 });
}

#[test]
fn what_is_no_object_is_put_into_one() {
    let wrapped =
        |value: Value| json!({"type": "object", "properties": {"value": value}, "required": ["value"]});
    assert_eq!(of::<String>(), wrapped(json!({"type": "string"})));
    assert_eq!(of::<Vec<bool>>(), wrapped(json!({"type": "array", "items": {"type": "boolean"}})));
    assert_eq!(of::<Value>(), wrapped(json!(true)));
    assert_eq!(of::<Cause>()["properties"]["value"]["oneOf"][1]["properties"]["kind"]["const"], "Unknown");
    assert_eq!(read::<Vec<bool>>(json!({"value": [true, false]})), Ok(vec![true, false]));
    assert_eq!(read::<Cause>(json!({"value": {"kind": "Unknown"}})), Ok(Cause::Unknown));
    assert_eq!(read::<Severity>(json!({"value": "low"})), Ok(Severity::Low));
    assert!(read::<Severity>(json!("low")).is_err(), "claude cannot answer so");
    let tree = json!({"value": [{"name": "a", "children": []}]});
    assert_eq!(read::<Vec<Node>>(tree).map(|nodes| nodes.len()), Ok(1));
    assert!(!OutputSchema::of::<Node>().expect("a schema").is_wrapped());
}

#[test]
fn a_mismatch_quotes_the_answer_to_claude_only() {
    let change = |pointer: &str, value: Value| {
        let mut answer = report();
        *answer.pointer_mut(pointer).expect("it is there") = value;
        read::<Report>(answer).expect_err(pointer)
    };
    let cases = [
        ("/summary", json!(815), "`/properties/summary/type`", "`/summary`: 815 is not of type \"string\""),
        (
            "/labels/a",
            json!(815),
            "`/properties/labels/additionalProperties/maximum`",
            "`/labels/a`: 815 is greater",
        ),
        (
            "/found_at",
            json!("815"),
            "`/properties/found_at/format`",
            "`/found_at`: \"815\" is not a \"date-time\"",
        ),
        ("/cause", json!({"kind": "Known", "id": "815"}), "`/properties/cause/oneOf`", "`/cause`: {"),
    ];
    for (pointer, value, place, detail) in cases {
        let mismatch = change(pointer, value);
        assert_eq!(mismatch.to_string(), format!("the answer breaks {place} of the JSON Schema"));
        assert!(mismatch.details()[0].starts_with(detail), "{:?}", mismatch.details());
    }
    let alternatives = change("/cause", json!({"kind": "Known", "id": "815"}));
    let details = alternatives.details();
    assert!(details[1].starts_with("/cause/id (as alternative 1): \"815\" is not of type"), "{details:?}");

    let mut answer = report();
    answer["secret-key"] = json!(1);
    let mismatch = read::<Report>(answer).expect_err("an unknown field");
    assert_eq!(mismatch.to_string(), "the answer breaks `/additionalProperties` of the JSON Schema");
    assert!(mismatch.details()[0].contains("secret-key"));
}

/// Fits its schema, and may still refuse.
#[derive(Debug, schemars::JsonSchema)]
#[allow(dead_code, reason = "only its schema is looked at")]
struct Fussy {
    word: String,
}

impl<'de> Deserialize<'de> for Fussy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format!("`{}` is no word of mine", map["word"])))
    }
}

#[test]
fn what_fits_the_schema_must_be_readable_too() {
    let mismatch = read::<Fussy>(json!({"word": "secret"})).expect_err("it refuses all");
    assert_eq!(mismatch.to_string(), "the answer fits the JSON Schema, but cannot be deserialised");
    assert_eq!(mismatch.details(), ["`secret` is no word of mine"]);
    let schema = OutputSchema::of::<Fussy>().expect("a schema");
    for nothing in [None, Some(Value::Null)] {
        let mismatch = schema.read::<Fussy>(nothing.as_ref()).expect_err("nothing");
        assert_eq!(mismatch.to_string(), "no structured answer came");
    }
}

#[test]
fn hostile_answers_are_told_in_few_words_and_soon() {
    let started = Instant::now();
    let many = json!({"value": vec![json!("x".repeat(1_000)); 100_000]});
    let mismatch = read::<Vec<u8>>(many).expect_err("texts are no numbers");
    assert_eq!(mismatch.details().len(), 20);
    assert!(mismatch.details().iter().all(|line| line.chars().count() <= 301));
    let keys: serde_json::Map<String, Value> =
        (0..100_000).map(|key| (format!("k{key}\n"), json!("x"))).collect();
    let mismatch = read::<BTreeMap<String, u8>>(Value::Object(keys)).expect_err("texts are no numbers");
    assert!(mismatch.details().iter().all(|line| !line.contains('\n')), "{:?}", mismatch.details());
    let deep = (0..300)
        .fold(json!({"name": "a", "children": []}), |inner, _| json!({"name": "a", "children": [inner]}));
    let mismatch = read::<Node>(deep).expect_err("too deep");
    assert_eq!(mismatch.to_string(), "the answer is nested deeper than 128 levels");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// Its schema is too long for a command line.
struct Long<const MANY: usize>;

impl<const MANY: usize> JsonSchema for Long<MANY> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Long".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let properties: Value = (0..MANY)
            .map(|index| (format!("p{index}"), generator.subschema_for::<Part>().to_value()))
            .collect();
        schemars::json_schema!({"type": "object", "properties": properties})
    }
}

/// A hundred bytes of schema.
#[derive(schemars::JsonSchema)]
#[allow(dead_code, reason = "only its schema is looked at")]
struct Part {
    #[schemars(description = "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789")]
    text: String,
}

#[test]
fn a_schema_fits_on_a_command_line() {
    let short = OutputSchema::of::<Long<100>>().expect("it fits inlined");
    assert!(!short.text().contains("$ref"));
    let shared = OutputSchema::of::<Long<3_000>>().expect("it fits with references");
    assert!(shared.text().contains("$ref") && shared.text().len() <= MAX_ARGUMENT_BYTES);
    let problem = OutputSchema::of::<Long<10_000>>().expect_err("it does not fit");
    assert!(
        problem.starts_with("the JSON Schema of `Long` has ") && problem.contains("takes 131071"),
        "{problem}"
    );
}

/// Claude would fetch its schema.
struct Elsewhere;

impl JsonSchema for Elsewhere {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Elsewhere".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}})
    }
}

#[test]
fn nothing_is_fetched() {
    let problem = OutputSchema::of::<Elsewhere>().expect_err("it names a file");
    assert!(problem.contains("`/properties/a/$ref`: claude fetches nothing"), "{problem}");
    let outside = json!({"$id": "http://example.invalid/a", "$ref": "file:///etc/passwd"});
    assert!(jsonschema::options().offline().build(&outside).is_err());
}

#[test]
fn a_worker_without_a_schema_stops_the_runtime_at_its_start() {
    let output = OutputType { name: "Long", schema: || Err("it is too long".to_owned()), mismatch: |_| None };
    let worker =
        Definition { output: Some(output), defined_at: "src/main.rs:7", ..Definition::new("w", "q") };
    let problem = check([&worker].into_iter()).expect_err("no schema").to_string();
    assert!(problem.contains("worker `w` (src/main.rs:7): `output`: it is too long"), "{problem}");
    let text = Definition::new("t", "q");
    assert!(check([&text].into_iter()).is_ok());
}
