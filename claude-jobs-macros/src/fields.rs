//! The worker's fields: what their own attributes say, and what the texts of the definition make of them.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Field, LitStr, Meta, Path};

use crate::attr::Attr;
use crate::problems::Problems;
use crate::suggest::did_you_mean;
use crate::template::{self, Piece};
use crate::text::Text;
use crate::written::{Container, Written};

/// The attributes of a field that are ours: they are taken off the struct.
const OURS: &[&str] = &["untrusted", "json"];

/// The fields, and the placeholders of all texts.
pub(crate) struct Fields<'a> {
    all: Vec<WorkerField<'a>>,
    /// Each path that a text names once, in the order in which they come; then what goes to the end of
    /// the prompt.
    placeholders: Vec<Placeholder>,
}

/// One field.
struct WorkerField<'a> {
    field: &'a Field,
    /// Without `r#`.
    name: String,
    is_untrusted: bool,
    is_json: bool,
    written: Written,
}

/// A value that a text names.
struct Placeholder {
    /// `number` or `issue.title`.
    path: String,
    /// The index of the field with which the path begins.
    field: usize,
    /// Where it is named.
    span: Span,
    is_appended: bool,
}

impl<'a> Fields<'a> {
    /// Reads the fields and the texts of the attribute.
    pub(crate) fn read(
        fields: &[&'a Field],
        container: &Container,
        attr: &Attr,
        problems: &mut Problems,
    ) -> Self {
        let all = fields.iter().map(|field| WorkerField::read(field, container, problems)).collect();
        let mut read = Self { all, placeholders: Vec::new() };
        read.keys_are_written(attr, problems);
        let mut are_sound = true;
        for text in attr.texts() {
            are_sound &= read.add_text(&text, problems);
        }
        if !attr.has_visible_prompt() {
            read.append_untrusted();
        } else if are_sound {
            read.find_unused(attr, problems);
        }
        read
    }

    /// The fields themselves.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Field> {
        self.all.iter().map(|field| field.field)
    }

    /// Whether one is not to be trusted.
    pub(crate) fn any_is_untrusted(&self) -> bool {
        self.all.iter().any(|field| field.is_untrusted)
    }

    /// The names of those that are not to be trusted, if there are any.
    pub(crate) fn untrusted_names(&self) -> Option<impl Iterator<Item = &str>> {
        let names = || self.all.iter().filter(|field| field.is_untrusted).map(|field| field.name.as_str());
        self.any_is_untrusted().then(names)
    }

    /// The name in the stored input for what `unique_by` or `concurrency_key` names: a field's as serde writes it.
    pub(crate) fn written(&self, name: &LitStr) -> LitStr {
        let field = self.all.iter().find(|field| field.name == name.value());
        match field.map(|field| &field.written.name) {
            Some(Ok(written)) => LitStr::new(written, name.span()),
            _ => name.clone(),
        }
    }

    fn keys_are_written(&self, attr: &Attr, problems: &mut Problems) {
        for name in attr.key_names() {
            let field = self.all.iter().find(|field| field.name == name.value());
            if let Some(Err(problem)) = field.map(|field| &field.written.name) {
                let remedy = "name another field, or drop that attribute";
                problems.at(name, format!("`{}` cannot be looked up: {problem}: {remedy}", name.value()));
            }
        }
    }

    /// The number of a placeholder.
    pub(crate) fn index(&self, path: &str) -> Option<usize> {
        self.placeholders.iter().position(|placeholder| placeholder.path == path)
    }

    /// Whether there is no mistake in it.
    fn add_text(&mut self, text: &Text<'_>, problems: &mut Problems) -> bool {
        let source = text.literal.value();
        let (pieces, mistakes) = template::read(&source);
        let mut found: Vec<_> = mistakes
            .into_iter()
            .map(|mistake| format!("{}{}", text.place(&source, mistake.at), mistake.message))
            .collect();
        for piece in pieces {
            if let Piece::Place(path) = piece
                && let Err(problem) = self.add_placeholder(path, text)
            {
                found.push(problem);
            }
        }
        for problem in &found {
            problems.at(text.literal, problem);
        }
        found.is_empty()
    }

    fn add_placeholder(&mut self, path: String, text: &Text<'_>) -> Result<(), String> {
        let first = path.split('.').next().unwrap_or_default();
        let Some(index) = self.all.iter().position(|field| field.name == first) else {
            let at = text.file.map_or_else(String::new, |file| format!("{}: ", file.value()));
            return Err(format!("{at}{}", self.unknown(&path, first)));
        };
        let field = &self.all[index];
        if field.is_untrusted && text.option != "prompt" {
            return Err(format!(
                "`{first}` is `#[untrusted]`, and only the prompt puts such text into a fence: take `{{{path}}}` out \
                 of `{}`",
                text.option
            ));
        }
        if field.field.attrs.iter().any(|attr| attr.path().is_ident("cfg")) {
            return Err(format!(
                "`{{{path}}}` names a field that `#[cfg]` may take away: make it an `Option` that is always there"
            ));
        }
        if let Some(attribute) = &field.written.left_out_by {
            return Err(format!(
                "`{{{path}}}` names a field that {attribute} keeps out of the stored input, from which texts are \
                 filled: drop that attribute"
            ));
        }
        if self.index(&path).is_none() {
            let span = text.literal.span();
            self.placeholders.push(Placeholder { path, field: index, span, is_appended: false });
        }
        Ok(())
    }

