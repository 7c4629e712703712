//! The tape: what was recorded forward, op by op with what each needs to go back, and the gradients recorded from it.
//!
//! A node records its forward calls and leaves a closure that, given the gradient of its result, records the calls of the
//! gradients by its inputs, onto the same list. Only tensors that something trained depends on get gradients.

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

    /// The list, for inputs and calls that have no gradient.
    pub fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The finished recording.
    pub fn into_graph(self) -> Graph {
        self.graph
    }

    /// Asks for the gradient of an input.
    pub fn want(&mut self, x: Tensor) {
        self.wanted.insert(x.id);
    }

    /// Whether something trained depends on `x`'s gradient.
    pub fn wants(&self, x: Tensor) -> bool {
        self.wanted.contains(&x.id)
    }

    /// The gradient of `x` as far as it is recorded.
    pub fn gradient(&self, x: Tensor) -> Option<Tensor> {
        self.gradients.get(&x.id).copied()
    }

    /// Adds `d_x` to the gradient of `x`. The first one is taken as it is, and later ones are added to it in place: who
    /// gives it reads it no more.
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

    /// Records that `pull` turns the gradient of `y` into those of what it was computed from.
    pub(in crate::train) fn node(&mut self, y: Tensor, pull: impl FnOnce(&mut Tape, Tensor) + 'static) {
        self.wanted.insert(y.id);
        self.nodes.push((y, Box::new(pull)));
    }

    /// Records `y = segment(x)` so that nothing within is kept for going back: the segment is recorded again then, from x,
    /// and its gradients right after. It must record the same each time, and depend on what it computes by `x` alone.
    ///
    /// The gradients have the same bits as without: dropout is a function of its place.
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

    /// Records all gradients, from the last node to the first. What the loss gave has been [given](Self::give).
    pub fn backward(&mut self) {
        self.backward_to(0);
    }

    /// Records the gradients of all nodes but the first `begin`.
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
