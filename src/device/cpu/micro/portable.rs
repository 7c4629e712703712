//! Any target: tiles of 4 rows by 8 columns in eight 128-bit registers. Compilers can vectorize this code.

use super::{Lanes, Strip, columns};
use crate::device::cpu::math::{FUSED, mul_add};

#[derive(Clone, Copy)]
struct Eight([f32; 8]);

impl Lanes for Eight {
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Eight([x; 8])
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: eight floats are readable at p.
        Eight(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_some(p: *const f32, n: usize) -> Self {
        // SAFETY: n floats are readable at p.
        Eight(std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 }))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: eight floats are writable at p.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, n: usize) {
        for (i, x) in self.0.iter().enumerate().take(n) {
            // SAFETY: n floats are writable at p.
            unsafe { *p.add(i) = *x }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Eight(std::array::from_fn(|i| mul_add::<FUSED>(self.0[i], b.0[i], c.0[i])))
    }
}

/// # Safety
/// See [`super::run`].
pub(super) unsafe fn run(s: &Strip) {
    for col in (0..s.cols).step_by(8) {
        // SAFETY: passed on.
        unsafe { columns::<Eight, 1>(s, 4, col) }
    }
}
