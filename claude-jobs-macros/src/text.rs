//! [`Text`]: where the definition may name fields.

use syn::LitStr;

/// A text of the attribute, and which option it is for.
pub(crate) struct Text<'a> {
    pub(crate) option: String,
    pub(crate) literal: &'a LitStr,
    /// The file that it is from.
    pub(crate) file: Option<&'a LitStr>,
}

impl Text<'_> {
    /// `file:line:column: ` for a text that is not in the attribute itself.
    pub(crate) fn place(&self, source: &str, at: usize) -> String {
        let Some(file) = self.file else { return String::new() };
        let before = &source[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}: ", file.value())
    }
}
