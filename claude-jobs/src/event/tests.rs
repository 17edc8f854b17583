//! Events as values.
