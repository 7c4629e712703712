//! A hash of 32-bit words. From it, training gets random numbers that depend only on a seed and a place, so nothing has
//! to be stored.
//!
//! `shaders/lib/dropout.wgsl` computes the same. The mixing function is Chris Wellons' "lowbias32".

/// A permutation of 32-bit words that makes similar words unrelated.
pub const fn mix(word: u32) -> u32 {
    let mut x = word ^ word >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

/// The key of all dropouts in a batch.
pub const fn step_key(seed: u64, batch: u64) -> u32 {
    mix(mix(mix(seed as u32) ^ (seed >> 32) as u32) ^ batch as u32)
}

/// The key of one dropout in the model, in a step with the key `step`.
pub const fn site_key(step: u32, site: u32) -> u32 {
    mix(step ^ mix(site.wrapping_add(0x9e37_79b9)))
}
