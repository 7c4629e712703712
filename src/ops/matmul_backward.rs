//! Both gradients of a linear layer, `dX = dY W` and `dW = dYᵀ X`. Each is `y = x Wᵀ` or `y += x Wᵀ`, where W is
//! uploaded or packed in this run.
//!
//! x is `[M, K]`, y is `[M, N]`, and W `[N, K]` is in the form of [`pack`](super::pack) or of an uploaded weight (the
//! scales of i8 are not applied). The kernels are the cores of [`matmul`](super::matmul) with a plain store. For dW, x
//! is `dYᵀ`, and K follows the batch.

use super::matmul::{ENOUGH_TILES, fits_tile, matmul_variants, tiles};
use super::pack::{Packed, pack_cols, pack_rows, pack_sums};
use super::transpose::transpose;
use crate::device::cpu::{CpuCall, gemm};
use crate::device::{CallContext, Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::tensor::DType;

params! { m: Rows, n: u32, k: Rows, add: bool }

/// The op `matmul_backward`: reads x `[M, K]` and w `[N, K]`, writes y `[M, N]` or updates it in place.
pub static OP: Op = Op {
    name: "matmul_backward",
    params: Params::STRUCT,
    reads: &["x", "w", "y"],
    writes: &["y"],
    twin,
    variants: matmul_variants!(pieces),
    flops: resolved!(|p| 2.0 * f64::from(p.m) * f64::from(p.n) * f64::from(p.k)),
};

/// Records `y = x Wᵀ`, added to `onto` if there is one, and returns y. x is `[M, K]`, W `[N, K]`, y `[M, N]`.
pub fn matmul_onto(g: &mut Graph, name: &str, x: Tensor, weight: Tensor, onto: Option<Tensor>) -> Tensor {
    let packed = pack_rows(g, weight);
    let y = onto.unwrap_or_else(|| g.temp(name, x.rows, packed.n));
    product(g, x, x.rows, packed, y, onto.is_some());
    y
}

/// Records `dX = dY W`, added to `onto` if there is already a gradient, and returns dX. dY is `[M, N]`, W `[N, K]`, dX
/// `[M, K]`.
pub fn matmul_dx(g: &mut Graph, name: &str, d_y: Tensor, weight: Tensor, onto: Option<Tensor>) -> Tensor {
    let packed = pack_cols(g, weight);
    let d_x = onto.unwrap_or_else(|| g.temp(name, d_y.rows, weight.cols));
    product(g, d_y, d_y.rows, packed, d_x, onto.is_some());
    d_x
}

/// Records `dX = dY W` like [`matmul_dx`], but with an uploaded Wᵀ `[K, N]`. dY is `[M, N]`, dX `[M, K]`.
pub fn matmul_dx_by(g: &mut Graph, name: &str, d_y: Tensor, transposed: Tensor, onto: Option<Tensor>) -> Tensor {
    let Rows::Fixed(n) = transposed.rows else { unreachable!("a weight's shape is fixed") };
    let d_x = onto.unwrap_or_else(|| g.temp(name, d_y.rows, n));
    let packed = Packed { tensor: transposed, n, k: Rows::Fixed(transposed.cols) };
    product(g, d_y, d_y.rows, packed, d_x, onto.is_some());
    d_x
}

/// Records `dW += dYᵀ X`, in place. dY is `[M, N]`, X `[M, K]`, dW `[N, K]`.
pub fn matmul_dw(g: &mut Graph, d_y: Tensor, x: Tensor, d_weight: Tensor) {
    let packed = pack_sums(g, x);
    let d_yt = transpose(g, d_y);
    product(g, d_yt, Rows::Fixed(d_y.cols), packed, d_weight, true);
}

fn product(g: &mut Graph, x: Tensor, m: Rows, packed: Packed, y: Tensor, add: bool) {
    let reads = [x, packed.tensor, y];
    let reads = if add { &reads[..] } else { &reads[..2] };
    g.call(&OP, reads, &[y], Params { m, n: packed.n, k: packed.k, add });
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { m, n, k, add } = Params::resolved(call.params);
    let w = call.reads[1].panels(n as usize, k as usize);
    gemm::product(call.dispatch, call.writes[0], call.reads[0].plain(), m as usize, w, add);
}

fn pieces(context: &CallContext<'_>, core: &'static str) -> Vec<&'static str> {
    let Params { n, k, .. } = Params::recorded(context);
    let load_a = if k.is_multiple_of(4) {
        include_str!("../../shaders/lib/matmul_a_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_a_scalar.wgsl")
    };
    let store = if n.is_multiple_of(4) {
        include_str!("../../shaders/lib/matmul_backward_store_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_backward_store_scalar.wgsl")
    };
    let params = include_str!("../../shaders/lib/matmul_params.wgsl");
    let load_b = match context.dtype(1) {
        DType::F16 => include_str!("../../shaders/lib/matmul_b_f16.wgsl"),
        DType::I8 => include_str!("../../shaders/lib/matmul_b_i8.wgsl"),
        DType::F32 | DType::BF16 | DType::F64 => include_str!("../../shaders/lib/matmul_backward_b.wgsl"),
    };
    vec![params, load_a, load_b, store, core]
}
