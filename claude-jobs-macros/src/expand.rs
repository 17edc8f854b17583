//! The generated code: the struct with its serde derives, `new`, the `Worker` impl, the registration.
//!
//! It names items only through `#krate::__private`, `::core` and `::std`, so that nothing in the
//! user's scope can come between. Where the definition is wrong the same code is generated around a
//! default definition, so that the mistakes are all that the compiler has to say.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Field, Ident, Lit, LitInt, LitStr, Path, Type, parse_quote};

use crate::attr::Attr;
use crate::check;
use crate::fields::{self, Fields};
use crate::layer::Layer;
use crate::output;
use crate::problems::Problems;
use crate::prompt_file::PromptFile;
use crate::rules;
use crate::template::{self, Piece};
use crate::text::Text;
use crate::written::Container;

mod stub;

/// Expands `#[claude_worker(…)]`.
pub(crate) fn claude_worker(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let attr = Attr::read(attribute, &mut problems);
    let krate = attr.krate.clone().unwrap_or_else(|| parse_quote!(::claude_jobs));

    let Ok(mut parsed) = syn::parse2::<DeriveInput>(item.clone()) else {
        problems.add(check::no_struct(&item));
        return quote!(#problems #item);
    };
    check::attributes(&mut parsed, &mut problems);
    let worker = match check::fields(&parsed, &mut problems) {
        Some(fields) => {
            check::attribute(&attr, &fields, &mut problems);
            let fields = Fields::read(&fields, &Container::read(&parsed.attrs), &attr, &mut problems);
            let is_sound = problems.is_empty() && attr.unknown.is_empty();
            Worker { krate: &krate, attr: &attr, item: &parsed, fields, is_sound }.expand()
        }
        None => stub::expand(&krate, &attr, &parsed),
    };
    let unknown = &attr.unknown;
    take_off_our_attributes(&mut parsed);
    derive_serde(&krate, &mut parsed);
    quote!(#problems #(#krate::__private::key! { #unknown })* #parsed #worker)
}

/// Expands `args!(($crate) key = value, …, ..BASE)`.
pub(crate) fn args(input: TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let read = |input: ParseStream<'_>| {
        let content;
        syn::parenthesized!(content in input);
        Ok((content.call(Path::parse_mod_style)?, Layer::read(input, &mut problems)))
    };
    match read.parse2(input) {
        Ok((krate, layer)) => {
            for text in layer.texts() {
                no_placeholders(&text, &mut problems);
            }
            let layer = layer.expand(&krate, "__CLAUDE_ARG", &|_| None);
            let (checks, value) = (layer.checks, layer.value);
            quote!({ #problems #checks #value })
        }
        Err(error) => error.to_compile_error(),
    }
}

/// In `args!` there is no worker whose fields a text could name.
fn no_placeholders(text: &Text<'_>, problems: &mut Problems) {
    let (pieces, mistakes) = template::read(&text.literal.value());
    for mistake in mistakes {
        problems.at(text.literal, mistake.message);
    }
    for piece in pieces {
        if let Piece::Place(path) = piece {
            problems.at(
                text.literal,
                format!(
                    "`{{{path}}}` names a field, and `args!` has none: set `{}` in the worker's own `args`, or write \
                     `{{{{{path}}}}}` for the text itself",
                    text.option
                ),
            );
        }
    }
}

/// Removes the attributes that only we read.
fn take_off_our_attributes(item: &mut DeriveInput) {
    let take_off = |attrs: &mut Vec<Attribute>| attrs.retain(|attr| !fields::is_ours(attr));
    match &mut item.data {
        Data::Struct(data) => data.fields.iter_mut().for_each(|field| take_off(&mut field.attrs)),
        Data::Union(data) => data.fields.named.iter_mut().for_each(|field| take_off(&mut field.attrs)),
        Data::Enum(data) => {
            for variant in &mut data.variants {
                take_off(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| take_off(&mut field.attrs));
            }
        }
    }
}

/// Adds the serde derives that the user has not written.
fn derive_serde(krate: &Path, item: &mut DeriveInput) {
    if matches!(item.data, Data::Union(_)) {
        return;
    }
    let missing: Vec<Ident> = ["Serialize", "Deserialize"]
        .into_iter()
        .filter(|name| !item.attrs.iter().any(|attr| derives(attr, name)))
        .map(|name| Ident::new(name, Span::call_site()))
        .collect();
    if missing.is_empty() {
        return;
    }
    let serde = quote!(#krate::__private::serde).to_string();
    let ours: [Attribute; 2] = [
        parse_quote!(#[derive(#(#krate::__private::serde::#missing),*)]),
        parse_quote!(#[serde(crate = #serde)]),
    ];
    item.attrs.splice(0..0, ours);
}

/// Whether the attribute is a `#[derive(…)]` of a trait of that name.
fn derives(attr: &Attribute, name: &str) -> bool {
    let mut found = false;
    if attr.path().is_ident("derive") {
        // Whatever is wrong in there is rustc's to report.
        let _ = attr.parse_nested_meta(|meta| {
            found |= meta.path.segments.last().is_some_and(|last| last.ident == name);
            Ok(())
        });
    }
    found
}

/// What the code of one worker is made from.
struct Worker<'a> {
    krate: &'a Path,
    attr: &'a Attr,
    item: &'a DeriveInput,
    fields: Fields<'a>,
    /// Whether no mistake was found, so that the definition can be written in full.
    is_sound: bool,
}

impl Worker<'_> {
    fn expand(&self) -> TokenStream {
        let (constants, definition) = self.definition();
        let new = self.new_function();
        let implementation = self.implementation(&definition);
        quote! {
            const _: () = {
                #constants
                #new
                #implementation
            };
        }
    }

    /// `W::new(field, …, prompt)`.
    fn new_function(&self) -> TokenStream {
        let (krate, name, vis) = (self.krate, &self.item.ident, &self.item.vis);
        let parameters = self.fields.iter().map(|field| {
            let (cfgs, field, ty) = (cfgs(field), &field.ident, &field.ty);
            quote!(#(#cfgs)* #field: #ty)
        });
        let fields = self.fields.iter().map(|field| {
            let (cfgs, field) = (cfgs(field), &field.ident);
            quote!(#(#cfgs)* #field)
        });
        let prompt = check::takes_prompt(self.attr).then(prompt);
        let with_prompt = prompt.as_ref().map(|prompt| quote!(.prompt(#prompt)));
        let parameters = parameters.chain(prompt.as_ref().map(prompt_parameter));
        let new = Ident::new("new", name.span());
        let doc = format!("A job for [`{name}`], to be configured further and then inserted.");
        quote! {
            impl #name {
                #[doc = #doc]
                #[allow(dead_code, clippy::too_many_arguments)]
                #vis fn #new(#(#parameters),*) -> #krate::__private::JobBuilder<Self> {
                    #krate::__private::JobBuilder::<Self>::new(&Self { #(#fields),* }) #with_prompt
                }
            }
        }
    }

    fn implementation(&self, definition: &TokenStream) -> TokenStream {
        let (krate, name) = (self.krate, &self.item.ident);
        let registration = quote!(#krate::__private::Registration);
        let show_values = self.is_sound.then(|| self.fields.show_values(krate));
        let submission =
            self.is_sound.then(|| quote!(#krate::__private::inventory::submit! { #krate::__private::Linked(&__CLAUDE_REGISTRATION) }));
        let output::Expanded { items, members: output, .. } = output::expand(krate, name, self.attr);
        quote! {
            #items

            #[automatically_derived]
            impl #krate::__private::Worker for #name {
                #output

                const DEFINITION: #krate::__private::Definition = #definition;

                #show_values

                fn registration() -> &'static #registration {
                    &__CLAUDE_REGISTRATION
                }
            }

            static __CLAUDE_REGISTRATION: #registration = #registration {
                definition: &<#name as #krate::__private::Worker>::DEFINITION,
                load: __claude_load,
            };

            fn __claude_load(input: &#krate::__private::Value) -> #krate::__private::Loaded {
                #[allow(unused_imports)]
                use #krate::__private::{WithHandler as _, WithoutHandler as _};
                (&#krate::__private::Probe::<#name>::NEW).load(input)
            }
            #submission
        }
    }

    /// The constants that are checked one by one, and the `Definition` made from them. Of an unsound
    /// definition only name and queue are left; its options are checked all the same.
    fn definition(&self) -> (TokenStream, TokenStream) {
        let (krate, attr) = (self.krate, self.attr);
        let place = |path: &str| self.fields.index(path);
        let args = attr.args.expand(krate, "__CLAUDE_ARG", &place);
        let pinned_args = attr.pinned_args.expand(krate, "__CLAUDE_PINNED", &place);
        let prompt = self.prompt_layer().expand(krate, "__CLAUDE_PROMPT", &place);
        let (unique_checks, unique) = self.unique();
        let key_check = self.concurrency_key_check();
        let checks = [&args.checks, &prompt.checks, &pinned_args.checks, &unique_checks, &key_check];
        let file = attr.prompt_file.as_ref().map(PromptFile::dependency);
        let constants = quote!(#file #(#checks)*);

        let name = attr.name.as_ref().map_or_else(|| self.item.ident.unraw().to_string(), LitStr::value);
        let queue = attr.queue.as_ref().map_or_else(String::new, LitStr::value);
        let defaults = quote!(#krate::__private::Definition::new(#name, #queue));
        if !self.is_sound {
            return (constants, defaults);
        }

        let (args, prompt, pinned_args) = (args.value, prompt.value, pinned_args.value);
        let output = output::expand(krate, &self.item.ident, attr).setting;
        let kept_args = self.kept("__CLAUDE_ARGS", quote!(#args.overlaid_with(#prompt)));
        let kept_pinned_args = self.kept("__CLAUDE_PINNED_ARGS", pinned_args);
        let rules = rules::checks(krate, attr, &self.fields);
        let settings = self.settings();
        let placeholders = self.fields.placeholders(krate).map(|list| setting("placeholders", list));
        let fields = self.fields.iter().map(|field| {
            let (cfgs, name) = (cfgs(field), field.ident.as_ref().map(|name| name.unraw().to_string()));
            quote!(#(#cfgs)* #name)
        });
        let field_types = self.fields.iter().map(|field| {
            let (cfgs, ty) = (cfgs(field), &field.ty);
            quote!(#(#cfgs)* ::core::stringify!(#ty))
        });
        let untrusted_fields =
            self.fields.untrusted_names().map(|names| setting("untrusted_fields", quote!(&[#(#names),*])));
        let definition = quote! {
            #krate::__private::Definition {
                #settings
                #output
                unique: #unique,
                args: __CLAUDE_ARGS_KEPT,
                pinned_args: __CLAUDE_PINNED_ARGS_KEPT,
                fields: &[#(#fields),*],
                field_types: &[#(#field_types),*],
                #untrusted_fields
                #placeholders
                defined_at: ::core::concat!(::core::file!(), ":", ::core::line!()),
                ..#defaults
            }
        };
        (quote!(#constants #kept_args #kept_pinned_args #rules), definition)
    }

    /// A layer as a constant, for the rules, and what the program keeps of it.
    fn kept(&self, name: &str, layer: TokenStream) -> TokenStream {
        let krate = self.krate;
        let (all, kept) = (format_ident!("{name}"), format_ident!("{name}_KEPT"));
        quote! {
            const #all: #krate::__private::Args = #layer;
            const #kept: #krate::__private::Settings =
                #krate::__private::Settings(&const { #all.only_set::<{ #all.count_set() }>() });
        }
    }

    /// The fields of the definition that are written as they stand in the attribute.
    fn settings(&self) -> TokenStream {
        let attr = self.attr;
        let max_attempts = attr.max_attempts.as_ref().map(|number| setting("max_attempts", bare(number)));
        let max_snoozes = attr.max_snoozes.as_ref().map(|number| setting("max_snoozes", bare(number)));
        let priority = attr.priority.as_ref().map(|number| setting("priority", bare(number)));
        let tags = attr.tags.as_ref().map(|tags| setting("tags", quote!(&[#(#tags),*])));
        let classifier = attr.classifier.as_ref().map(|path| setting("classifier", path));
        let backoff = attr.backoff.as_ref().map(|path| setting("backoff", path));
        let (on_lost, retry_from, cron) = (self.on_lost(), self.retry_from(), self.cron());
        let count = |name, number: &Option<LitInt>| number.as_ref().map(|number| setting(name, bare(number)));
        let interruptions = count("max_interruptions", &attr.max_interruptions);
        let handlers = count("max_handler_attempts", &attr.max_handler_attempts);
        let some = |value: LitStr| quote!(::core::option::Option::Some(#value));
        let key = attr.concurrency_key.as_ref().map(|name| self.fields.written(name));
        let key = key.map(|name| setting("concurrency_key", some(name)));
        let state = attr.state.as_ref().map(|ty| setting("state", self.state(ty)));
        let mcp = attr.require_mcp.then(|| setting("require_mcp", quote!(true)));
        let writes = attr.allow_untrusted_writes.then(|| setting("allow_untrusted_writes", quote!(true)));
        quote!(#writes #mcp #max_attempts #max_snoozes #priority #tags #classifier #backoff #on_lost
            #retry_from #interruptions #handlers #key #state #cron)
    }

    /// `state = Type`: an error about the type is at the user's own token.
    fn state(&self, ty: &Type) -> TokenStream {
        let (krate, name) = (self.krate, ty.to_token_stream().to_string());
        quote_spanned!(ty.span()=> ::core::option::Option::Some(#krate::__private::StateType::of::<#ty>(#name)))
    }

    fn on_lost(&self) -> Option<TokenStream> {
        let krate = self.krate;
        let variant = check::variant(self.attr.on_lost.as_ref()?, check::ON_LOST)?;
        Some(setting("on_lost", quote!(#krate::__private::OnLost::#variant)))
    }

    fn retry_from(&self) -> Option<TokenStream> {
        let krate = self.krate;
        let variant = check::variant(self.attr.retry_from.as_ref()?, check::RETRY_FROM)?;
        Some(setting("retry_from", quote!(#krate::__private::RetryFrom::#variant)))
    }

    fn cron(&self) -> Option<TokenStream> {
        let (krate, attr) = (self.krate, self.attr);
        let expression = attr.cron.as_ref()?;
        let time_zone = attr.timezone.as_ref().map_or_else(|| "UTC".to_owned(), LitStr::value);
        let chosen = |text: &Option<LitStr>, known, name: &str| {
            let name = Ident::new(name, Span::call_site());
            match text.as_ref().and_then(|text| check::variant(text, known)) {
                Some(variant) => quote!(#krate::__private::#name::#variant),
                None => quote!(#krate::__private::#name::DEFAULT),
            }
        };
        let missed = chosen(&attr.missed, check::MISSED, "Missed");
        let if_busy = chosen(&attr.if_busy, check::IF_BUSY, "IfBusy");
        Some(setting(
            "cron",
            quote! {
                ::core::option::Option::Some(#krate::__private::WorkerCron {
                    expression: #expression,
                    time_zone: #time_zone,
                    missed: #missed,
                    if_busy: #if_busy,
                })
            },
        ))
    }

    /// `prompt = …` as a layer of that one option.
    fn prompt_layer(&self) -> Layer {
        let file = self.attr.prompt_file.as_ref().map(|file| {
            let text = &file.text;
            parse_quote!(#text)
        });
        let Some(prompt) = self.attr.prompt.clone().or(file) else { return Layer::default() };
        let key = Ident::new("prompt", prompt.span());
        Layer::of(key, Some(prompt))
    }

    /// The checks on uniqueness, and an expression of type `Option<UniqueDefault>`.
    fn unique(&self) -> (TokenStream, TokenStream) {
        let krate = self.krate;
        let by_checks = self.unique_by_checks();
        let Some(period) = &self.attr.unique_period else {
            return (by_checks, quote!(::core::option::Option::None));
        };
        let form = if matches!(period, Lit::Str(_)) { quote!(Str) } else { quote!(Int) };
        let check = quote_spanned!(period.span()=> __CLAUDE_UNIQUE_PERIOD.check());
        let by = self.attr.unique_by.iter().flatten().map(|name| self.unique_field(name));
        let states =
            self.attr.unique_states.iter().flatten().filter_map(|state| check::variant(state, check::STATES));
        let checks = quote! {
            const __CLAUDE_UNIQUE_PERIOD: #krate::__private::UniquePeriod =
                #krate::__private::UniquePeriod::new(#krate::__private::Literal::#form(#period));
            const _: () = #check;
            #by_checks
        };
        let unique = quote! {
            ::core::option::Option::Some(#krate::__private::UniqueDefault {
                period: __CLAUDE_UNIQUE_PERIOD.seconds(),
                by: &[#(#by),*],
                states: &[#(#krate::__private::State::#states),*],
            })
        };
        (checks, unique)
    }

    fn unique_field(&self, name: &LitStr) -> TokenStream {
        let krate = self.krate;
        let field = quote!(#krate::__private::UniqueField);
        match name.value().as_str() {
            "worker" => quote!(#field::Worker),
            "queue" => quote!(#field::Queue),
            "args" => quote!(#field::Args),
            _ => {
                let name = self.fields.written(name);
                quote!(#field::Key(::std::borrow::Cow::Borrowed(#name)))
            }
        }
    }

    fn unique_by_checks(&self) -> TokenStream {
        let names = self.attr.unique_by.iter().flatten().filter(|name| !is_part(&name.value()));
        self.field_or_option(names)
    }

    fn concurrency_key_check(&self) -> TokenStream {
        self.field_or_option(self.attr.concurrency_key.iter())
    }

    /// A name that is no field of the worker must be an option.
    fn field_or_option<'a>(&self, names: impl Iterator<Item = &'a LitStr>) -> TokenStream {
        let krate = self.krate;
        let fields: Vec<_> =
            self.fields.iter().filter_map(|field| field.ident.as_ref()).map(Ident::unraw).collect();
        let others = names.filter_map(check::field_name).filter(|name| !fields.contains(name));
        others
            .map(|name| quote!(const _: () = #krate::__private::option!(#name, (#(#fields)*), ());))
            .collect()
    }
}

/// The last parameter of `new`; no name of the user's can be it.
fn prompt() -> Ident {
    Ident::new("prompt", Span::mixed_site())
}

fn prompt_parameter(prompt: &Ident) -> TokenStream {
    quote!(#prompt: impl ::core::convert::Into<::std::string::String>)
}

/// Whether `unique_by` takes the name for a part of every job.
fn is_part(name: &str) -> bool {
    matches!(name, "worker" | "queue" | "args")
}

/// `key: value,`.
fn setting(key: &str, value: impl ToTokens) -> TokenStream {
    let key = Ident::new(key, Span::call_site());
    quote!(#key: #value,)
}

/// The number without its suffix, so that it takes the type of the field.
fn bare(number: &LitInt) -> Literal {
    let mut literal = Literal::u32_unsuffixed(number.base10_parse().unwrap_or_default());
    literal.set_span(number.span());
    literal
}

fn cfgs(field: &Field) -> impl Iterator<Item = &Attribute> {
    field.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}

#[cfg(test)]
mod tests;
