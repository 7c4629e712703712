//! Attention for training: it drops probabilities out, and keeps the logarithm of each query's sum for the gradient.
//!
//! `ctx = M softmax(Q Kᵀ / sqrt(D)) V`; qkv, bounds and ctx are as in [`attention`](super::attention), and lse is
//! `[T, N]`. M is 0 or `1 / (1 - p)`. The hash of row `query N + head` and column `key`, counted within the sequence,
//! decides which.

use super::dropout::Dropout;
use crate::device::cpu::{CpuCall, train::attention as kernel};
use crate::device::{CallContext, Family, Longest, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::hash::site_key;
use crate::ops::groups;

// `attention_backward` uses the same parameters.
params! { tokens: Rows, sequences: Rows, longest: Longest, heads: u32, head_size: u32, scale: f32, site: u32, threshold: u32, keep_scale: f32 }

/// The op `attention_train`: reads qkv `[T, 3H]`, bounds `[B + 1]` (u32) and control `[1, 4]`; writes ctx `[T, H]` and
/// lse `[T, N]`.
pub static OP: Op = Op {
    name: "attention_train",
    params: Params::STRUCT,
    reads: &["qkv", "bounds", "control"],
    writes: &["ctx", "lse"],
    twin,
    variants: &[
        Variant {
            name: "attention_train_registers_32",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 32,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_train_registers_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 8 * 4), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_train_registers_64",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).head_size == 64,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_train_registers_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 8 * 2), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_train_tiles_32",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 32 && limits.workgroup_bytes >= 8192,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_train_tiles_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_train_tiles_64",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).head_size == 64 && limits.workgroup_bytes >= 8192,
            wgsl: |_| with_dropout(include_str!("../../shaders/unrolled/attention_train_tiles_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.longest, 64), p.heads, p.sequences]),
        },
        Variant {
            name: "attention_train_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_plain.wgsl")),
            overrides,
            grid: resolved!(|p| [groups(p.longest, 8), p.heads, p.sequences]),
        },
    ],
    flops: resolved!(|p| 4.0 * pairs(p)),
};

/// The WGSL of a kernel, after the hash of dropout.
pub(super) fn with_dropout(kernel: &'static str) -> Vec<&'static str> {
    vec![include_str!("../../shaders/lib/dropout.wgsl"), kernel]
}

/// The number of products of a query's element with a key's. It takes the mean length for each sequence.
pub(super) fn pairs(p: Values) -> f64 {
    f64::from(p.tokens) * f64::from(p.tokens) / f64::from(p.sequences.max(1)) * f64::from(p.heads * p.head_size)
}

pub(super) fn overrides(context: &CallContext<'_>) -> Vec<(&'static str, f64)> {
    vec![("HEAD_SIZE", f64::from(Params::recorded(context).head_size))]
}

/// The parameters of a call.
pub(super) fn params(hidden: u32, heads: u32, dropout: &Dropout) -> Params {
    let head_size = hidden / heads;
    Params {
        tokens: Rows::Tokens,
        sequences: Rows::Sequences,
        longest: Longest,
        heads,
        head_size,
        scale: 1.0 / (head_size as f32).sqrt(),
        site: dropout.site,
        threshold: dropout.threshold(),
        keep_scale: dropout.scale(),
    }
}

/// Records attention with dropout and returns `(ctx, lse)`: ctx `[T, H]` and lse `[T, N]`. qkv is `[T, 3H]`, bounds
/// `[B + 1]`, and `heads` is N.
pub fn attention_train(
    g: &mut Graph,
    name: &str,
    qkv: Tensor,
    bounds: Tensor,
    heads: u32,
    dropout: &Dropout,
) -> (Tensor, Tensor) {
    let hidden = qkv.cols / 3;
    let ctx = g.temp(name, qkv.rows, hidden);
    let lse = g.temp("lse", qkv.rows, heads);
    g.call(&OP, &[qkv, bounds, dropout.control], &[ctx, lse], params(hidden, heads, dropout));
    (ctx, lse)
}

/// The parameters in the form that the CPU kernels take.
pub(super) fn shape(bits: &[u32], control: &[f32]) -> kernel::Shape {
    let Values { heads, head_size, scale, site, threshold, keep_scale, .. } = Params::resolved(bits);
    kernel::Shape {
        heads: heads as usize,
        size: head_size as usize,
        scale,
        key: site_key(control[0].to_bits(), site),
        threshold,
        keep_scale,
    }
}

fn twin(call: &mut CpuCall<'_>) {
    let [qkv, bounds, control] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [ctx, lse] = call.writes else { unreachable!("two results") };
    let shape = shape(call.params, control);
    kernel::forward(call.dispatch, ctx, lse, qkv, bytemuck::cast_slice(bounds), shape);
}
