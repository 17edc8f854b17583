//! The rules between keys that only rustc can judge, because a base or a constant may take part: each
//! becomes a check on the constant of all layers, shown at the user's token.
//!
//! The options that are named here are only places to point at: what the rules are is said in the
//! runtime crate.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path};

use crate::attr::Attr;
use crate::check;
use crate::fields::Fields;
use crate::layer::Layer;

/// The options at which `Args::check_beside` may find a contradiction.
const CONTRADICTED: &[&str] = &[
    "system_prompt_file",
    "append_system_prompt_file",
    "from_pr",
    "no_session_persistence",
    "fork_session",
    "session_id",
    "idle_timeout",
    "tool_timeout",
];

/// The options that `Args::check_attempts` and `Args::check_untrusted` judge.
const GRANTING: &[&str] = &[
    "permission_mode",
    "allowed_tools",
    "binary",
    "permission_prompt_tool",
    "mcp_config",
    "agent",
    "agents",
    "settings",
    "plugin_dir",
    "plugin_url",
    "file",
];

/// The checks of a sound definition, over the constants of its two layers.
pub(crate) fn checks(krate: &Path, attr: &Attr, fields: &Fields<'_>) -> TokenStream {
    let mut checks = TokenStream::new();
    for option in CONTRADICTED {
        if let Some(span) = place(attr, option) {
            checks.extend(check(span, quote!(check_beside(#option))));
        }
    }
    for (span, options) in granting_places(attr) {
        if !attr.means("max_attempts") {
            checks.extend(check(span, quote!(check_attempts(&[#(#options),*]))));
        }
        if fields.any_is_untrusted() && !attr.allow_untrusted_writes {
            checks.extend(check(span, quote!(check_untrusted(&[#(#options),*]))));
        }
    }
    if attr.on_lost.as_ref().is_some_and(|on_lost| on_lost.value() == "resume")
        && let Some(span) = place(attr, "no_session_persistence")
    {
        checks.extend(check(span, quote!(check_resumable())));
    }
    if let Some(cron) = attr.cron.as_ref().filter(|_| check::takes_prompt(attr)) {
        checks.extend(check(cron.span(), quote!(check_prompt())));
    }
    if let Some(output) = &attr.output {
        checks.extend(check(output.span(), quote!(check_no_schema())));
    }
    if checks.is_empty() {
        return checks;
    }
    quote! {
        const __CLAUDE_LAYERS: #krate::__private::Args =
            __CLAUDE_ARGS.overlaid_with(__CLAUDE_PINNED_ARGS);
        #checks
    }
}

/// Where this option is set, as far as it can be seen: at its key, or at a base.
fn place(attr: &Attr, option: &str) -> Option<Span> {
    key(attr, option).or_else(|| base(attr))
}

/// Where options are set that can let a run write: each that is in sight at its key, the others at a base.
fn granting_places(attr: &Attr) -> Vec<(Span, Vec<&'static str>)> {
    let (in_sight, others): (Vec<&str>, Vec<&str>) =
        GRANTING.iter().copied().partition(|option| key(attr, option).is_some());
    let keys = in_sight.into_iter().filter_map(|option| Some((key(attr, option)?, vec![option])));
    keys.chain(base(attr).map(|span| (span, others))).collect()
}

fn key(attr: &Attr, option: &str) -> Option<Span> {
    layers(attr).into_iter().find_map(|layer| layer.key(option)).map(Ident::span)
}

fn base(attr: &Attr) -> Option<Span> {
    layers(attr).into_iter().find_map(Layer::base).map(Spanned::span)
}

/// The layers, the higher one first.
fn layers(attr: &Attr) -> [&Layer; 2] {
    [&attr.pinned_args, &attr.args]
}

fn check(span: Span, call: TokenStream) -> TokenStream {
    // The call and what it is made on take the user's place, so that the panic is shown there.
    let layers = Ident::new("__CLAUDE_LAYERS", span);
    let call: TokenStream = call
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect();
    let check = quote_spanned!(span=> #layers.#call);
    quote!(const _: () = #check;)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_rule_of_the_runtime_crate_has_its_place() {
        assert_eq!(super::CONTRADICTED, claude_jobs::__private::SHOWN_AT);
        assert_eq!(super::GRANTING, claude_jobs::__private::GRANTING);
    }
}
