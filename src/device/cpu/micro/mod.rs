//! The microkernel: `C = A Bᵀ` for a few columns of B. B is in panels 16 wide; A is in plain row-major order.
//!
//! The same code serves every instruction set. It holds a tile of `R` rows times `N` vectors of columns in registers
//! while k ascends. Each output is one chain of fused multiply-adds, so its bits do not depend on the height of the
//! tile or the width of a vector. (Without FMA the chain multiplies, then adds, and the results differ by rounding.)

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

/// The number of columns of a panel.
pub const PANEL: usize = 16;

/// The instruction set that the kernels use. A pool chooses it when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Whatever the target of the build has.
    Portable,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which every aarch64 has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// WebAssembly's 128-bit vectors. A module with such instructions runs only on engines that have them.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
}

impl Isa {
    /// The sets that this machine can run, slowest first.
    pub fn available() -> Vec<Isa> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
            expect(unused_mut, reason = "other targets have one set")
        )]
        let mut all = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Isa::Avx2);
            if is_x86_feature_detected!("avx512f") {
                all.push(Isa::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        all.push(Isa::Neon);
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        all.push(Isa::Simd128);
        all
    }

    /// The fastest set that this machine can run.
    pub fn detect() -> Isa {
        Self::available().last().copied().unwrap_or(Isa::Portable)
    }

    /// The name in reports: "avx512", "avx2", "neon", "simd128" or "portable".
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => "simd128",
        }
    }
}

/// The work of one call: `rows` rows of A times a few panels of B.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Row r of A is the `k` floats at `a + r * lda`.
    pub a: *const f32,
    pub lda: usize,
    pub rows: usize,
    /// Element (s, j) of panel p is at `b + p * ldb + s * 16 + j`. Panels are whole; any finite padding will do.
    pub b: *const f32,
    pub ldb: usize,
    pub k: usize,
    /// Row r of C is the `cols` floats at `c + r * ldc`.
    pub c: *mut f32,
    pub ldc: usize,
    pub cols: usize,
    /// C already holds the sum over earlier blocks of k: add to it.
    pub add: bool,
    pub finish: Finish,
}

/// The steps between a finished sum and the store: `sum * scale + bias + residual`. A null pointer leaves a step out.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    /// One value for each column, padded to whole panels.
    pub scale: *const f32,
    /// One value for each column, padded to whole panels.
    pub bias: *const f32,
    /// Laid out like C, with the stride of C.
    pub residual: *const f32,
}

impl Finish {
    pub const NONE: Finish = Finish { scale: std::ptr::null(), bias: std::ptr::null(), residual: std::ptr::null() };
}

/// Computes a strip.
///
/// # Safety
/// All pointers of the strip are valid for the extents that its fields state. Nobody else writes C meanwhile, and C
/// overlaps none of the others. The machine has the instruction set.
pub(super) unsafe fn run(isa: Isa, strip: &Strip) {
    // SAFETY: this function's caller guarantees the same contract.
    unsafe {
        match isa {
            Isa::Portable => portable::run(strip),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::run(strip),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::run(strip),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::run(strip),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => simd128::run(strip),
        }
    }
}

/// A vector of f32. Its methods are inlined into a function that enables the instruction set.
trait Lanes: Copy {
    const WIDTH: usize;
    /// # Safety
    /// For every method: it is inlined where the instruction set is enabled, and pointers are valid for what is read or
    /// written. That is `WIDTH` floats, or the first `n` of them in the `_some` methods.
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn load_some(p: *const f32, n: usize) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn store_some(self, p: *mut f32, n: usize);
    unsafe fn add(self, other: Self) -> Self;
    /// `self * b + c`
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
}

/// The steps along K between two tests of the loop.
const UNROLL: usize = 4;

/// Computes `R` rows from `row` on, and `N` vectors of columns from `col` on.
#[inline(always)]
unsafe fn tile<V: Lanes, const N: usize, const R: usize>(s: &Strip, row: usize, col: usize) {
    // SAFETY: the caller's contract. row + R <= rows, and the vector at `col` begins inside `cols`.
    unsafe {
        // Hides from the compiler that the rows are equally spaced. Otherwise it computes their addresses at every
        // step.
        let a: [*const f32; R] = black_box(std::array::from_fn(|r| s.a.add((row + r) * s.lda)));
        let b: [*const f32; N] = std::array::from_fn(|n| {
            let col = col + n * V::WIDTH;
            s.b.add(col / PANEL * s.ldb + col % PANEL)
        });
        let mut sum = [[V::splat(0.0); N]; R];
        let mut k = 0;
        while k + UNROLL <= s.k {
            for i in 0..UNROLL {
                step(&mut sum, &a, &b, k + i);
            }
            k += UNROLL;
        }
        while k < s.k {
            step(&mut sum, &a, &b, k);
            k += 1;
        }
        if s.cols - col >= N * V::WIDTH {
            finish::<V, N, R, true>(s, sum, row, col);
        } else {
            finish::<V, N, R, false>(s, sum, row, col);
        }
    }
}

