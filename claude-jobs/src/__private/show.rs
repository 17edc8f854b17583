//! The values of templates: a field is shown by its `Display`, or as JSON where it is marked `#[json]`.
//!
//! Method calls prefer a candidate that needs no further reference (see [`probe`](super::probe)): a field
//! without `Display` gets the method whose bound nothing fulfils, and so an error that names the remedy.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::options::Template;

/// A field that a template names.
#[derive(Debug)]
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// Chosen when the field implements `Display`.
pub trait WithDisplay<'a> {
    /// The field.
    fn display(&self) -> &'a dyn Display;
}

impl<'a, T: Display> WithDisplay<'a> for Shown<'a, T> {
    fn display(&self) -> &'a dyn Display {
        self.0
    }
}

/// Chosen otherwise.
pub trait WithoutDisplay<'a> {
    /// The type of the field.
    type Field;

    /// Never compiles.
    fn display(&self) -> &'a dyn Display
    where
        Self::Field: CanStandInATemplate;
}

impl<'a, T> WithoutDisplay<'a> for &Shown<'a, T> {
    type Field = T;

    fn display(&self) -> &'a dyn Display
    where
        T: CanStandInATemplate,
    {
        self.0
    }
}

/// Nothing implements it.
#[diagnostic::on_unimplemented(
    message = "a template names a field of type `{Self}`, which does not implement `Display`",
    label = "this text names it",
    note = "mark the field `#[json]` to show it as JSON, or implement `Display` for `{Self}`"
)]
pub trait CanStandInATemplate: Display {}

/// A field as compact JSON.
#[derive(Debug)]
pub struct Json<'a, T>(pub &'a T);

impl<T: Serialize> Display for Json<'_, T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

/// The samples of these templates, for checks that take a list of texts.
pub const fn samples<const COUNT: usize>(templates: &[Template]) -> [&'static str; COUNT] {
    let mut samples = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        samples[index] = templates[index].sample;
        index += 1;
    }
    samples
}