    fn unknown(&self, path: &str, first: &str) -> String {
        let near = did_you_mean(first, self.all.iter().map(|field| field.name.as_str()));
        if self.all.is_empty() {
            return format!(
                "`{{{path}}}` names a field, and the worker has none: add it to the struct, or write `{{{{{path}}}}}` \
                 for the text itself"
            );
        }
        let names: Vec<_> = self.all.iter().map(|field| format!("`{}`", field.name)).collect();
        format!("no field `{first}`{near} (the fields are {})", names.join(", "))
    }

    /// A field that no text uses is a slip, where all of the prompt is in sight.
    fn find_unused(&self, attr: &Attr, problems: &mut Problems) {
        let keys: Vec<String> = attr.key_names().map(LitStr::value).collect();
        for (index, field) in self.all.iter().enumerate() {
            let is_used = self.placeholders.iter().any(|placeholder| placeholder.field == index)
                || keys.contains(&field.name)
                || field.may_be_unused();
            if !is_used {
                let name = &field.name;
                problems.at(
                    &field.field.ident,
                    format!(
                        "no text uses `{name}`: write `{{{name}}}` where it belongs, or call the field `_{name}` if \
                         only the handler reads it"
                    ),
                );
            }
        }
    }

    /// Where the prompt is not in sight, the run is to see untrusted fields all the same, in their fence.
    fn append_untrusted(&mut self) {
        for (index, field) in self.all.iter().enumerate() {
            let is_named = self.placeholders.iter().any(|placeholder| placeholder.field == index);
            if field.is_untrusted && !field.name.starts_with('_') && !is_named {
                let span = field.field.ident.as_ref().map_or_else(Span::call_site, Ident::span);
                let path = field.name.clone();
                self.placeholders.push(Placeholder { path, field: index, span, is_appended: true });
            }
        }
    }

    /// An expression of type `&[Placeholder]`.
    pub(crate) fn placeholders(&self, krate: &Path) -> Option<TokenStream> {
        if self.placeholders.is_empty() {
            return None;
        }
        let placeholders = self.placeholders.iter().map(|placeholder| {
            let Placeholder { path, is_appended, .. } = placeholder;
            let is_untrusted = self.all[placeholder.field].is_untrusted;
            quote!(#krate::__private::Placeholder {
                name: #path,
                is_untrusted: #is_untrusted,
                is_appended: #is_appended,
            })
        });
        Some(quote!(&[#(#placeholders),*]))
    }

    /// `fn show_values`, where there is something to show.
    pub(crate) fn show_values(&self, krate: &Path) -> Option<TokenStream> {
        if self.placeholders.is_empty() {
            return None;
        }
        let values = self.placeholders.iter().map(|placeholder| {
            let field = &self.all[placeholder.field];
            // Shown at the text, with the names of generated code.
            let at = Span::call_site().located_at(placeholder.span);
            let members = placeholder.path.split('.').map(|part| member(part, at));
            let value = quote_spanned!(at=> &self #(.#members)*);
            if field.is_json {
                return quote!(show(&#krate::__private::Json(#value)););
            }
            let shown = quote_spanned!(at=> (&#krate::__private::Shown(#value)).display());
            quote!(show(#shown);)
        });
        Some(quote! {
            fn show_values(&self, show: &mut dyn ::core::ops::FnMut(&dyn ::core::fmt::Display)) {
                #[allow(unused_imports)]
                use #krate::__private::{WithDisplay as _, WithoutDisplay as _};
                #(#values)*
            }
        })
    }
}

/// A part of a path: a field's name, or its number.
fn member(part: &str, span: Span) -> TokenStream {
    if let Ok(number) = part.parse::<u32>() {
        return syn::Index { index: number, span }.to_token_stream();
    }
    let mut name = syn::parse_str::<Ident>(part).unwrap_or_else(|_| format_ident!("r#{part}"));
    name.set_span(span);
    name.to_token_stream()
}

impl<'a> WorkerField<'a> {
    fn read(field: &'a Field, container: &Container, problems: &mut Problems) -> Self {
        let is = |name: &str| field.attrs.iter().any(|attr| attr.path().is_ident(name));
        for attr in field.attrs.iter().filter(|attr| is_ours(attr)) {
            if !matches!(attr.meta, Meta::Path(_)) {
                let name = attr.path().to_token_stream();
                problems.at(attr, format!("`#[{name}]` takes nothing: write `#[{name}]`"));
            }
        }
        let name = field.ident.as_ref().map_or_else(String::new, |name| name.unraw().to_string());
        let written = container.field(field, &name);
        Self { field, written, name, is_untrusted: is("untrusted"), is_json: is("json") }
    }

    /// Whether its writer says that no text needs it: `_name`, or `#[allow(unused)]`.
    fn may_be_unused(&self) -> bool {
        let allows = |attr: &Attribute| {
            let mut found = false;
            if attr.path().is_ident("allow") || attr.path().is_ident("expect") {
                // Whatever is wrong in there is rustc's to report.
                let _ = attr.parse_nested_meta(|meta| {
                    found |= meta.path.is_ident("unused") || meta.path.is_ident("dead_code");
                    Ok(())
                });
            }
            found
        };
        self.name.starts_with('_') || self.field.attrs.iter().any(allows)
    }
}

/// Whether it is an attribute that the worker takes off its field.
pub(crate) fn is_ours(attr: &Attribute) -> bool {
    OURS.iter().any(|name| attr.path().is_ident(name))
}
