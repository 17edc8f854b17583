//! What claude said in a run, as the ledger keeps it: one JSON text. A column for each part of it would
//! have to be taken apart and put together again by the server, for each run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::row::{clean, json};
use crate::error::Result;
use crate::job::{RunRow, Tokens};

/// The column `answer`. What is not known is left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cli_version: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured: Option<Cow<'a, Value>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    last_events: Cow<'a, [String]>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: Cow<'a, BTreeMap<String, String>>,
}

impl<'a> Answer<'a> {
    /// As it is written, if anything is known.
    pub(super) fn of(run: &'a RunRow) -> Result<Option<String>> {
        let tokens = |count: fn(&Tokens) -> u64| run.tokens.as_ref().map(count);
        let text = json(&Self {
            turns: run.turns,
            input_tokens: tokens(|tokens| tokens.input),
            output_tokens: tokens(|tokens| tokens.output),
            cache_read_tokens: tokens(|tokens| tokens.cache_read),
            cache_creation_tokens: tokens(|tokens| tokens.cache_creation),
            model: run.model.as_deref().map(clean),
            cli_version: run.cli_version.as_deref().map(clean),
            result: run.result.as_deref().map(clean),
            structured: run.structured.as_ref().map(Cow::Borrowed),
            last_events: Cow::Borrowed(&run.last_events),
            environment: Cow::Borrowed(&run.environment),
        })?;
        Ok((text != "{}").then_some(text))
    }
}

impl Answer<'static> {
    /// Nothing of a text that cannot be read.
    pub(super) fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Adds it to the rest of the run.
    pub(super) fn into_run(self, run: RunRow) -> RunRow {
        let tokens = self.input_tokens.map(|input| Tokens {
            input,
            output: self.output_tokens.unwrap_or(0),
            cache_read: self.cache_read_tokens.unwrap_or(0),
            cache_creation: self.cache_creation_tokens.unwrap_or(0),
        });
        RunRow {
            turns: self.turns,
            tokens,
            model: self.model.map(Cow::into_owned),
            cli_version: self.cli_version.map(Cow::into_owned),
            result: self.result.map(Cow::into_owned),
            structured: self.structured.map(Cow::into_owned),
            last_events: self.last_events.into_owned(),
            environment: self.environment.into_owned(),
            ..run
        }
    }
}
