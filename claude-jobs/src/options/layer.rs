//! One layer of options: [`Args`] (a compile-time constant) and [`ArgMap`] (its run-time form).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::accept::Accept;
use super::for_each_option;
use super::kind::{self, expects};
use super::literal::Literal;

macro_rules! layers {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        /// One layer of options as a constant: what `args = { … }` and [`args!`](crate::args) make.
        ///
        /// The setters are for generated code, which [checks](Self::check) each value while the
        /// crate compiles.
        #[derive(Clone, Copy, Debug)]
        pub struct Args {
            /// What is wrong with the value that was set last, if it is wrong.
            problem: Option<&'static str>,
            $($name: Option<Literal>,)*
        }

        impl Args {
            /// No option set.
            pub const EMPTY: Self = Self { problem: None, $($name: None,)* };

            /// Panics with what is wrong with the value that was set last.
            ///
            /// A setter does not panic itself, so that a constant with a wrong value can still be
            /// used in others: the only error is then the one at this call.
            #[track_caller]
            pub const fn check(self) {
                if let Some(problem) = self.problem {
                    panic!("{}", problem);
                }
            }

            /// Panics where there is no prompt, for a worker whose schedule has none to give.
            #[track_caller]
            pub const fn check_prompt(self) {
                assert!(self.prompt.is_some(), "a schedule has no prompt to give: add `prompt = \"…\"` to the worker");
            }

            /// Panics where there is a schema, for a worker whose `output` makes it.
            #[track_caller]
            pub const fn check_no_schema(self) {
                assert!(
                    self.json_schema.is_none(),
                    "the schema is given twice: `output` makes it from the type, and a base of `args` or `pinned_args` has a `json_schema`"
                );
            }

            /// These options, with those of `higher` in place of ours where both are set.
            pub const fn overlaid_with(mut self, higher: Self) -> Self {
                $(if higher.$name.is_some() { self.$name = higher.$name; })*
                self
            }

            $($(#[$doc])+
            pub const fn $name(mut self, value: Literal) -> Self {
                if !kind::$kind::fits(value) {
                    self.problem = Some(concat!("`", stringify!($name), "` takes ", expects!($kind)));
                }
                self.$name = Some(value);
                self
            })*
        }

        impl From<Args> for ArgMap {
            fn from(args: Args) -> Self {
                let mut map = Map::new();
                $(if let Some(literal) = args.$name {
                    map.insert(stringify!($name).to_owned(), to_json(literal));
                })*
                Self(map)
            }
        }

        impl ArgMap {
            $($(#[$doc])+
            #[must_use]
            pub fn $name(mut self, value: impl Accept<kind::$kind>) -> Self {
                self.set(stringify!($name), value.into_json());
                self
            })*
        }
    };
}
for_each_option!(layers);

/// One layer of options at run time: JSON by name, checked only when the layers are merged into
/// [`Options`](super::Options).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArgMap(Map<String, Value>);

impl ArgMap {
    /// No option set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option by name. The typed setters are the better way where the name is known.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value of an option as given, if it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether no option is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every option that is set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// These options, with those of `higher` in place of ours where both are set.
    #[must_use]
    pub fn overlaid_with(mut self, higher: &Self) -> Self {
        for (name, value) in &higher.0 {
            self.0.insert(name.clone(), value.clone());
        }
        self
    }
}

fn to_json(literal: Literal) -> Value {
    match literal {
        Literal::Str(text) => Value::from(text),
        Literal::Int(number) => Value::from(number),
        Literal::Float(number) => Value::from(number),
        Literal::Bool(value) => Value::from(value),
        Literal::List(items) => Value::from(items),
    }
}
