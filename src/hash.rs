//! A hash of 32-bit words, by which training gets random numbers from a seed and a place: nothing has to be stored.
//!
//! `shaders/lib/dropout.wgsl` computes the same. The mixing function is Chris Wellons' "lowbias32".

/// A permutation of 32-bit words that leaves no trace of their order.
pub const fn mix(word: u32) -> u32 {
    let mut x = word ^ word >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

/// The key of the dropout in a batch.
pub const fn step_key(seed: u64, batch: u64) -> u32 {
    mix(mix(mix(seed as u32) ^ (seed >> 32) as u32) ^ batch as u32)
}

/// The key of a dropout's place in the model, in a step that has the key `step`.
pub const fn site_key(step: u32, site: u32) -> u32 {
    mix(step ^ mix(site.wrapping_add(0x9e37_79b9)))
}
