//! Random numbers that can be had again: the seed is printed, and taken from the environment.

use std::hash::{BuildHasher, RandomState};

/// Names a seed to run a check with once more.
const VARIABLE: &str = "CLAUDE_JOBS_CONFORMANCE_SEED";

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// From a seed that the test's output names.
    pub(super) fn new() -> Self {
        let given = std::env::var(VARIABLE).ok();
        let seed = match given {
            Some(seed) => seed.parse().unwrap_or_else(|_| panic!("{VARIABLE} `{seed}`: give a whole number")),
            None => RandomState::new().hash_one(0),
        };
        println!("once more: {VARIABLE}={seed}");
        Self(seed)
    }

    /// Another sequence, for another task.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// In another order.
    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
