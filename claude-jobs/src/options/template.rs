//! [`Template`]: text with places for a worker's values, as the attribute has parsed it.
//!
//! A constant, like every literal of an attribute. The values come later, when a job runs; what can be
//! judged before is judged on a [sample](Template::sample).

/// A text of the attribute with placeholders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// The text as it stands in the attribute.
    pub source: &'static str,
    /// The text with `0` in each place: a check that this fails would fail with any value.
    pub sample: &'static str,
    /// The text in pieces.
    pub parts: &'static [Part],
}

/// A piece of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Text as it is, `{{` and `}}` made single.
    Text(&'static str),
    /// The place of a value: its index in [`Definition::placeholders`](crate::definition::Definition).
    Value(usize),
}

/// A list of the attribute in which a text has placeholders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Templates {
    /// The items.
    pub items: &'static [Template],
    /// The items' samples, for checks that take a list.
    pub samples: &'static [&'static str],
}

impl Template {
    /// The text with these values. They are data: what looks like a placeholder in one stays as it is.
    pub(super) fn fill(&self, values: &[String]) -> String {
        let texts = || {
            self.parts.iter().map(|part| match part {
                Part::Text(text) => *text,
                // Generated code numbers the values; a wrong number would be our own mistake.
                Part::Value(index) => values.get(*index).map_or("", String::as_str),
            })
        };
        let mut filled = String::with_capacity(texts().map(str::len).sum());
        filled.extend(texts());
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_data() {
        let parts = &[Part::Text("a {"), Part::Value(1), Part::Text("} "), Part::Value(0), Part::Value(1)];
        let template = Template { source: "", sample: "", parts };
        let values = ["{1}".to_owned(), "{{x}}".to_owned()];
        assert_eq!(template.fill(&values), "a {{{x}}} {1}{{x}}");
    }
}
