//! Logits to probabilities, and the best of them.

/// Makes logits probabilities that add up to 1.
pub(super) fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::MIN, f32::max);
    x.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum = x.iter().map(|x| f64::from(*x)).sum::<f64>() as f32;
    x.iter_mut().for_each(|x| *x /= sum);
}

/// The logistic function of each.
pub(super) fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
}

/// Where the largest value is; the first of equal ones.
pub(super) fn argmax(x: &[f32]) -> usize {
    (0..x.len()).reduce(|best, i| if x[i] > x[best] { i } else { best }).unwrap_or(0)
}

/// The `count` largest values with their places, the largest first; of equal ones the first.
pub(super) fn largest(x: &[f32], count: usize) -> Vec<(usize, f32)> {
    let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<_> = x.iter().copied().enumerate().collect();
    if count < all.len() {
        all.select_nth_unstable_by(count, better);
        all.truncate(count);
    }
    all.sort_unstable_by(better);
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
