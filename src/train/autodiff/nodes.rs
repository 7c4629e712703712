//! The building blocks of BERT as nodes of the tape. Each records its forward ops and a closure for its gradients.

use crate::activation::Activation;
use crate::device::{PersistentTensor, Weight};
use crate::graph::Tensor;
use crate::ops::activate::activate;
use crate::ops::activate_backward::activate_backward;
use crate::ops::attention_backward::{Saved, attention_backward};
use crate::ops::attention_train::attention_train;
use crate::ops::column_partials::column_sum;
use crate::ops::dropout::{Dropout, dropout};
use crate::ops::embed::embed;
use crate::ops::gather::gather;
use crate::ops::layer_norm::layer_norm;
use crate::ops::layer_norm_backward::layer_norm_backward;
use crate::ops::layer_norm_partials::layer_norm_params;
use crate::ops::matmul::{matmul, matmul_by};
use crate::ops::matmul_backward::{matmul_dw, matmul_dx, matmul_dx_by};
use crate::ops::pack::pack_rows;
use crate::ops::pool::pool;
use crate::ops::scale_columns::scale_columns;
use crate::ops::scatter::scatter;
use crate::ops::zero::zero;
use crate::pooling::Pooling;
use crate::train::autodiff::tape::Tape;

/// A trained parameter on a device: its value and its gradient, of one shape.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The value.
    pub value: PersistentTensor,
    /// Its gradient, accumulated since the last step.
    pub gradient: PersistentTensor,
}

/// A parameter on a device.
#[derive(Clone, Debug)]
pub enum Param {
    /// A parameter that training changes.
    Trained(Trained),
    /// A parameter that training does not change. `backward` exists for a matrix if the gradient of its input is
    /// needed.
    Frozen {
        /// The value.
        value: Weight,
        /// The matrix for the backward pass, if the gradient of its input is needed.
        backward: Option<Backward>,
    },
}

/// A frozen matrix in the form that the gradient of its input needs.
#[derive(Clone, Debug)]
pub struct Backward {
    /// Wᵀ, in the type in which W is stored.
    pub transposed: Weight,
    /// The scales of W's rows, if W is in i8.
    pub scales: Option<Weight>,
}

impl Param {
    fn tensor(&self, tape: &mut Tape) -> Tensor {
        match self {
            Param::Trained(Trained { value, .. }) => tape.graph.state(value),
            Param::Frozen { value, .. } => tape.graph.weight(value),
        }
    }

    fn gradient(&self) -> Option<PersistentTensor> {
        match self {
            Param::Trained(Trained { gradient, .. }) => Some(gradient.clone()),
            Param::Frozen { .. } => None,
        }
    }

    fn is_trained(&self) -> bool {
        matches!(self, Param::Trained(_))
    }

    /// Records `dX = dY W`, added to the gradient that dX already has.
    fn pull(&self, tape: &mut Tape, name: &str, d_y: Tensor, x: Tensor) {
        let onto = tape.gradient(x);
        let d_x = match self {
            Param::Trained(Trained { value, .. }) => {
                let w = tape.graph.state(value);
                matmul_dx(&mut tape.graph, name, d_y, w, onto)
            }
            Param::Frozen { backward, .. } => {
                let Some(Backward { transposed, scales }) = backward else {
                    unreachable!("{name}: a gradient goes through a matrix that was not loaded for it")
                };
                let d_y = match scales.as_ref().map(|scales| tape.graph.weight(scales)) {
                    Some(scales) => scale_columns(&mut tape.graph, d_y, scales),
                    None => d_y,
                };
                let transposed = tape.graph.weight(transposed);
                matmul_dx_by(&mut tape.graph, name, d_y, transposed, onto)
            }
        };
        tape.give(x, d_x);
    }
}

/// Rows sorted by the target of their gradients, as inputs: the result of [`sorted`](crate::ops::scatter::sorted).
#[derive(Clone, Copy, Debug)]
pub struct Sorted {
    /// The order of the rows, `[R]`.
    pub order: Tensor,
    /// The segments of that order, `[R, 3]`.
    pub segments: Tensor,
}

impl Tape {
    fn state(&mut self, state: &PersistentTensor) -> Tensor {
        self.graph.state(state)
    }

    /// `y = x Wᵀ + b + residual`, with W `[N, K]`, b `[N]`, x `[R, K]`, residual and y `[R, N]`.
    pub fn linear(&mut self, name: &str, x: Tensor, [weight, bias]: [&Param; 2], residual: Option<Tensor>) -> Tensor {
        let (w, b) = (weight.tensor(self), bias.tensor(self));
        let linear = Activation::Linear;
        let y = match weight {
            Param::Trained(_) => {
                let packed = pack_rows(&mut self.graph, w);
                matmul_by(&mut self.graph, name, x, packed.tensor, packed.n, b, linear, residual)
            }
            Param::Frozen { .. } => matmul(&mut self.graph, name, x, w, b, linear, residual),
        };
        let below = self.wants(x) || residual.is_some_and(|r| self.wants(r));
        if below || weight.is_trained() || bias.is_trained() {
            let (weight, d_bias) = (weight.clone(), bias.gradient());
            let name = format!("d_{name}");
            self.node(y, move |tape, d_y| {
                if let Some(d_w) = weight.gradient().map(|state| tape.state(&state)) {
                    matmul_dw(&mut tape.graph, d_y, x, d_w);
                }
                if let Some(d_b) = d_bias.map(|state| tape.state(&state)) {
                    column_sum(&mut tape.graph, d_y, d_b);
                }
                if tape.wants(x) {
                    weight.pull(tape, &name, d_y, x);
                }
                if let Some(residual) = residual {
                    tape.give(residual, d_y);
                }
            });
        }
        y
    }

