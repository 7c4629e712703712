//! `y = m x / (1 - p) + residual`, where m is 0 with probability p, else 1.
//!
//! x, residual and y are `[R, C]`. The first word of control `[1, 4]` is the step's key. m is a hash of the key, the
//! place in the model, the row and the column. So nothing is stored, and the gradient is the same op.

use crate::device::cpu::{CpuCall, train};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32, site: u32, threshold: u32, scale: f32 }

/// The op `dropout`: reads x `[R, C]`, control `[1, 4]` and, if there is one, residual `[R, C]`; writes y `[R, C]`.
pub static OP: Op = Op {
    name: "dropout",
    params: Params::STRUCT,
    reads: &["x", "control", "residual"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "dropout",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |context| {
            let residual = match context.call.reads.len() {
                3 => include_str!("../../shaders/lib/dropout_residual.wgsl"),
                _ => include_str!("../../shaders/lib/dropout_alone.wgsl"),
            };
            vec![include_str!("../../shaders/lib/dropout.wgsl"), residual, include_str!("../../shaders/dropout.wgsl")]
        },
        overrides: |_| Vec::new(),
        grid: resolved!(|p| [groups(p.cols, 64), groups(p.rows, 16), 1]),
    }],
    flops: resolved!(|p| 8.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// The place of a dropout and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The tensor `[1, 4]` whose first word is the step's key.
    pub control: Tensor,
    /// The number of the place in the model. Every dropout has its own.
    pub site: u32,
    /// The probability that an element becomes 0; below 1.
    pub p: f32,
}

impl Dropout {
    /// Elements whose hash is below this are dropped.
    pub(super) fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    /// The factor of the elements that are kept.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }
}

/// Records the dropout of x `[R, C]`, plus `residual` if there is one, and returns y `[R, C]`.
pub fn dropout(g: &mut Graph, name: &str, x: Tensor, dropout: Dropout, residual: Option<Tensor>) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    let mut reads = vec![x, dropout.control];
    reads.extend(residual);
    let Dropout { site, .. } = dropout;
    let params = Params { rows: x.rows, cols: x.cols, site, threshold: dropout.threshold(), scale: dropout.scale() };
    g.call(&OP, &reads, &[y], params);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, site, threshold, scale, .. } = Params::resolved(call.params);
    let control: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    let key = crate::hash::site_key(control[0], site);
    let residual = call.reads.get(2).map(|r| r.plain());
    let choice = (key, threshold, scale);
    train::rows::dropout(call.dispatch, call.writes[0], call.reads[0].plain(), residual, cols as usize, choice);
}
