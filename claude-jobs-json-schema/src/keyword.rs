//! The keywords of draft-07, and what each takes: one table.

/// What a keyword takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    Anything,
    Text,
    /// `$schema`.
    Dialect,
    /// `$ref`.
    Reference,
    Flag,
    Number,
    Positive,
    Count,
    /// `type`.
    Types,
    /// A list of texts, all different.
    Names,
    List,
    /// A list of values, all different, at least one.
    Choices,
    Schema,
    /// A list of schemas, at least one.
    Schemas,
    SchemaOrSchemas,
    /// An object of schemas.
    NamedSchemas,
    /// `dependencies`.
    Dependencies,
    /// It is of another dialect; what to write instead.
    Never(&'static str),
}

/// `$defs` and `deprecated` are of later drafts, but the CLI knows them.
const KEYWORDS: &[(&str, Takes)] = &[
    ("$comment", Takes::Text),
    ("$defs", Takes::NamedSchemas),
    ("$id", Takes::Text),
    ("$ref", Takes::Reference),
    ("$schema", Takes::Dialect),
    ("additionalItems", Takes::Schema),
    ("additionalProperties", Takes::Schema),
    ("allOf", Takes::Schemas),
    ("anyOf", Takes::Schemas),
    ("const", Takes::Anything),
    ("contains", Takes::Schema),
    ("contentEncoding", Takes::Text),
    ("contentMediaType", Takes::Text),
    ("default", Takes::Anything),
    ("definitions", Takes::NamedSchemas),
    ("dependencies", Takes::Dependencies),
    ("deprecated", Takes::Flag),
    ("description", Takes::Text),
    ("else", Takes::Schema),
    ("enum", Takes::Choices),
    ("examples", Takes::List),
    ("exclusiveMaximum", Takes::Number),
    ("exclusiveMinimum", Takes::Number),
    ("format", Takes::Text),
    ("id", Takes::Never("draft-07 calls it `$id`")),
    ("if", Takes::Schema),
    ("items", Takes::SchemaOrSchemas),
    ("maxItems", Takes::Count),
    ("maxLength", Takes::Count),
    ("maxProperties", Takes::Count),
    ("maximum", Takes::Number),
    ("minItems", Takes::Count),
    ("minLength", Takes::Count),
    ("minProperties", Takes::Count),
    ("minimum", Takes::Number),
    ("multipleOf", Takes::Positive),
    ("not", Takes::Schema),
    ("nullable", Takes::Never("draft-07 says it in `type`, as in `\"type\": [\"string\", \"null\"]`")),
    ("oneOf", Takes::Schemas),
    ("pattern", Takes::Text),
    ("patternProperties", Takes::NamedSchemas),
    ("properties", Takes::NamedSchemas),
    ("propertyNames", Takes::Schema),
    ("readOnly", Takes::Flag),
    ("required", Takes::Names),
    ("then", Takes::Schema),
    ("title", Takes::Text),
    ("type", Takes::Types),
    ("uniqueItems", Takes::Flag),
    ("writeOnly", Takes::Flag),
];

/// What the keyword takes, if there is one of this name.
pub(crate) fn takes(name: &str) -> Option<Takes> {
    KEYWORDS.iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes)
}

/// The keyword that is at most two edits away.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 30 {
        return None;
    }
    KEYWORDS
        .iter()
        .filter(|(_, takes)| !matches!(takes, Takes::Never(_)))
        .map(|(known, _)| (strsim::levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
        .min()
        .map(|(_, known)| known)
}
