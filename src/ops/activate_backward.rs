//! `d_x = d_y act'(x)`, x being what the function was applied to.
//!
//! x, d_y and d_x `[R, C]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, train::activation as kernel};
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::{activate::of, spread};

pub static OP: Op = Op {
    name: "activate_backward",
    params: &["rows", "cols", "activation"],
    reads: &["x", "d_y"],
    writes: &["d_x"],
    twin,
    variants: &[Variant {
        name: "activate_backward",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |site| {
            [super::activation::slopes(of(site)), &[include_str!("../../shaders/activate_backward.wgsl")]].concat()
        },
        overrides: |_| Vec::new(),
        grid: |w| spread(w[0] * w[1], 256),
    }],
    flops: |w| 20.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the gradient of `activation` at `x`.
pub fn activate_backward(g: &mut Graph, x: Tensor, d_y: Tensor, activation: Activation) -> Tensor {
    let d_x = g.temp("d_activate", x.rows, x.cols);
    g.call(&OP, &[x, d_y], &[d_x], vec![Word::Rows(x.rows), Word::U32(x.cols), Word::U32(activation.id())]);
    d_x
}

fn twin(call: &mut CpuCall<'_>) {
    let [.., activation] = *call.params else { unreachable!("three parameters") };
    let activation = Activation::ALL[activation as usize];
    let [x, d_y] = [0, 1].map(|i| call.reads[i].plain());
    kernel::backward(call.dispatch, call.writes[0], x, d_y, activation);
}
