//! `ctx = softmax(Q Kᵀ / sqrt(D)) V` for each head, within each packed sequence (Vaswani et al., arXiv:1706.03762).
//!
//! qkv `[T, 3H]` has q, k and v side by side, each with N heads of D columns. bounds `[B + 1]` has the first token of
//! each sequence, then T. ctx is `[T, H]`. The op is fused: it never stores a matrix of scores. It needs no mask,
//! because a sequence's keys are exactly its own tokens.

use crate::device::cpu::{CpuCall, attention as kernel};
use crate::device::{CallContext, Family, Longest, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { tokens: Rows, sequences: Rows, longest: Longest, heads: u32, head_size: u32, scale: f32 }

/// The op `attention`: reads qkv `[T, 3H]` and bounds `[B + 1]` (u32), writes ctx `[T, H]`.
pub static OP: Op = Op {
    name: "attention",
    params: Params::STRUCT,
    reads: &["qkv", "bounds"],
    writes: &["ctx"],
    twin,
    variants: &[
        Variant {
            name: "attention_registers_32",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 32,
            wgsl: |_| vec![include_str!("../../shaders/unrolled/attention_registers_32.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 8 * 4), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_registers_64",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 64,
            wgsl: |_| vec![include_str!("../../shaders/unrolled/attention_registers_64.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 8 * 4), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_tiles_32",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 32 && limits.workgroup_bytes >= 8192,
            wgsl: |_| vec![include_str!("../../shaders/unrolled/attention_tiles_32.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_tiles_64",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 64 && limits.workgroup_bytes >= 8192,
            wgsl: |_| vec![include_str!("../../shaders/unrolled/attention_tiles_64.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/attention_plain.wgsl")],
            overrides,
            grid: resolved!(|p| [groups(p.longest, 8), p.heads, p.sequences]),
        },
    ],
    // The parameters do not include the lengths of the sequences, so this takes the mean length for each.
    flops: resolved!(|p| 4.0 * f64::from(p.tokens) * f64::from(p.tokens) / f64::from(p.sequences.max(1))
        * f64::from(p.heads * p.head_size)),
};

/// Records multi-head self-attention over packed sequences and returns ctx `[T, H]`. `heads` is N, and H = N D.
pub fn attention(g: &mut Graph, name: &str, qkv: Tensor, bounds: Tensor, heads: u32) -> Tensor {
    let hidden = qkv.cols / 3;
    let head_size = hidden / heads;
    let ctx = g.temp(name, qkv.rows, hidden);
    let params = Params {
        tokens: Rows::Tokens,
        sequences: Rows::Sequences,
        longest: Longest,
        heads,
        head_size,
        scale: 1.0 / (head_size as f32).sqrt(),
    };
    g.call(&OP, &[qkv, bounds], &[ctx], params);
    ctx
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { heads, head_size, scale, .. } = Params::resolved(call.params);
    let (heads, head_size) = (heads as usize, head_size as usize);
    let bounds: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    kernel::attention(call.dispatch, call.writes[0], call.reads[0].plain(), bounds, heads, head_size, scale);
}

fn overrides(context: &CallContext<'_>) -> Vec<(&'static str, f64)> {
    vec![("HEAD_SIZE", f64::from(Params::recorded(context).head_size))]
}
