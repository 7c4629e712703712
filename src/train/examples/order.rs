//! Groups examples into batches, and orders the batches.
//!
//! The order of an epoch is random, by seed and epoch. Examples of similar length share a batch, because attention on
//! short sequences would otherwise wait for the longest.

use std::ops::Range;

use crate::train::examples::random::Random;

/// Examples of this many batches are sorted by length together: enough to find similar ones, few enough to stay random.
const BUCKET: usize = 32;

/// Separates these random numbers from other uses of the same seed.
const ORDER: u64 = 1;

/// The batches of an epoch, as indices into `lengths`. Each has at most `budget` tokens, or one example that is longer.
/// Every example is in exactly one batch.
pub fn batches(lengths: &[usize], budget: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed, &[ORDER, epoch]);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    random.shuffle(&mut order);
    let mut batches = Vec::new();
    for bucket in cut(&order, lengths, budget.saturating_mul(BUCKET)) {
        let mut bucket = order[bucket].to_vec();
        bucket.sort_by_key(|i| lengths[*i]);
        batches.extend(cut(&bucket, lengths, budget).map(|range| bucket[range].to_vec()));
    }
    random.shuffle(&mut batches);
    batches
}

/// Cuts `order` into runs of at most `budget` tokens.
fn cut(order: &[usize], lengths: &[usize], budget: usize) -> impl Iterator<Item = Range<usize>> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let mut tokens = 0_usize;
        let fits = |i: &usize| {
            tokens = tokens.saturating_add(lengths[*i]);
            tokens <= budget
        };
        let count = order[first..].iter().copied().take_while(fits).count().max(1);
        let range = first..(first + count).min(order.len());
        first = range.end;
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_once_within_the_budget() {
        let lengths: Vec<usize> = (0..1000).map(|i| 3 + i * 7919 % 61).collect();
        let epoch = batches(&lengths, 256, 5, 0);
        let mut all: Vec<usize> = epoch.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        let tokens = |batch: &Vec<usize>| batch.iter().map(|i| lengths[*i]).sum::<usize>();
        assert!(epoch.iter().all(|batch| !batch.is_empty() && tokens(batch) <= 256));
        assert!(epoch.len() < lengths.iter().sum::<usize>() / 200, "{} batches", epoch.len());
        // The lengths within a batch are similar, but batches are not sorted by length.
        let spread = |batch: &Vec<usize>| {
            let of = || batch.iter().map(|i| lengths[*i]);
            of().max().unwrap_or(0) - of().min().unwrap_or(0)
        };
        assert!(epoch.iter().map(spread).sum::<usize>() < 8 * epoch.len());
        let firsts: Vec<usize> = epoch.iter().map(|batch| lengths[batch[0]]).collect();
        assert!(!firsts.is_sorted());
    }

    #[test]
    fn the_order_follows_seed_and_epoch() {
        let lengths = [5; 40];
        let order = |seed, epoch| batches(&lengths, 20, seed, epoch);
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        assert!(batches(&[], 20, 1, 0).is_empty());
        assert_eq!(batches(&[50, 60], 20, 1, 0).len(), 2, "too long for any batch: alone");
    }
}