/// Adds one step along K to a tile's sums.
///
/// This is not a closure. The compiler treats a closure as a separate function, which it may not inline. Then the
/// function lacks the instruction set of its caller, and in tall tiles every multiplication became a call.
#[inline(always)]
unsafe fn step<V: Lanes, const N: usize, const R: usize>(
    sum: &mut [[V; N]; R],
    a: &[*const f32; R],
    b: &[*const f32; N],
    k: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut columns = [V::splat(0.0); N];
        for (column, b) in columns.iter_mut().zip(b) {
            *column = V::load(b.add(k * PANEL));
        }
        for (sum, a) in sum.iter_mut().zip(a) {
            let x = V::splat(*a.add(k));
            for (sum, column) in sum.iter_mut().zip(columns) {
                *sum = x.mul_add(column, *sum);
            }
        }
    }
}

/// Finishes and stores a tile's sums. `WHOLE` means that all its columns lie inside C.
///
/// Each step passes over the sums once. Short loops are unrolled, so the sums stay in registers.
#[inline(always)]
unsafe fn finish<V: Lanes, const N: usize, const R: usize, const WHOLE: bool>(
    s: &Strip,
    mut sum: [[V; N]; R],
    row: usize,
    col: usize,
) {
    let valid: [usize; N] = std::array::from_fn(|n| s.cols.saturating_sub(col + n * V::WIDTH).min(V::WIDTH));
    let at = |r: usize, n: usize| (row + r) * s.ldc + col + n * V::WIDTH;
    // SAFETY: the caller's contract. If some columns lie outside C, only the valid ones are read and written.
    unsafe {
        let load = |p: *const f32, n: usize| if WHOLE { V::load(p) } else { V::load_some(p, valid[n]) };
        if s.add {
            for (r, sum) in sum.iter_mut().enumerate() {
                for (n, v) in sum.iter_mut().enumerate() {
                    *v = v.add(load(s.c.wrapping_add(at(r, n)), n));
                }
            }
        }
        if !s.finish.scale.is_null() {
            let scale: [V; N] = std::array::from_fn(|n| V::load(s.finish.scale.add(col + n * V::WIDTH)));
            for sum in &mut sum {
                for (v, scale) in sum.iter_mut().zip(scale) {
                    *v = v.mul(scale);
                }
            }
        }
        if !s.finish.bias.is_null() {
            let bias: [V; N] = std::array::from_fn(|n| V::load(s.finish.bias.add(col + n * V::WIDTH)));
            for sum in &mut sum {
                for (v, bias) in sum.iter_mut().zip(bias) {
                    *v = v.add(bias);
                }
            }
        }
        if !s.finish.residual.is_null() {
            for (r, sum) in sum.iter_mut().enumerate() {
                for (n, v) in sum.iter_mut().enumerate() {
                    *v = v.add(load(s.finish.residual.wrapping_add(at(r, n)), n));
                }
            }
        }
        for (r, sum) in sum.iter().enumerate() {
            for (n, v) in sum.iter().enumerate() {
                let c = s.c.wrapping_add(at(r, n));
                if WHOLE { v.store(c) } else { v.store_some(c, valid[n]) }
            }
        }
    }
}

/// Prefetches a cache line. Any address is allowed.
#[inline(always)]
fn prefetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: this is a hint, which never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Computes all rows for the `N` vectors of columns from `col` on. The tiles have nearly equal heights of at most `max`
/// (itself at most 12), because a short last tile would leave multipliers idle.
#[inline(always)]
unsafe fn columns<V: Lanes, const N: usize>(s: &Strip, max: usize, col: usize) {
    let tiles = s.rows.div_ceil(max);
    let mut row = 0;
    for t in 0..tiles {
        let height = (s.rows - row).div_ceil(tiles - t);
        // Prefetches the next panel, a share with each tile, because it may come from main memory.
        for k in s.k * t / tiles..s.k * (t + 1) / tiles {
            prefetch(s.b.wrapping_add((col + N * V::WIDTH) / PANEL * s.ldb + k * PANEL));
        }
        // SAFETY: the caller's contract, and row + height <= rows.
        unsafe {
            match height {
                1 => tile::<V, N, 1>(s, row, col),
                2 => tile::<V, N, 2>(s, row, col),
                3 => tile::<V, N, 3>(s, row, col),
                4 => tile::<V, N, 4>(s, row, col),
                5 if max >= 5 => tile::<V, N, 5>(s, row, col),
                6 if max >= 6 => tile::<V, N, 6>(s, row, col),
                7 if max >= 7 => tile::<V, N, 7>(s, row, col),
                8 if max >= 8 => tile::<V, N, 8>(s, row, col),
                9 if max >= 9 => tile::<V, N, 9>(s, row, col),
                10 if max >= 10 => tile::<V, N, 10>(s, row, col),
                11 if max >= 11 => tile::<V, N, 11>(s, row, col),
                12 if max >= 12 => tile::<V, N, 12>(s, row, col),
                _ => unreachable!("a tile's height is in 1..=max"),
            }
        }
        row += height;
    }
}
