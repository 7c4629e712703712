//! Records a computation: tensors by name and shape, and the list of ops. It computes nothing.

use crate::device::{Call, CallList, Op, OpParams, ParamValue, Role, Rows, TensorId, TensorInfo, View, Weight};

/// A recorded tensor `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub id: TensorId,
    pub rows: Rows,
    pub cols: u32,
}

impl Tensor {
    /// All of it.
    pub fn view(self) -> View {
        View { tensor: self.id, first: 0, rows: self.rows, cols: self.cols }
    }
}

/// The list being recorded.
#[derive(Debug, Default)]
pub struct Graph {
    list: CallList,
}

impl Graph {
    pub fn new() -> Self {
        Self::default()
    }

    fn tensor(&mut self, name: String, role: Role, rows: Rows, cols: u32) -> Tensor {
        let id = TensorId(self.list.tensors.len() as u32);
        self.list.tensors.push(TensorInfo { name, role, rows, cols });
        Tensor { id, rows, cols }
    }

    /// A tensor that the host writes before each run; its elements have four bytes, f32 or u32 as who reads it says.
    pub fn input(&mut self, name: &str, rows: Rows, cols: u32) -> Tensor {
        self.tensor(name.into(), Role::Input, rows, cols)
    }

    /// An uploaded parameter.
    pub fn weight(&mut self, weight: &Weight) -> Tensor {
        let (rows, cols) = (Rows::Fixed(weight.rows() as u32), weight.cols() as u32);
        self.tensor(weight.name().into(), Role::Weight(weight.clone()), rows, cols)
    }

    /// A tensor that outlives runs; the same one however often it is asked for.
    #[cfg(feature = "train")]
    pub fn state(&mut self, state: &crate::device::PersistentTensor) -> Tensor {
        let (rows, cols) = (Rows::Fixed(state.rows() as u32), state.cols() as u32);
        let same = |info: &TensorInfo| matches!(&info.role, Role::Persistent(s) if s.is(state));
        match self.list.tensors.iter().position(same) {
            Some(at) => Tensor { id: TensorId(at as u32), rows, cols },
            None => self.tensor(state.name().into(), Role::Persistent(state.clone()), rows, cols),
        }
    }

    /// An op's result.
    pub(crate) fn temp(&mut self, name: &str, rows: Rows, cols: u32) -> Tensor {
        self.tensor(name.into(), Role::Temp, rows, cols)
    }

    /// Appends a call with the parameters that the op declares.
    pub(crate) fn call<P: OpParams>(&mut self, op: &'static Op, reads: &[Tensor], writes: &[Tensor], params: P) {
        assert_eq!(op.params.wgsl, P::STRUCT.wgsl, "{}: parameters", op.name);
        self.push(op, reads, writes, params.record());
    }

    fn push(&mut self, op: &'static Op, reads: &[Tensor], writes: &[Tensor], params: Vec<ParamValue>) {
        assert!(reads.len() <= op.reads.len() && writes.len() == op.writes.len(), "{}: bindings", op.name);
        let views = |tensors: &[Tensor]| tensors.iter().map(|t| t.view()).collect();
        self.list.calls.push(Call { op, reads: views(reads), writes: views(writes), params });
    }

    /// The finished list, with what is read back after a run.
    pub fn finish(mut self, outputs: &[Tensor]) -> CallList {
        self.list.outputs = outputs.iter().map(|t| t.id).collect();
        self.list
    }
}
