//! NEON: tiles of 6 rows by 16 columns, 24 of the 32 registers.

use std::arch::aarch64::*;

use super::{Lanes, Strip, columns};

impl Lanes for float32x4_t {
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: NEON is enabled by the caller's contract, as in every method here.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: four floats are readable at p.
        unsafe { vld1q_f32(p) }
    }

    #[inline(always)]
    unsafe fn load_some(p: *const f32, n: usize) -> Self {
        let mut some = [0.0; 4];
        for (i, x) in some.iter_mut().enumerate().take(n) {
            // SAFETY: n floats are readable at p.
            *x = unsafe { *p.add(i) };
        }
        // SAFETY: an array of four floats.
        unsafe { vld1q_f32(some.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: four floats are writable at p.
        unsafe { vst1q_f32(p, self) }
    }

    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, n: usize) {
        let mut all = [0.0; 4];
        // SAFETY: an array of four floats.
        unsafe { vst1q_f32(all.as_mut_ptr(), self) }
        for (i, x) in all.iter().enumerate().take(n) {
            // SAFETY: n floats are writable at p.
            unsafe { *p.add(i) = *x }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { vaddq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { vmulq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { vfmaq_f32(c, self, b) }
    }
}

/// # Safety
/// See [`super::run`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(s: &Strip) {
    for col in (0..s.cols).step_by(16) {
        // SAFETY: passed on.
        unsafe { columns::<float32x4_t, 4>(s, 6, col) }
    }
}
