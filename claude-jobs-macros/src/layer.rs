//! One layer of claude options, `{ key = value, …, ..BASE }`: what `args = { … }`,
//! `pinned_args = { … }` and `args! { … }` hold.
//!
//! It knows the grammar but not one option: each key becomes a call that rustc checks, and each call
//! its own constant, so that every wrong key and every wrong value is an error of its own.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprArray, ExprLit, Ident, Lit, LitStr, Token, braced};

use crate::json_schema;
use crate::problems::Problems;
use crate::suggest::snake_case;
use crate::template;
use crate::text::Text;

/// One layer as the user wrote it.
#[derive(Default)]
pub(crate) struct Layer {
    /// `key = value`, in order, no key twice.
    entries: Vec<Entry>,
    /// `..BASE`: a constant layer beneath the keys.
    base: Option<Expr>,
}

/// `key = value`; without the value where that is wrong.
struct Entry {
    key: Ident,
    value: Option<Expr>,
}

impl Layer {
    /// Reads `{ key = value, …, ..BASE }`.
    pub(crate) fn braced(key: &Ident, input: ParseStream<'_>, problems: &mut Problems) -> syn::Result<Self> {
        if !input.peek(syn::token::Brace) {
            let value: Expr = input.parse()?;
            let message =
                format!("`{key}` takes options in braces, such as `{key} = {{ model = \"sonnet\" }}`");
            return Err(syn::Error::new_spanned(value, message));
        }
        let content;
        braced!(content in input);
        Ok(Self::read(&content, problems))
    }

    /// Reads `key = value, …, ..BASE` to the end of the input.
    pub(crate) fn read(input: ParseStream<'_>, problems: &mut Problems) -> Self {
        let mut layer = Self::default();
        each_item(input, problems, |input, problems| {
            if input.peek(Token![..]) { layer.read_base(input) } else { layer.read_entry(input, problems) }
        });
        layer
    }

    /// Whether the layer itself sets this option; what its base sets cannot be seen.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.key(option).is_some()
    }

    /// Whether there are options that cannot be seen.
    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// The key with which the layer itself sets this option.
    pub(crate) fn key(&self, option: &str) -> Option<&Ident> {
        self.entries.iter().map(|entry| &entry.key).find(|key| *key == option)
    }

    /// A layer of this one entry.
    pub(crate) fn of(key: Ident, value: Option<Expr>) -> Self {
        Self { entries: vec![Entry { key, value }], base: None }
    }

    /// The base, if there is one.
    pub(crate) fn base(&self) -> Option<&Expr> {
        self.base.as_ref()
    }

    /// The keys, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Ident> {
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The texts that may hold placeholders: values, and items of lists.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Text<'_>> {
        self.entries.iter().flat_map(|entry| {
            let value = entry.value.iter();
            let literals = value.flat_map(|value| match list_of(value) {
                Some(list) => list.elems.iter().filter_map(template::text_literal).collect(),
                None => Vec::from_iter(template::text_literal(value)),
            });
            literals.map(|literal| Text { option: entry.key.to_string(), literal, file: None })
        })
    }

    fn read_base(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let dots: Token![..] = input.parse()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new_spanned(
                dots,
                "`..` takes a constant of type `Args`, such as `..BASE`",
            ));
        }
        let base: Expr = input.parse()?;
        if self.base.is_some() {
            return Err(syn::Error::new_spanned(
                base,
                "there is one base only: make a constant of both, as in `args! { key = value, ..BASE }`",
            ));
        }
        self.base = Some(base);
        Ok(())
    }

    fn read_entry(&mut self, input: ParseStream<'_>, problems: &mut Problems) -> syn::Result<()> {
        let key = read_key(input, problems)?;
        let twice = self.has(&key.to_string());
        if twice {
            problems.at(&key, given_twice(&key));
        }
        let value = match read_equals(&key, input).and_then(|()| option_value(input)) {
            Ok(value) => json_schema::literal_is_valid(&key, &value, problems).then_some(value),
            Err(error) => {
                problems.add(at_key(&key, error));
                skip_item(input);
                None
            }
        };
        if !twice {
            self.entries.push(Entry { key, value });
        }
        Ok(())
    }
}