    /// `y = act(x)`, both `[R, C]`.
    pub fn activate(&mut self, name: &str, x: Tensor, activation: Activation) -> Tensor {
        let y = activate(&mut self.graph, name, x, activation);
        if self.wants(x) {
            self.node(y, move |tape, d_y| {
                let d_x = activate_backward(&mut tape.graph, x, d_y, activation);
                tape.give(x, d_x);
            });
        }
        y
    }

    /// LayerNorm of each row of x `[R, C]`.
    pub fn layer_norm(&mut self, name: &str, x: Tensor, [gamma, beta]: [&Param; 2], eps: f32) -> Tensor {
        let (g, b) = (gamma.tensor(self), beta.tensor(self));
        let y = layer_norm(&mut self.graph, name, x, g, b, eps);
        if self.wants(x) || gamma.is_trained() || beta.is_trained() {
            let (gamma, beta) = (gamma.gradient(), beta.gradient());
            self.node(y, move |tape, d_y| {
                let (d_x, stats) = layer_norm_backward(&mut tape.graph, x, g, d_y, eps);
                if gamma.is_some() || beta.is_some() {
                    let [gamma, beta] = [gamma, beta].map(|state| state.map(|state| tape.state(&state)));
                    layer_norm_params(&mut tape.graph, x, d_y, stats, gamma, beta);
                }
                tape.give(x, d_x);
            });
        }
        y
    }

    /// Multi-head self-attention with dropout of the probabilities: from qkv `[T, 3H]` to `[T, H]`.
    pub fn attention(&mut self, name: &str, qkv: Tensor, bounds: Tensor, heads: u32, dropout: Dropout) -> Tensor {
        let (ctx, lse) = attention_train(&mut self.graph, name, qkv, bounds, heads, &dropout);
        if self.wants(qkv) {
            self.node(ctx, move |tape, d_ctx| {
                let saved = Saved { qkv, bounds, ctx, lse };
                let d_qkv = attention_backward(&mut tape.graph, saved, d_ctx, heads, &dropout);
                tape.give(qkv, d_qkv);
            });
        }
        ctx
    }

    /// `y = dropout(x) + residual`, all `[R, C]`.
    pub fn dropout(&mut self, name: &str, x: Tensor, site: Dropout, residual: Option<Tensor>) -> Tensor {
        let y = dropout(&mut self.graph, name, x, site, residual);
        if self.wants(x) || residual.is_some_and(|r| self.wants(r)) {
            self.node(y, move |tape, d_y| {
                if tape.wants(x) {
                    let d_x = dropout(&mut tape.graph, "d_dropout", d_y, site, None);
                    tape.give(x, d_x);
                }
                if let Some(residual) = residual {
                    tape.give(residual, d_y);
                }
            });
        }
        y
    }

    /// The rows of `x` that `index` names; `sorted` belongs to the index.
    pub fn gather(&mut self, name: &str, x: Tensor, index: Tensor, sorted: Sorted) -> Tensor {
        let y = gather(&mut self.graph, name, x, index);
        self.scattered(y, x, sorted);
        y
    }

    /// The row of each sequence's first token, `[B, C]`; `sorted` belongs to these tokens.
    pub fn first(&mut self, name: &str, x: Tensor, bounds: Tensor, sorted: Sorted) -> Tensor {
        let y = pool(&mut self.graph, name, x, bounds, &[Pooling::Cls], None);
        self.scattered(y, x, sorted);
        y
    }

    /// Records that y consists of rows of x, to which its gradient goes back.
    fn scattered(&mut self, y: Tensor, x: Tensor, sorted: Sorted) {
        if self.wants(x) {
            self.node(y, move |tape, d_y| {
                let d_x = match tape.gradient(x) {
                    Some(sum) => sum,
                    None => zero(&mut tape.graph, "d_rows", x.rows, x.cols),
                };
                scatter(&mut tape.graph, d_y, sorted.order, sorted.segments, d_x);
                tape.give(x, d_x);
            });
        }
    }

    /// The sum of word, type and position embeddings, `[T, H]`, from tables that may be trained. `sorted` belongs to
    /// the ids of each table.
    pub fn embed(&mut self, name: &str, tables: [&Param; 3], ids: Tensor, sorted: [Sorted; 3]) -> Tensor {
        let values = tables.map(|table| table.tensor(self));
        let y = embed(&mut self.graph, name, values, ids);
        let gradients = tables.map(Param::gradient);
        if gradients.iter().any(Option::is_some) {
            self.node(y, move |tape, d_y| {
                for (gradient, sorted) in gradients.into_iter().zip(sorted) {
                    if let Some(d_table) = gradient.map(|state| tape.state(&state)) {
                        scatter(&mut tape.graph, d_y, sorted.order, sorted.segments, d_table);
                    }
                }
            });
        }
        y
    }
}
