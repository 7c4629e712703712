//! Dropout's choice: a hash of where an element is, so that nothing has to be stored.
//!
//! `shaders/lib/dropout.wgsl` is the same. The mixing function is Chris Wellons' "lowbias32".

use crate::device::cpu::math::for_isa;

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

for_isa! {
    /// `scale` for the elements of row `row` that are kept, 0 for the others: those whose hash is below `threshold`.
    pub fn keeps(out: &mut [f32], key: u32, row: u32, threshold: u32, scale: f32) = keeps_body
}

#[inline(always)]
fn keeps_body<const FMA: bool>(out: &mut [f32], key: u32, row: u32, threshold: u32, scale: f32) {
    let base = mix(row.wrapping_add(key)) ^ key;
    for (col, out) in out.iter_mut().enumerate() {
        let hash = mix(base.wrapping_add(col as u32));
        *out = if hash >= threshold { scale } else { 0.0 };
    }
}

for_isa! {
    /// The same down a column, of the rows `first`, `first + stride`, …; `keep` is threshold and scale.
    pub fn keeps_down(out: &mut [f32], key: u32, rows: (u32, u32), col: u32, keep: (u32, f32)) =
        keeps_down_body
}

#[inline(always)]
fn keeps_down_body<const FMA: bool>(out: &mut [f32], key: u32, rows: (u32, u32), col: u32, keep: (u32, f32)) {
    let ((first, stride), (threshold, scale)) = (rows, keep);
    for (i, out) in out.iter_mut().enumerate() {
        let row = first.wrapping_add(stride.wrapping_mul(i as u32));
        let hash = mix((mix(row.wrapping_add(key)) ^ key).wrapping_add(col));
        *out = if hash >= threshold { scale } else { 0.0 };
    }
}
