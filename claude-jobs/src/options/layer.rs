//! One layer of options: [`Args`] (a compile-time constant) and [`ArgMap`] (its run-time form).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::accept::Accept;
use super::hint::Problem;
use super::kind::{self, expects};
use super::literal::Literal;
use super::template::Template;
use super::{ROWS, for_each_option};

macro_rules! layers {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        /// One layer of options as a constant: what `args = { … }` and [`args!`](crate::args) make.
        ///
        /// The setters are for generated code, which [checks](Self::check) each value while the
        /// crate compiles.
        #[derive(Clone, Copy, Debug)]
        pub struct Args {
            /// What is wrong with the value that was set last, if it is wrong.
            problem: Option<Problem>,
            $(pub(super) $name: Option<Literal>,)*
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
                    problem.panic();
                }
            }

            /// These options, with those of `higher` in place of ours where both are set.
            pub const fn overlaid_with(mut self, higher: Self) -> Self {
                $(if higher.$name.is_some() { self.$name = higher.$name; })*
                self
            }

            $($(#[$doc])+
            pub const fn $name(mut self, value: Literal) -> Self {
                if !kind::$kind::fits(value) {
                    let rule = concat!("`", stringify!($name), "` takes ", expects!($kind));
                    self.problem = Some(Problem { rule, hint: kind::$kind::hint(value) });
                }
                self.$name = Some(value);
                self
            })*
        }

        impl Args {
            /// How many options are set.
            pub const fn count_set(&self) -> usize {
                0 $(+ self.$name.is_some() as usize)*
            }

            /// The options that are set, with room for `COUNT` of them.
            pub const fn only_set<const COUNT: usize>(&self) -> [Setting; COUNT] {
                let mut settings = [Setting { name: "", value: Literal::Bool(false) }; COUNT];
                let mut index = 0;
                $(if let Some(value) = self.$name {
                    settings[index] = Setting { name: stringify!($name), value };
                    index += 1;
                })*
                let _ = index;
                settings
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

/// An option that a constant layer sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The option.
    pub name: &'static str,
    /// As it stands in the attribute.
    pub value: Literal,
}

/// A constant layer as a program keeps it: only what is set, where [`Args`] has a place for every option.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings(pub &'static [Setting]);

impl Settings {
    /// The layer with these values in its templates.
    pub(crate) fn filled(self, values: &[String]) -> ArgMap {
        map(self.0, |template| template.fill(values))
    }
}

/// The layer with its templates as they stand in the attribute.
impl From<Settings> for ArgMap {
    fn from(settings: Settings) -> Self {
        map(settings.0, |template| template.source.to_owned())
    }
}

/// The layer with its templates as they stand in the attribute.
impl From<Args> for ArgMap {
    fn from(args: Args) -> Self {
        map(&args.only_set::<{ ROWS.len() }>()[..args.count_set()], |template| template.source.to_owned())
    }
}

fn map(settings: &[Setting], text_of: impl Fn(&Template) -> String) -> ArgMap {
    let json = |setting: &Setting| (setting.name.to_owned(), to_json(setting.value, &text_of));
    ArgMap(settings.iter().map(json).collect())
}

fn to_json(literal: Literal, text_of: &impl Fn(&Template) -> String) -> Value {
    match literal {
        Literal::Str(text) => Value::from(text),
        Literal::Int(number) => Value::from(number),
        Literal::Float(number) => Value::from(number),
        Literal::Bool(value) => Value::from(value),
        Literal::List(items) => Value::from(items),
        Literal::Template(template) => Value::from(text_of(template)),
        Literal::Templates(templates) => templates.items.iter().map(text_of).collect(),
    }
}
