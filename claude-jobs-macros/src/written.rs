//! Under which name serde writes a field: `unique_by` and `concurrency_key` find it in the stored input by that
//! name, and templates read it back from there.
//!
//! What serde's own attributes say is followed where it is certain; else the name is unknown, and why.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Field, Lit, LitStr, token};

/// What serde's attributes on the struct say of all fields.
pub(crate) struct Container {
    rename_all: Option<String>,
    /// Why nothing is certain.
    problem: Option<String>,
}

/// A field in the stored input.
pub(crate) struct Written {
    /// Its name, or why it has none that is certain.
    pub(crate) name: Result<String, String>,
    /// The attribute that keeps it out, if one does.
    pub(crate) left_out_by: Option<String>,
}

impl Container {
    /// Reads the attributes of a struct.
    pub(crate) fn read(attributes: &[Attribute]) -> Self {
        let mut container = Self { rename_all: None, problem: uncertain(attributes) };
        each_setting(attributes, |name, value| match name {
            "rename_all" => container.rename_all = value,
            "transparent" | "into" | "remote" => {
                container.problem =
                    Some(format!("`#[serde({name})]` on the struct may write it in another form"));
            }
            _ => {}
        });
        container
    }

    /// How this field is written, whose name in Rust is `name`.
    pub(crate) fn field(&self, field: &Field, name: &str) -> Written {
        let mut written =
            self.rename_all.as_deref().map_or_else(|| name.to_owned(), |rule| rename(rule, name));
        let mut problem = self.problem.clone().or_else(|| uncertain(&field.attrs));
        let mut left_out_by = None;
        each_setting(&field.attrs, |setting, value| match setting {
            "rename" => match value {
                Some(value) => written = value,
                None => problem = Some("its `#[serde(rename)]` is no text".to_owned()),
            },
            "skip" | "skip_serializing" => {
                let attribute = format!("`#[serde({setting})]`");
                problem = Some(format!("{attribute} keeps it out of the stored input"));
                left_out_by = Some(attribute);
            }
            "flatten" => problem = Some("`#[serde(flatten)]` writes its own fields in its place".to_owned()),
            _ => {}
        });
        Written { name: problem.map_or(Ok(written), Err), left_out_by }
    }
}

/// An attribute that is there only sometimes.
fn uncertain(attributes: &[Attribute]) -> Option<String> {
    let says = |attribute: &&Attribute| {
        let text = quote::ToTokens::to_token_stream(&attribute.meta).to_string();
        attribute.path().is_ident("cfg_attr") && text.contains("serde")
    };
    attributes.iter().find(says).map(|_| "`#[cfg_attr]` may change what serde makes of it".to_owned())
}

/// Every setting in `#[serde(…)]` with its text, of `(serialize = …, deserialize = …)` the former.
/// Whatever is wrong in there is serde's to report.
fn each_setting(attributes: &[Attribute], mut take: impl FnMut(&str, Option<String>)) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value = text(&meta)?;
            take(&name, value);
            Ok(())
        });
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if meta.input.peek(token::Paren) {
        let mut serialized = None;
        meta.parse_nested_meta(|inner| {
            let value = inner.value()?.parse::<LitStr>()?;
            if inner.path.is_ident("serialize") {
                serialized = Some(value.value());
            }
            Ok(())
        })?;
        return Ok(serialized);
    }
    if !meta.input.peek(syn::Token![=]) {
        return Ok(None);
    }
    Ok(match meta.value()?.parse()? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    })
}

/// serde's rules for the names of fields.
fn rename(rule: &str, name: &str) -> String {
    let pascal = || {
        let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        name.split('_').filter(|word| !word.is_empty()).map(capital).collect::<String>()
    };
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_ascii_uppercase(),
        "PascalCase" => pascal(),
        "camelCase" => {
            let pascal = pascal();
            pascal[..1].to_ascii_lowercase() + &pascal[1..]
        }
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_ascii_uppercase().replace('_', "-"),
        // `lowercase` and `snake_case`, which a field's name has already.
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use syn::{Data, DeriveInput};

    use super::*;

    fn written(item: &str) -> Written {
        let item: DeriveInput = syn::parse_str(item).expect("a struct");
        let Data::Struct(data) = &item.data else { panic!("a struct") };
        let field = data.fields.iter().next().expect("a field");
        Container::read(&item.attrs).field(field, "issue_number")
    }

    #[test]
    fn names_that_are_certain() {
        let cases = [
            ("struct W { issue_number: u64 }", "issue_number"),
            ("#[serde(rename_all = \"camelCase\")] struct W { issue_number: u64 }", "issueNumber"),
            ("#[serde(rename_all = \"PascalCase\")] struct W { issue_number: u64 }", "IssueNumber"),
            ("#[serde(rename_all = \"snake_case\")] struct W { issue_number: u64 }", "issue_number"),
            ("#[serde(rename_all = \"UPPERCASE\")] struct W { issue_number: u64 }", "ISSUE_NUMBER"),
            ("#[serde(rename_all = \"kebab-case\")] struct W { issue_number: u64 }", "issue-number"),
            (
                "#[serde(rename_all = \"SCREAMING-KEBAB-CASE\")] struct W { issue_number: u64 }",
                "ISSUE-NUMBER",
            ),
            (
                "#[serde(rename_all(serialize = \"camelCase\", deserialize = \"camelCase\"))] struct W { a: u8 }",
                "issueNumber",
            ),
            (
                "#[serde(rename_all = \"camelCase\")] struct W { #[serde(default, rename = \"id\")] a: u8 }",
                "id",
            ),
            (
                "struct W { #[serde(rename(deserialize = \"a\", serialize = \"b\"), alias = \"c\")] a: u8 }",
                "b",
            ),
            ("struct W { #[serde(skip_serializing_if = \"no\", with = \"x::y\")] a: u8 }", "issue_number"),
        ];
        for (item, name) in cases {
            assert_eq!(written(item).name.as_deref(), Ok(name), "{item}");
        }
    }

    #[test]
    fn names_that_are_not() {
        let cases = [
            ("struct W { #[serde(skip)] a: u8 }", "`#[serde(skip)]` keeps it out", true),
            ("struct W { #[serde(skip_serializing)] a: u8 }", "`#[serde(skip_serializing)]` keeps", true),
            ("struct W { #[serde(flatten)] a: A }", "`#[serde(flatten)]` writes its own", false),
            ("#[serde(transparent)] struct W { a: A }", "`#[serde(transparent)]` on the struct", false),
            ("struct W { #[cfg_attr(x, serde(rename = \"b\"))] a: u8 }", "`#[cfg_attr]` may", false),
        ];
        for (item, problem, is_left_out) in cases {
            let written = written(item);
            assert!(written.name.is_err_and(|text| text.starts_with(problem)), "{item}");
            assert_eq!(written.left_out_by.is_some(), is_left_out, "{item}");
        }
    }
}
