//! `delta = Σ d_ctx ctx` over each head's columns. The gradient of the softmax subtracts it from each of a query's
//! terms.
//!
//! ctx and d_ctx are `[T, H]`, delta is `[T, N]`.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, heads: u32, head_size: u32 }

/// The op `attention_delta`: reads ctx and d_ctx `[T, H]`, writes delta `[T, N]`.
pub static OP: Op = Op {
    name: "attention_delta",
    params: Params::STRUCT,
    reads: &["ctx", "d_ctx"],
    writes: &["delta"],
    twin,
    variants: only!("attention_delta", "../../shaders/attention_delta.wgsl", resolved!(|p| spread(p.rows * p.heads, 64))),
    flops: resolved!(|p| 2.0 * f64::from(p.rows) * f64::from(p.heads * p.head_size)),
};

/// Records the sums and returns delta `[T, N]`. ctx and d_ctx are `[T, H]`; `heads` is N.
pub fn attention_delta(g: &mut Graph, ctx: Tensor, d_ctx: Tensor, heads: u32) -> Tensor {
    let delta = g.temp("delta", ctx.rows, heads);
    let params = Params { rows: ctx.rows, heads, head_size: ctx.cols / heads };
    g.call(&OP, &[ctx, d_ctx], &[delta], params);
    delta
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, heads, head_size: size } = Params::resolved(call.params);
    let size = size as usize;
    let [ctx, d_ctx] = [0, 1].map(|i| call.reads[i].plain());
    parallel::for_rows(call.dispatch, (rows * heads) as usize, [(&mut *call.writes[0], 1)], |range, [delta], _| {
        let pairs = ctx[range.start * size..].chunks_exact(size).zip(d_ctx[range.start * size..].chunks_exact(size));
        for (delta, (c, d)) in delta.iter_mut().zip(pairs) {
            *delta = c.iter().zip(d).map(|(c, d)| c * d).sum();
        }
    });
}
