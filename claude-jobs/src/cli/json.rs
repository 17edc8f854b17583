//! JSON that a user gives on the command line.

use serde_json::{Map, Value};

/// Reads an object. Its whole numbers are kept digit by digit, or refused.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let object = serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        format!("give a JSON object such as '{{\"ticket\": 7}}': {error}")
    })?;
    match integers(text).find(|digits| digits.parse::<i64>().is_err() && digits.parse::<u64>().is_err()) {
        Some(digits) => Err(format!(
            "`{digits}` has more digits than a number can keep (64 bits): give it as a text, \"{digits}\""
        )),
        None => Ok(object),
    }
}

/// The whole numbers in a JSON text, outside of its strings.
fn integers(json: &str) -> impl Iterator<Item = &str> {
    let (mut is_in_string, mut is_escaped) = (false, false);
    let mut is_of_number = move |character: char| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_in_string,
            '"' => is_in_string = !is_in_string,
            _ => {}
        }
        !is_in_string && (character.is_ascii_digit() || "+-.eE".contains(character))
    };
    let parts = json.split(move |character| !is_of_number(character));
    parts.filter(|part| {
        let digits = part.strip_prefix('-').unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_keep_their_digits_or_are_refused() {
        for kept in ["18446744073709551615", "-9223372036854775808", "0", "9007199254740993"] {
            let object = object(&format!(r#"{{"a": [{kept}]}}"#)).expect("it fits");
            assert_eq!(object["a"][0].to_string(), kept);
        }
        for lost in ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"] {
            for json in [format!(r#"{{"a":{lost}}}"#), format!(r#"{{"\"a\\":[1,{lost}],"b":"c"}}"#)] {
                let error = object(&json).expect_err(&json);
                assert!(error.contains(&format!("`{lost}` has more digits")), "{error}");
            }
        }
        let text =
            r#"{"a": "123456789012345678901234567890", "b\"99999999999999999999": 1.5e300, "c": true}"#;
        assert_eq!(object(text).expect("no whole number").len(), 3);
        assert!(object("[1]").expect_err("no object").starts_with("give a JSON object"));
    }
}
