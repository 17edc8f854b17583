//! Definitions that compile in edition 2024 (`tests/ui/pass`), in a crate of edition 2021.
//!
//! That they compile is the test. What they do is tested where they are.

#![allow(dead_code, unused_macros, clippy::all)]

#[rustfmt::skip]
#[path = "../../ui/pass/conditional.rs"]
mod conditional;
#[rustfmt::skip]
#[path = "../../ui/pass/constants.rs"]
mod constants;
#[rustfmt::skip]
#[path = "../../ui/pass/derives.rs"]
mod derives;
#[rustfmt::skip]
#[path = "../../ui/pass/every_option.rs"]
mod every_option;
#[rustfmt::skip]
#[path = "../../ui/pass/from_macro_rules.rs"]
mod from_macro_rules;
#[rustfmt::skip]
#[path = "../../ui/pass/full.rs"]
mod full;
#[rustfmt::skip]
#[path = "../../ui/pass/handlers.rs"]
mod handlers;
#[rustfmt::skip]
#[path = "../../ui/pass/hostile_scope.rs"]
mod hostile_scope;
#[rustfmt::skip]
#[path = "../../ui/pass/many_workers.rs"]
mod many_workers;
#[rustfmt::skip]
#[path = "../../ui/pass/raw_identifiers.rs"]
mod raw_identifiers;
#[rustfmt::skip]
#[path = "../../ui/pass/scheduled.rs"]
mod scheduled;
#[rustfmt::skip]
#[path = "../../ui/pass/serde_names.rs"]
mod serde_names;
#[rustfmt::skip]
#[path = "../../ui/pass/shadowed.rs"]
mod shadowed;
