//! `y = act(x Wᵀ + b) + residual`: every linear layer, fused with what follows it.
//!
//! x is `[M, K]`, W `[N, K]` is as checkpoints store it, b is `[N]`, residual and y are `[M, N]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, gemm};
use crate::device::limits::Limits;
use crate::device::{CallContext, Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::tensor::DType;

/// The variants of a matmul whose `Params` have m and n. `$pieces` joins a core with the pieces it needs.
macro_rules! matmul_variants {
    ($pieces:ident) => {
        &[
            Variant {
                name: "matmul_registers_thin",
                family: Family::Registers,
                fits: |call, _| Params::recorded(call).n <= 8,
                wgsl: |context| $pieces(context, include_str!("../../shaders/unrolled/matmul_registers_thin.wgsl")),
                overrides: |_| Vec::new(),
                grid: resolved!(|p| [groups(p.m, 8 * 4), groups(p.n, 4), 1]),
            },
            Variant {
                name: "matmul_registers_12x16",
                family: Family::Registers,
                fits: |_, _| true,
                wgsl: |context| $pieces(context, include_str!("../../shaders/unrolled/matmul_registers_12x16.wgsl")),
                overrides: |_| Vec::new(),
                grid: resolved!(|p| [groups(p.n, 8 * 16), groups(p.m, 12), 1]),
            },
            Variant {
                name: "matmul_tiles_64x64",
                family: Family::Tiles,
                fits: |context, limits| fits_tile(limits, 128, 64 * 9 * 16) && tiles(context, 64) >= ENOUGH_TILES,
                wgsl: |context| $pieces(context, include_str!("../../shaders/unrolled/matmul_tiles_64x64.wgsl")),
                overrides: |_| Vec::new(),
                grid: resolved!(|p| [groups(p.n, 64), groups(p.m, 64), 1]),
            },
            Variant {
                name: "matmul_tiles_32x32",
                family: Family::Tiles,
                fits: |_, limits| fits_tile(limits, 64, 32 * 9 * 16),
                wgsl: |context| $pieces(context, include_str!("../../shaders/unrolled/matmul_tiles_32x32.wgsl")),
                overrides: |_| Vec::new(),
                grid: resolved!(|p| [groups(p.n, 32), groups(p.m, 32), 1]),
            },
        ]
    };
}
#[cfg(feature = "train")]
pub(super) use matmul_variants;

params! { m: Rows, n: u32, k: u32, activation: Activation, residual: bool }

/// The op `matmul`: reads x `[M, K]`, w `[N, K]`, bias `[N]` and residual `[M, N]`; writes y `[M, N]`.
pub static OP: Op = Op {
    name: "matmul",
    params: Params::STRUCT,
    reads: &["x", "w", "bias", "residual"],
    writes: &["y"],
    twin,
    variants: matmul_variants!(pieces),
    flops: resolved!(|p| 2.0 * f64::from(p.m) * f64::from(p.n) * f64::from(p.k)),
};

/// With fewer workgroups than this, a dispatch leaves processors of a real GPU idle, and smaller tiles are better.
pub(super) const ENOUGH_TILES: u32 = 128;

/// The number of `size` x `size` tiles in y for the plan's largest batch. All variants sum in the same order, so they
/// give the same bits.
pub(super) fn tiles(context: &CallContext<'_>, size: u32) -> u32 {
    let y = context.call.writes[0];
    groups(y.rows.resolve(context.capacity), size) * groups(y.cols, size)
}

pub(super) fn fits_tile(limits: &Limits, invocations: u32, bytes: u32) -> bool {
    limits.invocations >= invocations && limits.workgroup_bytes >= bytes
}

/// Records a linear layer and returns y `[M, N]`. x is `[M, K]`; `weight` `[N, K]` and `bias` `[N]` are uploaded;
/// residual is `[M, N]`.
///
/// # Panics
/// If x and `weight` differ in K.
pub fn matmul(
    g: &mut Graph,
    name: &str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: Activation,
    residual: Option<Tensor>,
) -> Tensor {
    let crate::device::Rows::Fixed(n) = weight.rows else { unreachable!("a weight's shape is fixed") };
    assert_eq!(x.cols, weight.cols, "{name}: K");
    matmul_by(g, name, x, weight, n, bias, activation, residual)
}

/// Records the layer with a packed right side of `n` rows: an uploaded weight, or one that was packed in this run.
#[expect(clippy::too_many_arguments, reason = "as `matmul`, and one")]
pub(crate) fn matmul_by(
    g: &mut Graph,
    name: &str,
    x: Tensor,
    weight: Tensor,
    n: u32,
    bias: Tensor,
    activation: Activation,
    residual: Option<Tensor>,
) -> Tensor {
    let y = g.temp(name, x.rows, n);
    // Without a residual, its binding gets the bias, which the kernel does not read. So one compiled kernel serves both
    // cases.
    let reads = [x, weight, bias, residual.unwrap_or(bias)];
    let params = Params { m: x.rows, n, k: x.cols, activation, residual: residual.is_some() };
    g.call(&OP, &reads, &[y], params);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { m, n, k, activation, residual } = Params::resolved(call.params);
    let residual = residual.then(|| call.reads[3].plain());
    let bias = call.reads[2].plain();
    gemm::gemm(
        call.dispatch,
        call.writes[0],
        call.reads[0].plain(),
        m as usize,
        call.reads[1].panels(n as usize, k as usize),
        Some(bias),
        activation,
        residual,
    );
}

/// The pieces around a core: they read x and W and finish a result, as the call's types and shapes need.
fn pieces(context: &CallContext<'_>, core: &'static str) -> Vec<&'static str> {
    let Params { n, k, activation, .. } = Params::recorded(context);
    let load_a = if k.is_multiple_of(4) {
        include_str!("../../shaders/lib/matmul_a_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_a_scalar.wgsl")
    };
    let load_b = match context.dtype(1) {
        DType::F16 => include_str!("../../shaders/lib/matmul_b_f16.wgsl"),
        DType::I8 => include_str!("../../shaders/lib/matmul_b_i8.wgsl"),
        DType::F32 | DType::BF16 | DType::F64 => include_str!("../../shaders/lib/matmul_b_f32.wgsl"),
    };
    let store = if n.is_multiple_of(4) {
        include_str!("../../shaders/lib/matmul_store_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_store_scalar.wgsl")
    };
    let params = include_str!("../../shaders/lib/matmul_params.wgsl");
    [&[params], super::activation::pieces(activation), &[load_a, load_b, store, core]].concat()
}
