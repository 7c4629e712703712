//! `y = act(x)`, apart from the matmul before it: training keeps x, of which the gradient is a function.
//!
//! x and y `[R, C]`.

use crate::activation::Activation;
use crate::device::cpu::{CpuCall, train::activation as kernel};
use crate::device::{Family, Op, Site, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

pub static OP: Op = Op {
    name: "activate",
    params: &["rows", "cols", "activation"],
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "activate",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |site| [super::activation::pieces(of(site)), &[include_str!("../../shaders/activate.wgsl")]].concat(),
        overrides: |_| Vec::new(),
        grid: |w| spread(w[0] * w[1], 256),
    }],
    flops: |w| 16.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// The function that a call is of.
pub(super) fn of(site: &Site<'_>) -> Activation {
    site.param("activation").map_or(Activation::Linear, |id| Activation::ALL[id as usize])
}

/// Records the function of every element.
pub fn activate(g: &mut Graph, name: &str, x: Tensor, activation: Activation) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols), Word::U32(activation.id())]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [.., activation] = *call.params else { unreachable!("three parameters") };
    let activation = Activation::ALL[activation as usize];
    kernel::apply(call.dispatch, call.writes[0], call.reads[0].plain(), activation);
}
