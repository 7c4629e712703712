//! `ctx = softmax(Q Kᵀ / sqrt(D)) V`, for each head, within each packed sequence.
//!
//! qkv `[T, 3H]` holds q, k and v side by side, each N heads of D columns; bounds `[B + 1]` are the sequences' first
//! tokens and T; ctx `[T, H]`. Fused: no matrix of scores is ever stored, and there is no mask, since a sequence's
//! keys are its own tokens and nothing else.

use crate::device::cpu::{CpuCall, attention as kernel};
use crate::device::{Family, Op, Rows, Site, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "attention",
    params: &["tokens", "sequences", "longest", "heads", "head_size", "scale"],
    reads: &["qkv", "bounds"],
    writes: &["ctx"],
    twin,
    variants: &[
        Variant {
            name: "attention_registers_32",
            family: Family::Registers,
            fits: |site, _| site.param("head_size") == Some(32),
            wgsl: |_| vec![include_str!("../../shaders/attention_registers_32.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 8 * 4), w[3], w[1]],
        },
        Variant {
            name: "attention_registers_64",
            family: Family::Registers,
            fits: |site, _| site.param("head_size") == Some(64),
            wgsl: |_| vec![include_str!("../../shaders/attention_registers_64.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 8 * 4), w[3], w[1]],
        },
        Variant {
            name: "attention_tiles_32",
            family: Family::Tiles,
            fits: |site, limits| site.param("head_size") == Some(32) && limits.workgroup_bytes >= 8192,
            wgsl: |_| vec![include_str!("../../shaders/attention_tiles_32.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 64), w[3], w[1]],
        },
        Variant {
            name: "attention_tiles_64",
            family: Family::Tiles,
            fits: |site, limits| site.param("head_size") == Some(64) && limits.workgroup_bytes >= 8192,
            wgsl: |_| vec![include_str!("../../shaders/attention_tiles_64.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[2], 64), w[3], w[1]],
        },
        Variant {
            name: "attention_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/attention_plain.wgsl")],
            overrides,
            grid: |w| [groups(w[2], 8), w[3], w[1]],
        },
    ],
    // The batch's lengths are not parameters: as if all sequences were of the mean length.
    flops: |w| 4.0 * f64::from(w[0]) * f64::from(w[0]) / f64::from(w[1].max(1)) * f64::from(w[3] * w[4]),
};

/// Records multi-head self-attention over packed sequences.
pub fn attention(g: &mut Graph, name: &str, qkv: Tensor, bounds: Tensor, heads: u32) -> Tensor {
    let hidden = qkv.cols / 3;
    let head_size = hidden / heads;
    let ctx = g.temp(name, qkv.rows, hidden);
    let params = vec![
        Word::Rows(Rows::Tokens),
        Word::Rows(Rows::Sequences),
        Word::Longest,
        Word::U32(heads),
        Word::U32(head_size),
        Word::F32(1.0 / (head_size as f32).sqrt()),
    ];
    g.call(&OP, &[qkv, bounds], &[ctx], params);
    ctx
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, _, _, heads, head_size, scale] = *call.params else { unreachable!("six parameters") };
    let (heads, head_size, scale) = (heads as usize, head_size as usize, f32::from_bits(scale));
    let bounds: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    kernel::attention(call.dispatch, call.writes[0], call.reads[0].plain(), bounds, heads, head_size, scale);
}

fn overrides(site: &Site<'_>) -> Vec<(&'static str, f64)> {
    vec![("HEAD_SIZE", f64::from(site.param("head_size").unwrap_or(0)))]
}
