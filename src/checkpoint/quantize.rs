//! Quantizes rows of weights to 8-bit integers, symmetrically, with one scale for each row.
//!
//! `scale = max|w| / 127` and `q = round(w / scale)`, so `|w - q * scale| <= scale / 2`, and q is in -127..=127.

/// The scale of a row. It is always positive, so readers need no check.
pub(crate) fn row_scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    // Below the smallest normal number, a scale would lose the digits that the bound needs.
    (largest / 127.0).max(f32::MIN_POSITIVE)
}

/// Writes the row in units of `scale` to `out`.
pub(crate) fn quantize_row(row: &[f32], scale: f32, out: &mut [u8]) {
    for (q, w) in out.iter_mut().zip(row) {
        *q = ((w / scale).round().clamp(-127.0, 127.0) as i8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_within_half_a_step(
            row in prop::collection::vec(any::<f32>().prop_filter("finite", |w| w.is_finite()), 1..40),
        ) {
            let scale = row_scale(&row);
            prop_assert!(scale > 0.0 && scale.is_finite());
            let mut q = vec![0u8; row.len()];
            quantize_row(&row, scale, &mut q);
            for (w, q) in row.iter().zip(q) {
                let q = q as i8;
                prop_assert!(q != i8::MIN);
                let error = (f64::from(*w) - f64::from(q) * f64::from(scale)).abs();
                // w / scale is rounded to f32 before it is rounded to an integer: an error of at most 127 units of
                // 2^-24 of a step.
                prop_assert!(error <= f64::from(scale) * (0.5 + 1e-5), "{w} {q} {scale}");
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut q = [9u8; 3];
        quantize_row(&[0.0, -0.0, 0.0], row_scale(&[0.0, -0.0, 0.0]), &mut q);
        assert_eq!((row_scale(&[0.0; 3]), q), (1.0, [0; 3]));
    }

    #[test]
    fn the_largest_weight_is_127() {
        let row = [0.5, -2.0, 1.0];
        let mut q = [0u8; 3];
        quantize_row(&row, row_scale(&row), &mut q);
        assert_eq!(q.map(|q| q as i8), [32, -127, 64]);
    }
}
