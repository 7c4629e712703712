//! The tape: it records the forward ops, each with what its gradient needs, and then the gradients.
//!
//! A node records its forward calls and a closure. From the gradient of the node's result, the closure records the
//! calls for the gradients of its inputs, into the same list. A tensor gets a gradient only if something trained needs
//! it.

use std::collections::{HashMap, HashSet};

use crate::device::TensorId;
use crate::graph::{Graph, Tensor};
use crate::ops::add::add;

type Pull = Box<dyn FnOnce(&mut Tape, Tensor)>;

/// A list that is recorded forward, then backward.
#[derive(Default)]
pub struct Tape {
    pub(in crate::train) graph: Graph,
    nodes: Vec<(Tensor, Pull)>,
    wanted: HashSet<TensorId>,
    gradients: HashMap<TensorId, Tensor>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("nodes", &self.nodes.len()).field("wanted", &self.wanted.len()).finish()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// The list, for inputs and for calls without a gradient.
    pub fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The finished recording.
    pub fn into_graph(self) -> Graph {
        self.graph
    }

    /// Requests the gradient of an input.
    pub fn want(&mut self, x: Tensor) {
        self.wanted.insert(x.id);
    }

    /// Whether something trained needs the gradient of `x`.
    pub fn wants(&self, x: Tensor) -> bool {
        self.wanted.contains(&x.id)
    }

    /// The gradient of `x` that is recorded so far.
    pub fn gradient(&self, x: Tensor) -> Option<Tensor> {
        self.gradients.get(&x.id).copied()
    }

    /// Adds `d_x` to the gradient of `x`. The first one is used as it is, and later ones are added to it in place. So
    /// the caller must not read `d_x` any more.
    pub fn give(&mut self, x: Tensor, d_x: Tensor) {
        if !self.wants(x) {
            return;
        }
        match self.gradient(x) {
            Some(sum) if sum == d_x => {}
            Some(sum) => add(&mut self.graph, d_x, sum),
            None => {
                self.gradients.insert(x.id, d_x);
            }
        }
    }

    /// Adds a node: from the gradient of `y`, `pull` records those of the inputs.
    pub(in crate::train) fn node(&mut self, y: Tensor, pull: impl FnOnce(&mut Tape, Tensor) + 'static) {
        self.wanted.insert(y.id);
        self.nodes.push((y, Box::new(pull)));
    }

    /// Records `y = segment(x)` without keeping what is inside. For the gradients, the segment is recorded again from
    /// x. Each time it must record the same ops, and nothing but x may enter the computation.
    ///
    /// The gradients have the same bits as without this, because dropout is a function of its place.
    pub fn checkpoint(&mut self, x: Tensor, segment: impl Fn(&mut Tape, Tensor) -> Tensor + 'static) -> Tensor {
        let begin = self.nodes.len();
        let y = segment(self, x);
        self.nodes.truncate(begin);
        if self.wants(y) && y != x {
            self.node(y, move |tape, d_y| {
                let begin = tape.nodes.len();
                let again = segment(tape, x);
                tape.give(again, d_y);
                tape.backward_to(begin);
            });
        }
        y
    }

    /// Records all gradients, from the last node to the first. The gradients from the loss must have been
    /// [given](Self::give).
    pub fn backward(&mut self) {
        self.backward_to(0);
    }

    /// Records the gradients of all nodes except the first `begin`.
    fn backward_to(&mut self, begin: usize) {
        while self.nodes.len() > begin {
            if let Some((y, pull)) = self.nodes.pop()
                && let Some(d_y) = self.gradient(y)
            {
                pull(self, d_y);
            }
        }
    }
}
