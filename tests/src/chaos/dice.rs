//! Numbers from a seed, so that a failure can be repeated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The seed that the environment variable `CLAUDE_JOBS_CHAOS_SEED` names, else one of the moment.
    ///
    /// # Panics
    /// When the variable holds no number.
    pub fn seed() -> u64 {
        match std::env::var("CLAUDE_JOBS_CHAOS_SEED") {
            Ok(text) => text.parse().expect("CLAUDE_JOBS_CHAOS_SEED is a number"),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
                u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)
            }
        }
    }

    /// A number below `limit` (SplitMix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % limit
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A time from `least` up to `most`, in milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }
}
