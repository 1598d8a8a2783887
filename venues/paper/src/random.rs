//! A small seeded generator: the same seed gives the same numbers on every platform.

/// SplitMix64. Not for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One well-mixed number for one input.
pub(crate) const fn mix(input: u64) -> u64 {
    let z = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The number at one place of the sequence of a seed, without computing those before it.
pub(crate) const fn at(seed: u64, index: u64) -> u64 {
    mix(mix(seed).wrapping_add(GOLDEN.wrapping_mul(index.wrapping_add(1))))
}

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    #[must_use]
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// The next number from 0 to `bound` − 1; 0 when `bound` is 0.
    #[must_use]
    pub const fn below(&mut self, bound: u64) -> u64 {
        let number = self.next();
        // The bias of the remainder is below 2⁻⁴⁰ for the bounds used here.
        if bound == 0 { 0 } else { number % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // The first outputs of SplitMix64 for seed 1234567, from its reference implementation.
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(7);
        assert!((0..1000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
    }
}
