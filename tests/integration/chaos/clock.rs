//! A node whose clock is off.
