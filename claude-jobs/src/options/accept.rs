//! What the typed setters take: `max_turns(40)`, `timeout("15m")`, `working_dir(path)`.
//!
//! A setter only turns its argument into JSON. Whether it is in range is judged where the layers are
//! merged, so that every way in (builder, row, flag) passes the same check.

use std::path::{Path as StdPath, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::kind::*;

/// A Rust value that can be given for an option of kind `K`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value for an option of kind `{K}`",
    label = "wrong type for this option"
)]
pub trait Accept<K: Kind> {
    /// The value as JSON; `null` when no text can hold it (a path that is not UTF-8).
    fn into_json(self) -> Value;
}

macro_rules! accept_text {
    ($($kind:ident)*) => {$(
        impl<S: Into<String>> Accept<$kind> for S {
            fn into_json(self) -> Value { Value::String(self.into()) }
        }
    )*};
}
accept_text! { Prompt Text Name Session }

macro_rules! accept_list {
    ($($kind:ident)*) => {$(
        impl<S: Into<String>, const N: usize> Accept<$kind> for [S; N] {
            fn into_json(self) -> Value { texts(self) }
        }
        impl<S: Into<String>> Accept<$kind> for Vec<S> {
            fn into_json(self) -> Value { texts(self) }
        }
        impl<S: Clone + Into<String>> Accept<$kind> for &[S] {
            fn into_json(self) -> Value { texts(self.iter().cloned()) }
        }
    )*};
}
accept_list! { List Tools ToolSet Sources Paths }

fn texts<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::String(item.into())).collect())
}

macro_rules! accept {
    ($($kind:ident: $type:ty, $value:ident => $json:expr;)*) => {$(
        impl Accept<$kind> for $type {
            fn into_json(self) -> Value {
                let $value = self;
                $json
            }
        }
    )*};
}

accept! {
    Path: &str, path => Value::from(path);
    Path: String, path => Value::from(path);
    Path: &String, path => Value::from(path.as_str());
    Path: &StdPath, path => path.to_str().map_or(Value::Null, Value::from);
    Path: PathBuf, path => Accept::<Path>::into_json(path.as_path());
    Path: &PathBuf, path => Accept::<Path>::into_json(path.as_path());
    Flag: bool, value => Value::from(value);
    Count: u32, number => Value::from(number);
    Dollars: f64, amount => Value::from(amount);
    Seconds: Duration, duration => Seconds::encode(&duration);
    Seconds: u64, seconds => Value::from(seconds);
    Seconds: &str, text => Value::from(text);
    PermissionModes: PermissionMode, mode => PermissionModes::encode(&mode);
    PermissionModes: &str, name => Value::from(name);
    Efforts: Effort, effort => Efforts::encode(&effort);
    Efforts: &str, name => Value::from(name);
    JsonObject: Value, json => json;
    JsonObject: &str, text => Value::from(text);
    JsonObject: String, text => Value::from(text);
    JsonSchema: Value, json => json;
    JsonSchema: &str, text => Value::from(text);
    JsonSchema: String, text => Value::from(text);
    WorktreeName: Worktree, worktree => WorktreeName::encode(&worktree);
    WorktreeName: bool, value => Value::from(value);
    WorktreeName: &str, name => Value::from(name);
    WorktreeName: String, name => Value::from(name);
    Hermetics: Hermetic, seal => Hermetics::encode(&seal);
    Hermetics: bool, value => Value::from(value);
}
