//! `output = Type`: what claude answers with.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;
use syn::spanned::Spanned;

use crate::attr::Attr;
use crate::problems::Problems;

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
