//! The gradients of attention's q, k and v. The op computes the probabilities again and never stores a matrix of them,
//! as FlashAttention does (Dao et al., arXiv:2205.14135).
//!
//! qkv, bounds, control and lse are those of [`attention_train`](super::attention_train); d_ctx is `[T, H]`, delta
//! `[T, N]` comes from [`attention_delta`](super::attention_delta), and d_qkv is `[T, 3H]`.

use super::attention_delta::attention_delta;
use super::attention_train::{Params, overrides, pairs, params, shape, with_dropout};
use super::dropout::Dropout;
use crate::device::cpu::{CpuCall, train::attention as kernel};
use crate::device::{Family, Op, Variant, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

/// The op `attention_backward`: reads qkv `[T, 3H]`, bounds `[B + 1]`, control `[1, 4]`, d_ctx `[T, H]`, lse and delta
/// `[T, N]`; writes d_qkv `[T, 3H]`.
pub static OP: Op = Op {
    name: "attention_backward",
    params: Params::STRUCT,
    reads: &["qkv", "bounds", "control", "d_ctx", "lse", "delta"],
    writes: &["d_qkv"],
    twin,
    variants: &[
        Variant {
            name: "attention_backward_registers_32",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 32,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_backward_registers_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [3 * groups(p.longest, 8 * 4), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_backward_registers_64",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 64,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_backward_registers_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [3 * groups(p.longest, 8 * 2), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_backward_tiles_32",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 32 && limits.workgroup_bytes >= TILES,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_backward_tiles_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [3 * groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_backward_tiles_64",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 64 && limits.workgroup_bytes >= TILES,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_backward_tiles_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [3 * groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_backward_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_backward_plain.wgsl")),
            overrides,
            grid: resolved!(|p| [2 * groups(p.longest, 8), p.heads, p.sequences]),
        },
    ],
    flops: resolved!(|p| 14.0 * pairs(p)),
};

/// The most workgroup memory, in bytes, that a kernel's tiles and their terms take.
const TILES: u32 = 8192 + 32 * 12;

/// The tensors of the forward pass that the gradient needs.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// q, k and v side by side, `[T, 3H]`.
    pub qkv: Tensor,
    /// The first token of each sequence, then T: `[B + 1]`, u32.
    pub bounds: Tensor,
    /// The result of attention, `[T, H]`.
    pub ctx: Tensor,
    /// The logarithm of each query's sum of exponentials, `[T, N]`.
    pub lse: Tensor,
}

/// Records the gradients of q, k and v and returns d_qkv `[T, 3H]`. d_ctx is `[T, H]`; `heads` is N; `dropout` is that
/// of the forward pass.
pub fn attention_backward(g: &mut Graph, saved: Saved, d_ctx: Tensor, heads: u32, dropout: &Dropout) -> Tensor {
    let Saved { qkv, bounds, ctx, lse } = saved;
    let delta = attention_delta(g, ctx, d_ctx, heads);
    let d_qkv = g.temp("d_qkv", qkv.rows, qkv.cols);
    let reads = [qkv, bounds, dropout.control, d_ctx, lse, delta];
    g.call(&OP, &reads, &[d_qkv], params(ctx.cols, heads, dropout));
    d_qkv
}

fn twin(call: &mut CpuCall<'_>) {
    let [qkv, bounds, control, d_ctx, lse, delta] = [0, 1, 2, 3, 4, 5].map(|i| call.reads[i].plain());
    let shape = shape(call.params, control);
    let bounds = bytemuck::cast_slice(bounds);
    kernel::backward(call.dispatch, call.writes[0], &kernel::Saved { qkv, d_ctx, lse, delta }, bounds, shape);
}
