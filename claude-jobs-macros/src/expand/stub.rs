//! What stands for the code of an item that can be no worker: the same names with nothing behind them, so that
//! an editor goes on, and what the rest of the program makes of them is no further mistake.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Field, Fields, Path, WhereClause, parse_quote};

use crate::attr::Attr;
use crate::check;

/// Expands to a `new` and a `Worker` impl that only have types.
pub(super) fn expand(krate: &Path, attr: &Attr, item: &DeriveInput) -> TokenStream {
    let fields = match &item.data {
        Data::Struct(data) => data.fields.clone(),
        Data::Enum(_) => Fields::Unit,
        // It has no serde, which every worker has.
        Data::Union(_) => return TokenStream::new(),
    };
    let (name, vis) = (&item.ident, &item.vis);
    let parameters = (0..).zip(&fields).map(|(number, field)| parameter(number, field));
    let prompt = check::takes_prompt(attr).then(super::prompt);
    let parameters = parameters.chain(prompt.as_ref().map(super::prompt_parameter));
    let new = Ident::new("new", name.span());
    let (generics, arguments, clause) = item.generics.split_for_impl();
    let text = parse_quote!(::std::string::String);
    let (output, name_of_rows) = (attr.output.as_ref().unwrap_or(&text), name.unraw().to_string());
    let serves = serves(krate, clause);
    quote! {
        #[allow(dead_code, unused_variables, clippy::too_many_arguments, clippy::empty_loop)]
        const _: () = {
            impl #generics #name #arguments #clause {
                #vis fn #new(#(#parameters),*) -> #krate::__private::JobBuilder<Self> {
                    loop {}
                }
            }

            impl #generics #krate::__private::Worker for #name #arguments #serves {
                type Output = #output;

                const DEFINITION: #krate::__private::Definition =
                    #krate::__private::Definition::new(#name_of_rows, "");

                fn output(
                    run: &#krate::__private::Run,
                ) -> ::core::result::Result<Self::Output, #krate::__private::Mismatch> {
                    loop {}
                }

                fn registration() -> &'static #krate::__private::Registration {
                    loop {}
                }
            }
        };
    }
}

/// A field as a parameter of `new`; one without a name gets one.
fn parameter(number: usize, field: &Field) -> TokenStream {
    let (cfgs, ty) = (super::cfgs(field), &field.ty);
    let name = field.ident.clone().unwrap_or_else(|| format_ident!("field_{number}"));
    quote!(#(#cfgs)* #name: #ty)
}

/// The item's own conditions, and what a worker must be: of an item with generics that is not known.
fn serves(krate: &Path, clause: Option<&WhereClause>) -> WhereClause {
    let mut clause = clause.cloned().unwrap_or_else(|| parse_quote!(where));
    clause.predicates.push(parse_quote! {
        Self: #krate::__private::serde::Serialize
            + #krate::__private::serde::de::DeserializeOwned
            + ::core::marker::Send
            + ::core::marker::Sync
            + 'static
    });
    clause
}
