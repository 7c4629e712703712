//! `y = act(x Wᵀ + b) + residual`: every linear layer, with its epilogue fused.
//!
//! x `[M, K]`, W `[N, K]` as checkpoints store it, b `[N]`, residual and y `[M, N]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, gemm};
use crate::device::gpu::Limits;
use crate::device::{Family, Op, Site, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::tensor::DType;

pub static OP: Op = Op {
    name: "matmul",
    params: &["m", "n", "k", "activation", "residual"],
    reads: &["x", "w", "bias", "residual"],
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

/// A dispatch of fewer workgroups leaves processors of a real GPU idle: then the tile should be smaller.
pub(super) const ENOUGH_TILES: u32 = 128;

/// Tiles of `size` x `size` in the largest y of the plan. The variants share the order of summation, and so the bits.
pub(super) fn tiles(site: &Site<'_>, size: u32) -> u32 {
    let y = site.call.writes[0];
    groups(y.rows.resolve(site.capacity), size) * groups(y.cols, size)
}

pub(super) fn fits_tile(limits: &Limits, invocations: u32, bytes: u32) -> bool {
    limits.invocations >= invocations && limits.workgroup_bytes >= bytes
}

/// Records the layer; `weight` and `bias` are what the device uploaded.
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

/// Records the layer with a right side of `n` rows that is in packed form: an uploaded weight's, or one packed in this run.
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
    // Without a residual its binding is given the bias, unread: one compiled kernel serves both.
    let has_residual = u32::from(residual.is_some());
    let reads = [x, weight, bias, residual.unwrap_or(bias)];
    let (k, activation) = (Word::U32(x.cols), Word::U32(activation.id()));
    g.call(&OP, &reads, &[y], vec![Word::Rows(x.rows), Word::U32(n), k, activation, Word::U32(has_residual)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [m, n, k, activation, residual] = *call.params else { unreachable!("five parameters") };
    let activation = Activation::ALL[activation as usize];
    let residual = (residual != 0).then(|| call.reads[3].plain());
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

/// The core's companions: how x and W are read, what happens to a result, by the call's types and shapes.
fn pieces(site: &Site<'_>, core: &'static str) -> Vec<&'static str> {
    let whole_vectors = |name| site.param(name).is_some_and(|v| v % 4 == 0);
    let load_a = if whole_vectors("k") {
        include_str!("../../shaders/lib/matmul_a_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_a_scalar.wgsl")
    };
    let load_b = match site.dtype(1) {
        DType::F16 => include_str!("../../shaders/lib/matmul_b_f16.wgsl"),
        DType::I8 => include_str!("../../shaders/lib/matmul_b_i8.wgsl"),
        DType::F32 | DType::BF16 | DType::F64 => include_str!("../../shaders/lib/matmul_b_f32.wgsl"),
    };
    let store = if whole_vectors("n") {
        include_str!("../../shaders/lib/matmul_store_vec4.wgsl")
    } else {
        include_str!("../../shaders/lib/matmul_store_scalar.wgsl")
    };
    let activation = site.param("activation").map_or(Activation::Linear, |id| Activation::ALL[id as usize]);
    let params = include_str!("../../shaders/lib/matmul_params.wgsl");
    [&[params], super::activation::pieces(activation), &[load_a, load_b, store, core]].concat()
}
