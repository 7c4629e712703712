//! Decides which elements dropout keeps, by a hash of their place. `shaders/lib/dropout.wgsl` computes the same.

use crate::device::cpu::math::for_isa;
use crate::hash::mix;

for_isa! {
    /// Writes `scale` for the elements of row `row` that are kept, and 0 for those whose hash is below `threshold`.
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
    /// The same down column `col`, for the rows `first`, `first + stride`, and so on. `keep` is the threshold and the
    /// scale.
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
