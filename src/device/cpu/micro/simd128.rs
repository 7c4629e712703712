//! WebAssembly's 128-bit vectors: tiles of 4 rows by 8 columns, with 8 accumulators. Engines have 16 registers; more
//! values would be spilled to memory. Without relaxed SIMD there is no fused multiply-add.

use std::arch::wasm32::*;

use super::{Lanes, Strip, columns};

impl Lanes for v128 {
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        f32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: four floats are readable at p.
        unsafe { v128_load(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_some(p: *const f32, n: usize) -> Self {
        let mut some = [0.0; 4];
        for (i, x) in some.iter_mut().enumerate().take(n) {
            // SAFETY: n floats are readable at p.
            *x = unsafe { *p.add(i) };
        }
        // SAFETY: an array of four floats.
        unsafe { v128_load(some.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: four floats are writable at p.
        unsafe { v128_store(p.cast(), self) }
    }

    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, n: usize) {
        let mut all = [0.0; 4];
        // SAFETY: an array of four floats.
        unsafe { v128_store(all.as_mut_ptr().cast(), self) }
        for (i, x) in all.iter().enumerate().take(n) {
            // SAFETY: n floats are writable at p.
            unsafe { *p.add(i) = *x }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        f32x4_add(self, other)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        f32x4_mul(self, other)
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        f32x4_add(f32x4_mul(self, b), c)
    }
}

/// # Safety
/// See [`super::run`].
pub(super) unsafe fn run(s: &Strip) {
    for col in (0..s.cols).step_by(8) {
        // SAFETY: passed on.
        unsafe { columns::<v128, 2>(s, 4, col) }
    }
}
