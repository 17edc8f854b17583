//! Texts with placeholders: `"Issue #{number}: {issue.title}"`.
//!
//! Reading one knows nothing of a worker: it gives pieces, or says what is no placeholder. Which fields
//! there are, and what they may be used for, is in [`fields`](crate::fields).

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Expr, ExprLit, Ident, Lit, LitStr};

/// A piece of a text.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text as it is meant: `{{` is `{`.
    Text(String),
    /// What stands between braces: a path of fields such as `number` or `issue.title`.
    Place(String),
}

/// What is wrong in a text, and where: the number of bytes before it.
#[derive(Debug, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// The text in pieces, and every mistake in it.
///
/// A text that as a whole is a JSON object or list has no placeholders: its braces are JSON's.
pub(crate) fn read(text: &str) -> (Vec<Piece>, Vec<Mistake>) {
    let (mut pieces, mut mistakes) = (Vec::new(), Vec::new());
    if is_json(text) {
        return (vec![Piece::Text(text.to_owned())], mistakes);
    }
    let mut plain = String::new();
    let mut at = 0;
    while let Some(brace) = text[at..].find(['{', '}']) {
        plain.push_str(&text[at..at + brace]);
        at += brace;
        let rest = &text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            plain.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        let (length, place) = place(rest);
        match place {
            Ok(path) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Place(path.to_owned()));
            }
            Err(message) => mistakes.push(Mistake { at, message }),
        }
        at += length;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    (pieces, mistakes)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The placeholder at the beginning of the text, and how long it is.
fn place(text: &str) -> (usize, Result<&str, String>) {
    if text.starts_with('}') {
        return (1, Err("`}` stands alone: write `}}` for a brace in the text".to_owned()));
    }
    let Some(end) = text.find(['}', '\n']).filter(|end| text[*end..].starts_with('}')) else {
        return (1, Err("`{` is not closed: write `{field}`, or `{{` for a brace in the text".to_owned()));
    };
    let path = &text[1..end];
    let shown = &text[..=end];
    let problem = if path.is_empty() {
        "names no field"
    } else if is_path(path) {
        return (end + 1, Ok(path));
    } else if path.contains('(') {
        "calls something"
    } else if path.contains(':') && is_path(path.split(':').next().unwrap_or_default()) {
        "has a format"
    } else {
        "is no placeholder"
    };
    let remedy =
        "name a field, as in `{number}` or `{issue.title}`, or write `{{` and `}}` for braces in the text";
    (end + 1, Err(format!("`{shown}` {problem}: {remedy}")))
}

/// Whether this is `field` or `field.part`, where a part is a name or the number of a tuple's.
fn is_path(text: &str) -> bool {
    let is_name = |part: &str| {
        let is_ident = |text: &str| syn::parse_str::<Ident>(text).is_ok();
        !part.contains(char::is_whitespace) && (is_ident(part) || is_ident(&format!("r#{part}")))
    };
    text.split('.').enumerate().all(|(index, part)| {
        let is_number = index > 0 && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number || is_name(part)
    })
}

/// The text literal that an expression is.
pub(crate) fn text_literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        Expr::Group(group) => text_literal(&group.expr),
        _ => None,
    }
}

/// Generated code for a text.
pub(crate) enum Text {
    /// No placeholders: the text as it is meant.
    Plain(LitStr),
    /// An expression of type `Template`.
    Template(TokenStream),
}

/// The text as generated code; `None` where it has a mistake. `index` numbers the placeholders.
pub(crate) fn expand(
    krate: &impl ToTokens,
    literal: &LitStr,
    index: impl Fn(&str) -> Option<usize>,
) -> Option<Text> {
    let source = literal.value();
    let (pieces, mistakes) = read(&source);
    if !mistakes.is_empty() {
        return None;
    }
    let mut sample = String::new();
    let mut parts = Vec::new();
    let part = quote!(#krate::__private::Part);
    for piece in &pieces {
        match piece {
            Piece::Text(text) => {
                sample.push_str(text);
                parts.push(quote!(#part::Text(#text)));
            }
            Piece::Place(path) => {
                let index = index(path)?;
                sample.push('0');
                parts.push(quote!(#part::Value(#index)));
            }
        }
    }
    if let [Piece::Text(text)] = pieces.as_slice() {
        return Some(Text::Plain(LitStr::new(text, literal.span())));
    }
    Some(Text::Template(quote! {
        #krate::__private::Template { source: #source, sample: #sample, parts: &[#(#parts),*] }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn place(path: &str) -> Piece {
        Piece::Place(path.to_owned())
    }

    #[test]
    fn pieces() {
        let cases = [
            ("plain", vec![text("plain")]),
            ("", vec![text("")]),
            ("a {{b}} c", vec![text("a {b} c")]),
            ("{{{{", vec![text("{{")]),
            ("{number}", vec![place("number")]),
            (
                "#{number}: {issue.title}\n",
                vec![text("#"), place("number"), text(": "), place("issue.title"), text("\n")],
            ),
            ("{{{pair.0}}}", vec![text("{"), place("pair.0"), text("}")]),
            ("{type}ä{_x}", vec![place("type"), text("ä"), place("_x")]),
            ("{\"a\": {\"b\": \"{c}\"}}", vec![text("{\"a\": {\"b\": \"{c}\"}}")]),
            (" [{}]", vec![text(" [{}]")]),
        ];
        for (source, pieces) in cases {
            assert_eq!(read(source), (pieces, Vec::new()), "{source}");
        }
    }

    #[test]
    fn every_mistake_is_found_where_it_is() {
        let cases = [
            ("{", 0, "not closed"),
            ("ä {", 3, "not closed"),
            ("a } b", 2, "stands alone"),
            ("#{}", 1, "names no field"),
            ("{0}", 0, "is no placeholder"),
            ("{ a }", 0, "is no placeholder"),
            ("{a b}", 0, "is no placeholder"),
            ("{a.}", 0, "is no placeholder"),
            ("{a\n}", 0, "not closed"),
            ("{title.trim()}", 0, "calls something"),
            ("{number:03}", 0, "has a format"),
            ("{number:?}", 0, "has a format"),
            ("{{{", 2, "not closed"),
        ];
        for (source, at, problem) in cases {
            let (_, mistakes) = read(source);
            assert!(!mistakes.is_empty() && mistakes[0].message.contains(problem), "{source}: {mistakes:?}");
            assert_eq!(mistakes[0].at, at, "{source}");
        }
        assert_eq!(read("#{} {a} } {x()}").1.len(), 3);
    }
}
