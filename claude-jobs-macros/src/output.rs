//! `output = Type`, and a literal `json_schema = "…"`: what claude answers with.
//!
//! A literal schema is judged here, while the attribute is read: by the check that the runtime makes too, and
//! with the place in the schema, which no const expression could say.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, Path, Token, Type};

use crate::attr::Attr;
use crate::layer::ungrouped;
use crate::problems::Problems;

/// Reads the value of `output`.
pub(crate) fn read_type(input: ParseStream<'_>) -> syn::Result<Type> {
    let fork = input.fork();
    if fork.parse::<Type>().is_ok() && (fork.is_empty() || fork.peek(Token![,])) {
        return match input.parse()? {
            Type::Reference(borrowed) => {
                let message = "an answer is owned: name a type such as `String` or `Vec<String>`";
                Err(syn::Error::new_spanned(borrowed, message))
            }
            ty => Ok(ty),
        };
    }
    let value = ungrouped(input.parse::<Expr>()?);
    Err(syn::Error::new_spanned(value, "`output` takes a type, such as `output = Answer`"))
}

/// The type says what the schema is. What a base sets is looked at in `rules`.
pub(crate) fn has_no_schema_beside(attr: &Attr, problems: &mut Problems) {
    if attr.key("output").is_none() {
        return;
    }
    let layers = [("args", &attr.args), ("pinned_args", &attr.pinned_args)];
    for (layer, key) in layers.into_iter().filter_map(|(name, layer)| Some((name, layer.key("json_schema")?)))
    {
        let remedy = format!("`output` makes it from the type, so drop this one in `{layer}`");
        problems.at(key, format!("the schema is given twice: {remedy}"));
    }
}

/// Whether a literal of this option is a schema that claude takes; where it is none, the option counts as
/// given and is left out.
pub(crate) fn literal_schema_is_valid(key: &Ident, value: &Expr, problems: &mut Problems) -> bool {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return true };
    if key != "json_schema" {
        return true;
    }
    let mistakes = claude_jobs_json_schema::problems(&text.value());
    for mistake in &mistakes {
        problems.at(text, format!("`json_schema`: {mistake}"));
    }
    mistakes.is_empty()
}

/// The generated code for what claude answers with.
pub(crate) struct Expanded {
    /// A static with the schema.
    pub(crate) items: TokenStream,
    /// The members of the `Worker` impl.
    pub(crate) members: TokenStream,
    /// The field of the definition.
    pub(crate) setting: TokenStream,
}

/// Expands `output = Type`, or its absence: the answer's text.
pub(crate) fn expand(krate: &Path, worker: &Ident, attr: &Attr) -> Expanded {
    let result = quote!(::core::result::Result<Self::Output, #krate::__private::Mismatch>);
    let run = quote!(run: &#krate::__private::Run);
    let Some(ty) = &attr.output else {
        return Expanded {
            items: TokenStream::new(),
            members: quote! {
                type Output = ::std::string::String;

                fn output(#run) -> #result {
                    ::core::result::Result::Ok(::core::convert::Into::into(run.text()))
                }
            },
            setting: TokenStream::new(),
        };
    };
    let contract = quote!(#krate::__private::Contract);
    let new = quote_spanned!(ty.span()=> #krate::__private::contract::<#ty>());
    let name = ty.to_token_stream().to_string();
    let option = Ident::new("output", Span::call_site());
    Expanded {
        items: quote!(static __CLAUDE_OUTPUT: #contract<<#worker as #krate::__private::Worker>::Output> = #new;),
        members: quote! {
            type Output = #ty;

            fn output(#run) -> #result {
                __CLAUDE_OUTPUT.read(run)
            }
        },
        setting: quote! {
            #option: ::core::option::Option::Some(#krate::__private::OutputType {
                name: #name,
                schema: || __CLAUDE_OUTPUT.schema(),
                mismatch: |run| __CLAUDE_OUTPUT.read(run).err(),
            }),
        },
    }
}
