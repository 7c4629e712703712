//! Attention as training computes it: with dropout of the probabilities, and the logarithm of each query's sum kept.
//!
//! `ctx = M softmax(Q Kᵀ / sqrt(D)) V`; qkv, bounds and ctx as in [`attention`](super::attention); lse `[T, N]`. M is 0 or
//! `1 / (1 - p)` by the hash of row `query N + head` and column `key` within its sequence.

use super::dropout::Dropout;
use crate::device::cpu::{CpuCall, train::attention as kernel, train::random::site_key};
use crate::device::{Family, Op, Rows, Site, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "attention_train",
    params: PARAMS,
    reads: &["qkv", "bounds", "control"],
    writes: &["ctx", "lse"],
    twin,
    variants: &[
        Variant {
            name: "attention_train_registers_32",
            family: Family::Registers,
            fits: |site, _| site.param("head_size") == Some(32),
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_registers_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 8 * 4), w[3], w[1]],
        },
        Variant {
            name: "attention_train_registers_64",
            family: Family::Registers,
            fits: |site, _| site.param("head_size") == Some(64),
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_registers_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 8 * 2), w[3], w[1]],
        },
        Variant {
            name: "attention_train_tiles_32",
            family: Family::Tiles,
            fits: |site, limits| site.param("head_size") == Some(32) && limits.workgroup_bytes >= 8192,
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_tiles_32.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 64), w[3], w[1]],
        },
        Variant {
            name: "attention_train_tiles_64",
            family: Family::Tiles,
            fits: |site, limits| site.param("head_size") == Some(64) && limits.workgroup_bytes >= 8192,
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_tiles_64.wgsl")),
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 64), w[3], w[1]],
        },
        Variant {
            name: "attention_train_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| with_dropout(include_str!("../../shaders/attention_train_plain.wgsl")),
            overrides,
            grid: |w| [groups(w[2], 8), w[3], w[1]],
        },
    ],
    flops: |w| 4.0 * pairs(w),
};

/// A kernel with dropout's hash before it.
pub(super) fn with_dropout(kernel: &'static str) -> Vec<&'static str> {
    vec![include_str!("../../shaders/lib/dropout.wgsl"), kernel]
}

/// Parameters of attention and of its gradient.
pub(super) const PARAMS: &[&str] =
    &["tokens", "sequences", "longest", "heads", "head_size", "scale", "site", "threshold", "keep_scale"];

/// Products of a query with a key, element by element, as if all sequences were of the mean length.
pub(super) fn pairs(w: &[u32]) -> f64 {
    f64::from(w[0]) * f64::from(w[0]) / f64::from(w[1].max(1)) * f64::from(w[3] * w[4])
}

pub(super) fn overrides(site: &Site<'_>) -> Vec<(&'static str, f64)> {
    vec![("HEAD_SIZE", f64::from(site.param("head_size").unwrap_or(0)))]
}

/// Parameters of a call.
pub(super) fn words(hidden: u32, heads: u32, dropout: &Dropout) -> Vec<Word> {
    let head_size = hidden / heads;
    let mut words = vec![
        Word::Rows(Rows::Tokens),
        Word::Rows(Rows::Sequences),
        Word::Longest,
        Word::U32(heads),
        Word::U32(head_size),
        Word::F32(1.0 / (head_size as f32).sqrt()),
    ];
    words.extend(dropout.words());
    words
}

/// Records `(ctx, lse)`.
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
    g.call(&OP, &[qkv, bounds, dropout.control], &[ctx, lse], words(hidden, heads, dropout));
    (ctx, lse)
}

/// What the CPU's kernels are told.
pub(super) fn shape(params: &[u32], control: &[f32]) -> kernel::Shape {
    let [_, _, _, heads, size, scale, site, threshold, keep_scale] = *params else { unreachable!("nine parameters") };
    kernel::Shape {
        heads: heads as usize,
        size: size as usize,
        scale: f32::from_bits(scale),
        key: site_key(control[0].to_bits(), site),
        threshold,
        keep_scale: f32::from_bits(keep_scale),
    }
}

fn twin(call: &mut CpuCall<'_>) {
    let [qkv, bounds, control] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [ctx, lse] = call.writes else { unreachable!("two results") };
    let shape = shape(call.params, control);
    kernel::forward(call.dispatch, ctx, lse, qkv, bytemuck::cast_slice(bounds), shape);
}
