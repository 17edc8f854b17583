//! The check, held against claude's own messages and against the meta-schema of the draft.

use serde_json::json;

use super::*;

#[test]
fn each_mistake_has_its_place() {
    let cases = [
        ("{", "it is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "a JSON Schema is an object here, such as `{\"type\": \"object\"}`"),
        (
            r#"{"properties": {"age": {"type": "strng"}}}"#,
            "`/properties/age/type`: `strng` is not one of `array`, `boolean`, `integer`, `null`, `number`, \
             `object`, `string`",
        ),
        (
            r#"{"propertis": {}}"#,
            "the root: draft-07 has no keyword `propertis`: did you mean `properties`? \
             (claude refuses what it does not know)",
        ),
        (
            r#"{"$defs": {"a/b": {"x-mine": 1}}}"#,
            "`/$defs/a~1b`: draft-07 has no keyword `x-mine` (claude refuses what it does not know)",
        ),
        (r#"{"required": "name"}"#, "`/required`: takes a list of names in quotes"),
        (r#"{"required": ["a", "a"]}"#, "`/required`: names one of them twice"),
        (
            r#"{"properties": {"a": {"enum": []}}}"#,
            "`/properties/a/enum`: is empty: name at least one, or leave it out",
        ),
        (r#"{"allOf": [{}, 3]}"#, "`/allOf/1`: a schema is an object, `true` or `false`"),
        (r#"{"minLength": 1.5}"#, "`/minLength`: takes a whole number from 0"),
        (r#"{"multipleOf": 0}"#, "`/multipleOf`: takes a number above 0"),
        (r#"{"if": {}}"#, "the root: `if` needs `then` or `else`"),
        (r##"{"$ref": "#/definitions/A"}"##, "`/$ref`: there is no such schema in here"),
        (
            r#"{"$ref": "http://example.invalid/a.json"}"#,
            "`/$ref`: claude fetches nothing: write a place in here, such as `#/definitions/Name`",
        ),
        (
            r#"{"$schema": "https://json-schema.org/draft/2020-12/schema"}"#,
            "`/$schema`: claude reads draft-07: write `http://json-schema.org/draft-07/schema#`, or leave it out",
        ),
        (
            r#"{"type": "string"}"#,
            "the root: claude answers with an object: put the value into one, as in \
             `{\"type\": \"object\", \"properties\": {\"value\": …}, \"required\": [\"value\"]}`",
        ),
    ];
    for (text, problem) in cases {
        assert_eq!(problems(text), [problem], "{text}");
    }
}

#[test]
fn what_claude_takes_passes() {
    let cases = [
        json!({}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}),
        json!({"type": ["object", "null"], "properties": {"a": true, "type": {"type": ["string", "null"]}}}),
        json!({"properties": {"t": {"type": "array", "items": [{}, {}], "additionalItems": false, "minItems": 2.0}}}),
        json!({"properties": {"children": {"items": {"$ref": "#"}}}}),
        json!({"properties": {"a": {"$ref": "#/definitions/A~1b"}}, "definitions": {"A/b": {"const": null}}}),
        json!({"if": {}, "then": false, "dependencies": {"a": ["b"], "c": {}}, "oneOf": [{}], "not": {"enum": [1, "1"]}}),
        json!({"title": "t", "deprecated": true, "default": {"x-free": 1}, "examples": [{"anything": 1}]}),
    ];
    for schema in cases {
        assert_eq!(problems_of(&schema), [""; 0], "{schema}");
    }
}

/// Each keyword with a value of each form: what the meta-schema refuses is refused here too.
#[test]
fn nothing_passes_that_the_meta_schema_refuses() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(2),
        json!("object"),
        json!("no-type"),
        json!([]),
        json!(["a"]),
        json!(["a", "a"]),
        json!([1, 1]),
        json!([{}]),
        json!([3]),
        json!({}),
        json!({"a": 1}),
        json!({"a": {}}),
        json!({"a": ["b"]}),
        json!({"a": [1]}),
        json!(["string", "string"]),
    ];
    let meta = jsonschema::draft7::meta::validator();
    let mut refused = 0;
    for name in [
        "a",
        "$comment",
        "$id",
        "$ref",
        "$schema",
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contains",
        "contentEncoding",
        "contentMediaType",
        "default",
        "definitions",
        "dependencies",
        "description",
        "else",
        "enum",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "if",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "patternProperties",
        "properties",
        "propertyNames",
        "readOnly",
        "required",
        "then",
        "title",
        "type",
        "uniqueItems",
    ] {
        for value in &values {
            for schema in [json!({name: value}), json!({"properties": {"p": {name: value}}})] {
                if !meta.is_valid(&schema) {
                    refused += 1;
                    assert!(!problems_of(&schema).is_empty(), "{schema}");
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_hostile_schema_is_told_in_few_words() {
    let many: Map<String, Value> = (0..100_000).map(|index| (format!("k{index}"), json!(1))).collect();
    assert_eq!(problems_of(&Value::Object(many)).len(), MOST);
    let long = json!({"k".repeat(100_000): 1});
    assert!(problems_of(&long)[0].len() < 300);
    let deep = format!("{}{}", "{\"not\":".repeat(50_000), "}".repeat(50_000));
    assert!(problems(&deep)[0].starts_with("it is not JSON: recursion limit exceeded"));
}
