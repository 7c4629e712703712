//! Turns logits into probabilities, and chooses the best.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// A class and its score.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Scored {
    /// The name of the class.
    pub label: String,
    /// A probability from 0 to 1. For a regression, the model's output.
    pub score: f32,
}

/// # Errors
/// [`Error::NotFinite`] if a logit is infinite or NaN.
pub(super) fn check_finite<'a>(logits: impl IntoIterator<Item = &'a f32>) -> Result<()> {
    match logits.into_iter().all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err(Error::NotFinite {
            problem: "the model's output is not finite".into(),
            help: "Its checkpoint is damaged or its training diverged: download it again, or use another model".into(),
        }),
    }
}

/// Turns logits into probabilities that add up to 1.
pub(super) fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::MIN, f32::max);
    x.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum = x.iter().map(|x| f64::from(*x)).sum::<f64>() as f32;
    x.iter_mut().for_each(|x| *x /= sum);
}

/// Applies the logistic function to each number.
pub(super) fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
}

/// The position of the largest value; of equal ones, the first.
pub(crate) fn argmax(x: &[f32]) -> usize {
    (0..x.len()).reduce(|best, i| if x[i] > x[best] { i } else { best }).unwrap_or(0)
}

/// The `count` largest values with their positions, the largest first; of equal ones, the first.
pub(super) fn largest(x: &[f32], count: usize) -> Vec<(usize, f32)> {
    best(x.iter().copied().enumerate().collect(), count, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)))
}

/// The first `count` of `all` in the order `better`, which must order any two of them.
pub(super) fn best<T>(mut all: Vec<T>, count: usize, better: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if count < all.len() {
        all.select_nth_unstable_by(count, &better);
        all.truncate(count);
    }
    all.sort_unstable_by(better);
    all
}

/// Labels with their scores, best first. Equal scores keep the order of the labels.
pub(super) fn ranked(labels: impl Iterator<Item = String>, scores: &[f32]) -> Vec<Scored> {
    let mut all: Vec<Scored> = labels.zip(scores).map(|(label, score)| Scored { label, score: *score }).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_their_best() {
        let mut x = [1.0, 3.0, 3.0, -1e30];
        assert_eq!(argmax(&x), 1);
        assert_eq!(largest(&x, 2), [(1, 3.0), (2, 3.0)]);
        assert_eq!(largest(&x, 9).len(), 4);
        assert!(largest(&x, 0).is_empty());
        softmax(&mut x);
        let e = (-2.0_f32).exp();
        for (found, expected) in x.iter().zip([e / (2.0 + e), 1.0 / (2.0 + e), 1.0 / (2.0 + e), 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{x:?}");
        }
        let mut x = [0.0, 100.0, -100.0];
        sigmoid(&mut x);
        assert_eq!((x[0], x[1]), (0.5, 1.0));
        assert!(x[2] < 1e-40);
    }
}
