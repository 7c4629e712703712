//! `y = act(x)` as an op of its own. Inference fuses it into the matmul before it; training needs x for the gradient.
//!
//! x and y are `[R, C]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, train::activation as kernel};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, cols: u32, activation: Activation }

/// The op `activate`: reads x `[R, C]`, writes y `[R, C]`.
pub static OP: Op = Op {
    name: "activate",
    params: Params::STRUCT,
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "activate",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |call| [super::activation::pieces(Params::recorded(call).activation), &[include_str!("../../shaders/activate.wgsl")]].concat(),
        overrides: |_| Vec::new(),
        grid: resolved!(|p| spread(p.rows * p.cols, 256)),
    }],
    flops: resolved!(|p| 16.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `y = act(x)` and returns y, a new tensor of x's shape.
pub fn activate(g: &mut Graph, name: &str, x: Tensor, activation: Activation) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x], &[y], Params { rows: x.rows, cols: x.cols, activation });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { activation, .. } = Params::resolved(call.params);
    kernel::apply(call.dispatch, call.writes[0], call.reads[0].plain(), activation);
}
