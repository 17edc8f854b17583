//! The text of a literal prompt: `{{` and `}}` stand for braces.
//!
//! Single braces are kept free for templates over the worker's fields, which are not there yet.

/// The prompt's text with doubled braces made single; `None` where a brace stands alone.
pub(crate) fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if matches!(character, '{' | '}') && characters.next() != Some(character) {
            return None;
        }
        plain.push(character);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces() {
        let cases = [
            ("plain", Some("plain")),
            ("", Some("")),
            ("a {{b}} c", Some("a {b} c")),
            ("{{{{", Some("{{")),
            ("{name}", None),
            ("{{{", None),
            ("}", None),
            ("{}", None),
        ];
        for (text, plain) in cases {
            assert_eq!(unescaped(text).as_deref(), plain, "{text}");
        }
    }
}
