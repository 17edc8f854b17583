//! Definitions that compile in edition 2024 (`tests/ui/pass`), in a crate of edition 2021.
//!
//! That they compile is the test. What they do is tested where they are.

#![allow(dead_code, unused_macros, clippy::all)]

#[path = "../../ui/pass/conditional.rs"]
mod conditional;
#[path = "../../ui/pass/constants.rs"]
mod constants;
#[path = "../../ui/pass/derives.rs"]
mod derives;
#[path = "../../ui/pass/every_option.rs"]
mod every_option;
#[path = "../../ui/pass/from_macro_rules.rs"]
mod from_macro_rules;
#[path = "../../ui/pass/full.rs"]
mod full;
#[path = "../../ui/pass/handlers.rs"]
mod handlers;
#[path = "../../ui/pass/hostile_scope.rs"]
mod hostile_scope;
#[path = "../../ui/pass/many_workers.rs"]
mod many_workers;
#[path = "../../ui/pass/raw_identifiers.rs"]
mod raw_identifiers;
#[path = "../../ui/pass/scheduled.rs"]
mod scheduled;
#[path = "../../ui/pass/serde_names.rs"]
mod serde_names;
#[path = "../../ui/pass/shadowed.rs"]
mod shadowed;
