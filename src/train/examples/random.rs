//! Random numbers by place: the same seed and place always give the same numbers, whatever was drawn before.

/// A stream of random numbers for one purpose.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed` for these places, such as an epoch and an example.
    pub fn new(seed: u64, places: &[u64]) -> Self {
        Self(places.iter().fold(mixed(seed), |state, place| mixed(state ^ place.wrapping_mul(GOLDEN))))
    }

    /// 64 random bits: SplitMix64 (Steele, Lea and Flood, 2014).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finished(self.0)
    }

    /// A number from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `n`, which must not be 0. All are equally likely, within 1 in 2^32 for any n that fits into
    /// memory here.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Puts the items into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(state: u64) -> u64 {
    finished(state.wrapping_add(GOLDEN))
}

fn finished(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first three numbers of the reference implementation for the state 0.
        let mut random = Random(0);
        let wanted = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!([(); 3].map(|()| random.bits()), wanted);
    }

    #[test]
    fn places_differ_and_numbers_are_spread() {
        let first = |seed, places: &[u64]| Random::new(seed, places).bits();
        let all = [first(1, &[]), first(1, &[0]), first(1, &[0, 0]), first(1, &[1]), first(2, &[1]), first(1, &[0, 1])];
        assert!((1..all.len()).all(|i| !all[..i].contains(&all[i])), "{all:?}");
        let mut random = Random::new(7, &[]);
        let mut counts = [0; 10];
        (0..10_000).for_each(|_| counts[random.below(10)] += 1);
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
        let mean = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let mut items: Vec<u32> = (0..100).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
