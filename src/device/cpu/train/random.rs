//! Which elements dropout keeps, by the hash of where each one is. `shaders/lib/dropout.wgsl` computes the same.

use crate::device::cpu::math::for_isa;
use crate::hash::mix;

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
