//! `option!`: does an option of that name exist? Generated from the table, so that the macro crate
//! needs no copy of it.
//!
//! `option!(key, fields, expression)` is the expression where `key` is an option. Otherwise it is a
//! compile error at `key` that names the nearest option: generated code calls the setter `key`
//! inside the expression, and rustc's own words about a missing method would not teach as much.
//! `key!(key)` is the compile error about a key that the attribute does not have: it may be an option.
//! `fields` is `_`, or `(field …)` where a field of the worker would have done as well.

use crate::options::for_each_option;

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        option_macro! { ($) $($name)* }
    };
}

/// Writes `key!`, and `option!` with an arm per option; `$dollar` is the sign itself, which a macro that writes a
/// macro cannot say.
macro_rules! option_macro {
    (($dollar:tt) $($name:ident)*) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! __option {
            $(($name, $dollar fields:tt, $dollar($dollar expression:tt)*) => { $dollar($dollar expression)* };)*
            ($dollar unknown:ident, $dollar fields:tt, $dollar($dollar expression:tt)*) => {
                $crate::__private::unknown_option!($dollar unknown $dollar fields $($name)*)
            };
        }
        pub use __option as option;

        #[doc(hidden)]
        #[macro_export]
        macro_rules! __key {
            ($dollar unknown:ident) => { $crate::__private::unknown_key! { $dollar unknown $($name)* } };
        }
        pub use __key as key;
    };
}

for_each_option!(names);