/// A layer as generated code: the checks, and the constants that they judge.
pub(crate) struct Expanded {
    /// Items: one constant per key and its check. They stand on their own.
    pub(crate) checks: TokenStream,
    /// An expression of type `Args` over those constants.
    pub(crate) value: TokenStream,
}

impl Layer {
    /// Generated code for the layer; its constants are called `PREFIX_0`, `PREFIX_1`, ….
    /// `place` numbers the placeholders; an entry with a text that cannot be written is left out.
    pub(crate) fn expand(
        &self,
        krate: &impl ToTokens,
        prefix: &str,
        place: &dyn Fn(&str) -> Option<usize>,
    ) -> Expanded {
        let mut expanded = self.expand_base(krate, prefix);
        for (index, Entry { key, value }) in self.entries.iter().enumerate() {
            let Some(value) = value else { continue };
            let Some(literal) = literal(krate, value, place) else { continue };
            let name = format_ident!("{prefix}_{index}");
            expanded.checks.extend(check(krate, &name, key, value, &literal));
            expanded.value.extend(quote!(.overlaid_with(#name)));
        }
        expanded
    }

    fn expand_base(&self, krate: &impl ToTokens, prefix: &str) -> Expanded {
        let Some(base) = &self.base else {
            return Expanded { checks: TokenStream::new(), value: quote!(#krate::__private::Args::EMPTY) };
        };
        let name = format_ident!("{prefix}_BASE");
        let checks = quote!(const #name: #krate::__private::Args = #base;);
        Expanded { checks, value: name.into_token_stream() }
    }
}

/// The constant for one `key = value`, and the check that panics at the user's value.
fn check(
    krate: &impl ToTokens,
    name: &Ident,
    key: &Ident,
    value: &Expr,
    literal: &TokenStream,
) -> TokenStream {
    let call = quote_spanned!(key.span()=> #krate::__private::Args::EMPTY.#key(#literal));
    let judged = Ident::new(&name.to_string(), value.span());
    let check = quote_spanned!(value.span()=> #judged.check());
    quote! {
        const #name: #krate::__private::Args = #krate::__private::option!(#key, _, #call);
        const _: () = #check;
    }
}

/// The value as a `Literal`: by its syntax, or by its type where it is a constant expression.
fn literal(
    krate: &impl ToTokens,
    value: &Expr,
    place: &dyn Fn(&str) -> Option<usize>,
) -> Option<TokenStream> {
    let form = quote_spanned!(value.span()=> #krate::__private::Literal);
    if let Some(text) = template::text_literal(value) {
        return Some(match template::expand(krate, text, place)? {
            template::Text::Plain(text) => quote!(#form::Str(#text)),
            template::Text::Template(template) => quote!(#form::Template(&#template)),
        });
    }
    if let Some(list) = list_of(value) {
        return list_literal(krate, &form, list, place);
    }
    Some(match value {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => quote!(#form::Bool(#flag)),
        number => match number_form(number) {
            Some(NumberForm::Int) => quote!(#form::Int(#number)),
            Some(NumberForm::Float) => quote!(#form::Float(#number)),
            None => {
                // Every token takes the place of the value, so that the error is shown there.
                let wrapper = Ident::new("__ClaudeConst", value.span());
                let literal = quote_spanned!(value.span()=> #wrapper(&#value).literal());
                quote! {{
                    #[allow(unused_imports)]
                    use #krate::__private::{Const as #wrapper, NotForOptions as _};
                    #literal
                }}
            }
        },
    })
}

/// A list of texts, of which some may be templates.
fn list_literal(
    krate: &impl ToTokens,
    form: &TokenStream,
    list: &ExprArray,
    place: &dyn Fn(&str) -> Option<usize>,
) -> Option<TokenStream> {
    let mut is_plain = true;
    let (mut texts, mut templates) = (Vec::new(), Vec::new());
    let private = quote!(#krate::__private);
    for item in &list.elems {
        let text = match template::text_literal(item) {
            Some(text) => match template::expand(krate, text, place)? {
                template::Text::Plain(text) => text.into_token_stream(),
                template::Text::Template(template) => {
                    is_plain = false;
                    templates.push(template);
                    continue;
                }
            },
            None => item.to_token_stream(),
        };
        templates.push(
            quote!(#private::Template { source: #text, sample: #text, parts: &[#private::Part::Text(#text)] }),
        );
        texts.push(text);
    }
    if is_plain {
        return Some(quote!(#form::List(&[#(#texts),*])));
    }
    let count = templates.len();
    Some(quote! {
        #form::Templates({
            const __CLAUDE_ITEMS: &[#private::Template] = &[#(#templates),*];
            const __CLAUDE_SAMPLES: [&::core::primitive::str; #count] = #private::samples(__CLAUDE_ITEMS);
            &#private::Templates { items: __CLAUDE_ITEMS, samples: &__CLAUDE_SAMPLES }
        })
    })
}

/// `[…]` or `&[…]`.
fn list_of(value: &Expr) -> Option<&ExprArray> {
    match value {
        Expr::Array(list) => Some(list),
        Expr::Reference(reference) => match &*reference.expr {
            Expr::Array(list) => Some(list),
            _ => None,
        },
        _ => None,
    }
}

enum NumberForm {
    Int,
    Float,
}

/// What a number without a suffix is, behind a sign or not, or worked out from others: `15 * 60`.
fn number_form(value: &Expr) -> Option<NumberForm> {
    match value {
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. })
        | Expr::Paren(syn::ExprParen { expr, .. }) => number_form(expr),
        Expr::Binary(syn::ExprBinary { left, op, right, .. }) if is_arithmetic(op) => {
            number_form(left).filter(|_| number_form(right).is_some())
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.suffix().is_empty() => {
            Some(NumberForm::Int)
        }
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) if number.suffix().is_empty() => {
            Some(NumberForm::Float)
        }
        _ => None,
    }
}

fn is_arithmetic(op: &syn::BinOp) -> bool {
    use syn::BinOp::{Add, Div, Mul, Sub};
    matches!(op, Add(_) | Sub(_) | Mul(_) | Div(_))
}

/// Reads a value. Literals that no option takes are refused; everything else is for rustc to judge.
fn option_value(input: ParseStream<'_>) -> syn::Result<Expr> {
    let value = ungrouped(input.parse()?);
    match &value {
        Expr::Lit(ExprLit { lit: Lit::Str(_) | Lit::Int(_) | Lit::Float(_) | Lit::Bool(_), .. }) => Ok(value),
        Expr::Lit(_) => Err(syn::Error::new_spanned(
            value,
            "an option takes text in quotes, a number, `true`, `false` or a list such as `[\"one\", \"two\"]`",
        )),
        _ => Ok(value),
    }
}

/// Reads items between commas. A broken item is recorded and skipped, the next is read all the same.
pub(crate) fn each_item(
    input: ParseStream<'_>,
    problems: &mut Problems,
    mut read: impl FnMut(ParseStream<'_>, &mut Problems) -> syn::Result<()>,
) {
    while !input.is_empty() {
        if let Err(error) = read(input, problems) {
            problems.add(error);
            skip_item(input);
        }
        if input.is_empty() {
            break;
        }
        if input.parse::<Token![,]>().is_err() {
            problems.add(input.error("a comma is missing before this"));
            let starts_an_item = input.peek(Ident::peek_any) && input.peek2(Token![=]);
            if !starts_an_item {
                skip_item(input);
                let _ = input.parse::<Token![,]>();
            }
        }
    }
}

/// Skips to the next comma.
pub(crate) fn skip_item(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<proc_macro2::TokenTree>();
    }
}

/// Reads a key. In another spelling, such as `max-turns`, `--max-turns` or `"max_turns"`, it is a mistake and
/// counts all the same.
pub(crate) fn read_key(input: ParseStream<'_>, problems: &mut Problems) -> syn::Result<Ident> {
    if input.peek(LitStr) && input.peek2(Token![=]) {
        let text: LitStr = input.parse()?;
        let key = Ident::parse_any.parse_str(&snake_case(&text.value()));
        let Ok(key) = key else { return Err(syn::Error::new(text.span(), NO_KEY)) };
        problems.at(&text, format!("keys stand without quotes: write `{key}`"));
        return Ok(Ident::new(&key.to_string(), text.span()));
    }
    if input.peek(Ident::peek_any) && !input.peek2(Token![-]) {
        return input.call(Ident::parse_any);
    }
    if !(input.peek(Ident::peek_any) || input.peek(Token![-])) {
        return Err(input.error(NO_KEY));
    }
    let (mut tokens, mut words) = (TokenStream::new(), Vec::new());
    while input.peek(Token![-]) || input.peek(Ident::peek_any) {
        if input.peek(Token![-]) {
            input.parse::<Token![-]>()?.to_tokens(&mut tokens);
        } else {
            let word = input.call(Ident::parse_any)?;
            word.to_tokens(&mut tokens);
            words.push(snake_case(&word.to_string()));
        }
    }
    if words.is_empty() {
        return Err(syn::Error::new_spanned(tokens, NO_KEY));
    }
    let error =
        syn::Error::new_spanned(tokens, format!("keys are in snake case: write `{}`", words.join("_")));
    let key = Ident::new(&words.join("_"), error.span());
    problems.add(error);
    Ok(key)
}

const NO_KEY: &str = "expected a key: write `key = value`";

/// Reads the `=` after a key, and makes sure that a value follows.
pub(crate) fn read_equals(key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    let problem = if input.peek(Token![:]) || input.peek(syn::token::Paren) {
        "takes its value after `=`"
    } else {
        "has no value"
    };
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        if !input.is_empty() && !input.peek(Token![,]) {
            return Ok(());
        }
    }
    Err(syn::Error::new(key.span(), format!("`{key}` {problem}: write `{key} = …`")))
}

/// The error about a value, at its key where the value breaks off: there is no token to show it at.
pub(crate) fn at_key(key: &Ident, error: syn::Error) -> syn::Error {
    match error.to_string().strip_prefix("unexpected end of input, ") {
        Some(expected) => {
            syn::Error::new(key.span(), format!("`{key}` has a value that breaks off: {expected}"))
        }
        None => error,
    }
}

/// The message about a key that is there already.
pub(crate) fn given_twice(key: &Ident) -> String {
    format!("`{key}` is given twice: keep one")
}

/// The expression without the invisible group that a `macro_rules!` fragment puts around it.
pub(crate) fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Layer, Vec<String>) {
        let mut problems = Problems::default();
        let parser = |input: ParseStream<'_>| Ok(Layer::read(input, &mut problems));
        let layer = parser.parse_str(text).expect("reading takes all tokens");
        (layer, problems.messages())
    }

    #[test]
    fn keys_and_base_in_any_order() {
        for text in ["model = \"opus\", ..BASE", "..BASE, model = \"opus\",", "..crate::BASE, model = MODEL"]
        {
            let (layer, problems) = read(text);
            assert!(layer.has("model") && layer.base.is_some(), "{text}");
            assert!(problems.is_empty(), "{text}: {problems:?}");
        }
    }

    #[test]
    fn every_mistake_is_found() {
        let (layer, problems) =
            read("a = 1, a = 2, b, = 3, c = , d = 'x', e = 5 f = 6, ..A, ..B, .., g = #, h = 7");
        assert_eq!(problems.len(), 9, "{problems:#?}");
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert!(layer.has(key), "{key}");
        }
    }

    #[test]
    fn values_are_wrapped_by_their_syntax() {
        let cases = [
            ("\"x\"", "k :: __private :: Literal :: Str (\"x\")"),
            ("-4", "k :: __private :: Literal :: Int (- 4)"),
            ("2.5", "k :: __private :: Literal :: Float (2.5)"),
            ("true", "k :: __private :: Literal :: Bool (true)"),
            ("[\"a\", B]", "k :: __private :: Literal :: List (& [\"a\" , B])"),
            ("&[\"a\"]", "k :: __private :: Literal :: List (& [\"a\"])"),
            ("15 * 60", "k :: __private :: Literal :: Int (15 * 60)"),
            ("(1.5 + 1.0)", "k :: __private :: Literal :: Float ((1.5 + 1.0))"),
        ];
        for (text, expected) in cases {
            let value: Expr = syn::parse_str(text).expect("an expression");
            let literal = literal(&quote!(k), &value, &|_| None).expect("a literal");
            assert_eq!(literal.to_string(), expected, "{text}");
        }
        for text in ["4u8", "MODEL", "15 * MINUTE"] {
            let value: Expr = syn::parse_str(text).expect("an expression");
            let literal = literal(&quote!(k), &value, &|_| None).expect("a literal").to_string();
            let call = format!("__ClaudeConst (& {}) . literal ()", value.to_token_stream());
            assert!(literal.contains(&call), "{literal}");
        }
    }
}
