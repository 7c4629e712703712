//! The initial values of new parameters: a function of the seed, the parameter's name and the element.

use crate::hash::mix;

/// The initial values of a parameter: 1 for LayerNorm's gain, 0 for vectors, and normal numbers with the deviation
/// `range` for matrices.
pub(in crate::train) fn normal(name: &str, len: usize, seed: u64, range: f32) -> Vec<f32> {
    if name.ends_with("LayerNorm.weight") {
        return vec![1.0; len];
    }
    if name.ends_with("bias") {
        return vec![0.0; len];
    }
    let uniform = units(name, seed);
    // Two uniform numbers, the first not zero, give a normal number (Box and Muller).
    (0..len as u32)
        .map(|i| {
            let (u, v) = (uniform(2 * i), uniform(2 * i + 1));
            ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32 * range
        })
        .collect()
}

/// The initial values of an adapter's matrix: uniform from `-bound` to `bound`.
pub(in crate::train) fn uniform(name: &str, len: usize, seed: u64, bound: f32) -> Vec<f32> {
    let unit = units(name, seed);
    (0..len as u32).map(|i| (2.0 * unit(i) - 1.0) as f32 * bound).collect()
}

/// Uniform numbers above 0 and up to 1, by index. Each name has its own stream.
fn units(name: &str, seed: u64) -> impl Fn(u32) -> f64 {
    let mut key = mix(seed as u32 ^ mix((seed >> 32) as u32));
    for byte in name.bytes() {
        key = mix(key ^ u32::from(byte));
    }
    move |i| (f64::from(mix(mix(i.wrapping_add(key)) ^ key)) + 1.0) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_values_are_normal_and_the_seeds_own() {
        let values = normal("classifier.weight", 10_000, 7, 0.02);
        let mean = values.iter().sum::<f32>() / 1e4;
        let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 1e-3 && (deviation - 0.02).abs() < 1e-3, "{mean} {deviation}");
        assert_eq!(values, normal("classifier.weight", 10_000, 7, 0.02));
        assert_ne!(values, normal("classifier.weight", 10_000, 8, 0.02));
        assert_ne!(values, normal("qa_outputs.weight", 10_000, 7, 0.02));
    }

    #[test]
    fn adapters_begin_as_pefts() {
        let values = uniform("query.lora_A.weight", 10_000, 7, 0.5);
        let mean = values.iter().sum::<f32>() / 1e4;
        let square = values.iter().map(|v| v * v).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.01 && (square - 0.25 / 3.0).abs() < 2e-3, "{mean} {square}");
        assert!(values.iter().all(|v| v.abs() <= 0.5));
        assert_ne!(values, uniform("value.lora_A.weight", 10_000, 7, 0.5));
        assert!(uniform("query.lora_B.weight", 9, 7, 0.0).iter().all(|v| *v == 0.0));
    }
}
