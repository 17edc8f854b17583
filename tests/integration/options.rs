//! The table of options against claude-wrapper itself: no setter of its `QueryCommand` may be
//! forgotten.

use std::collections::BTreeSet;
use std::process::Command;

use claude_jobs::options::{ROWS, wrapper_setters};
use serde_json::Value;
use syn::{FnArg, ImplItem, Item, ReturnType, Visibility};

/// The system that rustc builds for.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").to_owned()
}

/// The wrapper's source, wherever cargo has put it.
fn wrapper_source() -> String {
    let output = Command::new(env!("CARGO"))
        // Of packages for other systems only the names are known here.
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &host()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let wrapper = packages.iter().find(|package| package["name"] == "claude-wrapper").expect("a dependency");
    let manifest = wrapper["manifest_path"].as_str().expect("a path");
    let path = std::path::Path::new(manifest).with_file_name("src").join("command/query.rs");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `pub fn name(mut self, …) -> Self` of `impl QueryCommand`.
fn setters() -> BTreeSet<String> {
    let file = syn::parse_file(&wrapper_source()).expect("it is Rust");
    let impls = file.items.into_iter().filter_map(|item| match item {
        Item::Impl(item) if item.trait_.is_none() => Some(item),
        _ => None,
    });
    let mut setters = BTreeSet::new();
    for item in impls.flat_map(|item| item.items) {
        let ImplItem::Fn(function) = item else { continue };
        let takes_self =
            matches!(function.sig.inputs.first(), Some(FnArg::Receiver(this)) if this.reference.is_none());
        let gives_self = matches!(&function.sig.output, ReturnType::Type(_, of) if quote::quote!(#of).to_string() == "Self");
        if takes_self && gives_self && matches!(function.vis, Visibility::Public(_)) {
            setters.insert(function.sig.ident.to_string());
        }
    }
    setters
}

#[test]
fn every_setter_of_the_wrapper_is_an_option_or_excluded_with_its_reason() {
    let setters = setters();
    assert!(setters.len() > 40, "the walk finds them: {setters:?}");
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
    let renamed = wrapper_setters::RENAMED;
    for setter in &setters {
        let is_row = rows.contains(setter.as_str());
        let is_renamed = renamed.iter().any(|(name, row)| name == setter && rows.contains(row));
        let excluded = wrapper_setters::EXCLUDED.iter().find(|(name, _)| name == setter);
        let ways = usize::from(is_row) + usize::from(is_renamed) + usize::from(excluded.is_some());
        assert_eq!(ways, 1, "`{setter}` of the wrapper: give it a row in the table, or a reason in EXCLUDED");
        assert!(excluded.is_none_or(|(_, reason)| reason.len() > 10), "`{setter}` has a reason");
    }
    for (name, _) in wrapper_setters::EXCLUDED.iter().chain(renamed) {
        assert!(setters.contains(*name), "`{name}` is no setter of the wrapper any more");
    }
}

/// Options that the issue names; a row that goes missing is a break for users.
#[test]
fn the_promised_options_are_there() {
    let promised = "prompt model fallback_model working_dir binary add_dir system_prompt append_system_prompt \
        system_prompt_file append_system_prompt_file permission_mode permission_prompt_tool allowed_tools \
        disallowed_tools tools mcp_config strict_mcp_config agent agents settings setting_sources effort max_turns \
        max_budget_usd max_thinking_tokens timeout idle_timeout tool_timeout json_schema worktree hermetic resume session_id \
        no_session_persistence fork_session betas plugin_dir disable_slash_commands";
    for name in promised.split_whitespace() {
        assert!(ROWS.iter().any(|row| row.name == name), "{name}");
    }
}
