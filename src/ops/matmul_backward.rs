//! Both gradients of a linear layer, `dX = dY W` and `dW = dYᵀ X`: `y = x Wᵀ` or `y += x Wᵀ` with W packed in this run, or
//! uploaded.
//!
//! x `[M, K]`, W `[N, K]` as [`pack`](super::pack) has it or a device (of i8 the scales are not looked at), y `[M, N]`. The kernels are the cores of
//! [`matmul`](super::matmul), joined with a plain store. For dW, x is `dYᵀ` and K follows the batch.

use super::matmul::{ENOUGH_TILES, fits_tile, tiles};
use super::pack::{Packed, pack_cols, pack_rows, pack_sums};
use super::transpose::transpose;
use crate::device::cpu::{CpuCall, gemm};
use crate::device::{Family, Op, Rows, Site, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::tensor::DType;

pub static OP: Op = Op {
    name: "matmul_backward",
    params: &["m", "n", "k", "add"],
    reads: &["x", "w", "y"],
    writes: &["y"],
    twin,
    variants: &[
        Variant {
            name: "matmul_registers_thin",
            family: Family::Registers,
            fits: |site, _| site.param("n").is_some_and(|n| n <= 8),
            wgsl: |site| pieces(site, include_str!("../../shaders/matmul_registers_thin.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[0], 8 * 4), groups(w[1], 4), 1],
        },
        Variant {
            name: "matmul_registers_12x16",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |site| pieces(site, include_str!("../../shaders/matmul_registers_12x16.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[1], 8 * 16), groups(w[0], 12), 1],
        },
        Variant {
            name: "matmul_tiles_64x64",
            family: Family::Tiles,
            fits: |site, limits| fits_tile(limits, 128, 64 * 9 * 16) && tiles(site, 64) >= ENOUGH_TILES,
            wgsl: |site| pieces(site, include_str!("../../shaders/matmul_tiles_64x64.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[1], 64), groups(w[0], 64), 1],
        },
        Variant {
            name: "matmul_tiles_32x32",
            family: Family::Tiles,
            fits: |_, limits| fits_tile(limits, 64, 32 * 9 * 16),
            wgsl: |site| pieces(site, include_str!("../../shaders/matmul_tiles_32x32.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[1], 32), groups(w[0], 32), 1],
        },
    ],
    flops: |w| 2.0 * f64::from(w[0]) * f64::from(w[1]) * f64::from(w[2]),
};

/// Records `y = x Wᵀ`, on top of `onto` where there is such a tensor. x `[M, K]`, W `[N, K]`, y `[M, N]`.
pub fn matmul_onto(g: &mut Graph, name: &str, x: Tensor, weight: Tensor, onto: Option<Tensor>) -> Tensor {
    let packed = pack_rows(g, weight);
    let y = onto.unwrap_or_else(|| g.temp(name, x.rows, packed.n));
    product(g, x, Word::Rows(x.rows), packed, y, onto.is_some());
    y
}

/// Records `dX = dY W`, on top of `onto` where there is such a gradient already. dY `[M, N]`, W `[N, K]`.
pub fn matmul_dx(g: &mut Graph, name: &str, d_y: Tensor, weight: Tensor, onto: Option<Tensor>) -> Tensor {
    let packed = pack_cols(g, weight);
    let d_x = onto.unwrap_or_else(|| g.temp(name, d_y.rows, weight.cols));
    product(g, d_y, Word::Rows(d_y.rows), packed, d_x, onto.is_some());
    d_x
}

/// Records `dX = dY W` with an uploaded Wᵀ `[K, N]`, on top of `onto` as [`matmul_dx`] does. dY `[M, N]`.
pub fn matmul_dx_by(g: &mut Graph, name: &str, d_y: Tensor, transposed: Tensor, onto: Option<Tensor>) -> Tensor {
    let Rows::Fixed(n) = transposed.rows else { unreachable!("a weight's shape is fixed") };
    let d_x = onto.unwrap_or_else(|| g.temp(name, d_y.rows, n));
    let packed = Packed { tensor: transposed, n, k: Rows::Fixed(transposed.cols) };
    product(g, d_y, Word::Rows(d_y.rows), packed, d_x, onto.is_some());
    d_x
}

/// Records `dW += dYᵀ X`. dY `[M, N]`, X `[M, K]`, dW `[N, K]`.
pub fn matmul_dw(g: &mut Graph, d_y: Tensor, x: Tensor, d_weight: Tensor) {
    let packed = pack_sums(g, x);
    let d_yt = transpose(g, d_y);
    product(g, d_yt, Word::U32(d_y.cols), packed, d_weight, true);
}

fn product(g: &mut Graph, x: Tensor, m: Word, packed: Packed, y: Tensor, add: bool) {
    let k = match packed.k {
        Rows::Fixed(k) => Word::U32(k),
        rows => Word::Rows(rows),
    };
    let reads = [x, packed.tensor, y];
    let reads = if add { &reads[..] } else { &reads[..2] };
    g.call(&OP, reads, &[y], vec![m, Word::U32(packed.n), k, Word::U32(u32::from(add))]);
}

fn twin(call: &mut CpuCall<'_>) {
    let [m, n, k, add] = *call.params else { unreachable!("four parameters") };
    let w = call.reads[1].panels(n as usize, k as usize);
    gemm::product(call.dispatch, call.writes[0], call.reads[0].plain(), m as usize, w, add != 0);
}

fn pieces(site: &Site<'_>, core: &'static str) -> Vec<&'static str> {
    let load_a = if site.is_multiple("k", 4) {
        include_str!("../../shaders/lib/matmul_a_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_a_scalar.wgsl")
    };
    let store = if site.is_multiple("n", 4) {
        include_str!("../../shaders/lib/matmul_backward_store_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_backward_store_scalar.wgsl")
    };
    let params = include_str!("../../shaders/lib/matmul_backward_params.wgsl");
    let load_b = match site.dtype(1) {
        DType::F16 => include_str!("../../shaders/lib/matmul_b_f16.wgsl"),
        DType::I8 => include_str!("../../shaders/lib/matmul_b_i8.wgsl"),
        DType::F32 | DType::BF16 | DType::F64 => include_str!("../../shaders/lib/matmul_backward_b.wgsl"),
    };
    vec![params, load_a, load_b, store, core]
}
