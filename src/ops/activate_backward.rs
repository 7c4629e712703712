//! `d_x = d_y act'(x)`, where x is the input of the activation.
//!
//! x, d_y and d_x are `[R, C]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, train::activation as kernel};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, cols: u32, activation: Activation }

/// The op `activate_backward`: reads x and d_y `[R, C]`, writes d_x `[R, C]`.
pub static OP: Op = Op {
    name: "activate_backward",
    params: Params::STRUCT,
    reads: &["x", "d_y"],
    writes: &["d_x"],
    twin,
    variants: &[Variant {
        name: "activate_backward",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |call| {
            let slope = super::activation::slopes(Params::recorded(call).activation);
            [slope, &[include_str!("../../shaders/activate_backward.wgsl")]].concat()
        },
        overrides: |_| Vec::new(),
        grid: resolved!(|p| spread(p.rows * p.cols, 256)),
    }],
    flops: resolved!(|p| 20.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the gradient of `activation` at `x` and returns d_x `[R, C]`.
pub fn activate_backward(g: &mut Graph, x: Tensor, d_y: Tensor, activation: Activation) -> Tensor {
    let d_x = g.temp("d_activate", x.rows, x.cols);
    g.call(&OP, &[x, d_y], &[d_x], Params { rows: x.rows, cols: x.cols, activation });
    d_x
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { activation, .. } = Params::resolved(call.params);
    let [x, d_y] = [0, 1].map(|i| call.reads[i].plain());
    kernel::backward(call.dispatch, call.writes[0], x, d_y, activation);
}
