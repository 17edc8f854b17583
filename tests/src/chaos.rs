//! A fleet of nodes that is killed, stopped and cut off by the dice, and what its runs leave behind.
//!
//! | module | what it is |
//! |---|---|
//! | [`dice`] | numbers from a seed |
//! | [`journal`] | every start and end of a run, and whether two of one job overlapped |
//! | [`node`] | a runtime in a process of its own |
//! | [`proxy`] | the wire between a node and its database, to be cut |
//! | [`storm`] | what happens to the nodes, and when |

pub mod dice;
pub mod journal;
pub mod node;
pub mod proxy;
pub mod storm;
