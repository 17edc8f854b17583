//! The kill matrix with the real CLI.
