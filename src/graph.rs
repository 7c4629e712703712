//! Records a computation: the names and shapes of tensors, and the list of ops. It computes nothing.

use crate::device::{Call, CallList, Op, OpParams, ParamValue, Role, Rows, TensorId, TensorInfo, View, Weight};

/// A recorded tensor `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its number in the list.
    pub id: TensorId,
    /// R, fixed or following the batch.
    pub rows: Rows,
    /// C, fixed.
    pub cols: u32,
}

impl Tensor {
    /// The view of the whole tensor.
    pub fn view(self) -> View {
        View { tensor: self.id, first: 0, rows: self.rows, cols: self.cols }
    }
}

/// A list of calls while it is recorded.
#[derive(Debug, Default)]
pub struct Graph {
    list: CallList,
}

impl Graph {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    fn tensor(&mut self, name: String, role: Role, rows: Rows, cols: u32) -> Tensor {
        let id = TensorId(self.list.tensors.len() as u32);
        self.list.tensors.push(TensorInfo { name, role, rows, cols });
        Tensor { id, rows, cols }
    }

    /// Adds a tensor `[rows, cols]` that the host writes before each run. Its elements have four bytes; the op that
    /// reads it decides whether they are f32 or u32.
    pub fn input(&mut self, name: &str, rows: Rows, cols: u32) -> Tensor {
        self.tensor(name.into(), Role::Input, rows, cols)
    }

    /// Adds an uploaded parameter, `[N, K]`; a vector is `[1, C]`.
    pub fn weight(&mut self, weight: &Weight) -> Tensor {
        let (rows, cols) = (Rows::Fixed(weight.rows() as u32), weight.cols() as u32);
        self.tensor(weight.name().into(), Role::Weight(weight.clone()), rows, cols)
    }

    /// Adds a tensor that outlives runs, `[rows, cols]`. Asking again for the same state returns the same tensor.
    #[cfg(feature = "train")]
    pub fn state(&mut self, state: &crate::device::PersistentTensor) -> Tensor {
        let (rows, cols) = (Rows::Fixed(state.rows() as u32), state.cols() as u32);
        let same = |info: &TensorInfo| matches!(&info.role, Role::Persistent(s) if s.is(state));
        match self.list.tensors.iter().position(same) {
            Some(at) => Tensor { id: TensorId(at as u32), rows, cols },
            None => self.tensor(state.name().into(), Role::Persistent(state.clone()), rows, cols),
        }
    }

    /// Adds the result of an op, `[rows, cols]`.
    pub(crate) fn temp(&mut self, name: &str, rows: Rows, cols: u32) -> Tensor {
        self.tensor(name.into(), Role::Temp, rows, cols)
    }

    /// Appends a call, with the parameters that the op declares.
    pub(crate) fn call<P: OpParams>(&mut self, op: &'static Op, reads: &[Tensor], writes: &[Tensor], params: P) {
        assert_eq!(op.params.wgsl, P::STRUCT.wgsl, "{}: parameters", op.name);
        self.push(op, reads, writes, params.record());
    }

    fn push(&mut self, op: &'static Op, reads: &[Tensor], writes: &[Tensor], params: Vec<ParamValue>) {
        assert!(reads.len() <= op.reads.len() && writes.len() == op.writes.len(), "{}: bindings", op.name);
        let views = |tensors: &[Tensor]| tensors.iter().map(|t| t.view()).collect();
        self.list.calls.push(Call { op, reads: views(reads), writes: views(writes), params });
    }

    /// Finishes the list. After each run, the `outputs` are read back in this order.
    pub fn finish(mut self, outputs: &[Tensor]) -> CallList {
        self.list.outputs = outputs.iter().map(|t| t.id).collect();
        self.list
    }
}
