//! AVX-512F: tiles of 12 rows by 32 columns (two panels), 24 of the 32 registers.

use std::arch::x86_64::*;

use super::{Lanes, Strip, columns};

impl Lanes for __m512 {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: AVX-512F is enabled by the caller's contract, as in every method here.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: sixteen floats are readable at p.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_some(p: *const f32, n: usize) -> Self {
        // SAFETY: the mask stops the read after n floats.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: sixteen floats are writable at p.
        unsafe { _mm512_storeu_ps(p, self) }
    }

    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, n: usize) {
        // SAFETY: the mask stops the write after n floats.
        unsafe { _mm512_mask_storeu_ps(p, first(n), self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { _mm512_mul_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: as in splat.
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }
}

/// A mask of the first `n` lanes. All 16 are set for the first of two vectors if only the second is cut.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1_u32 << n) - 1) as __mmask16
}

/// # Safety
/// See [`super::run`].
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run(s: &Strip) {
    for col in (0..s.cols).step_by(32) {
        // SAFETY: passed on.
        unsafe {
            // The last panel may be alone: do not read it as two.
            if s.cols - col > 16 { columns::<__m512, 2>(s, 12, col) } else { columns::<__m512, 1>(s, 12, col) }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mask_has_as_many_lanes_as_are_asked_for() {
        for n in 0..=16 {
            assert_eq!(super::first(n).trailing_ones() as usize, n);
        }
    }
}
