//! Memory layout: tensors that are never needed at the same time share a buffer.

use super::call::{CallList, MAX_STORAGE_BINDINGS, Role, TensorId};
use super::sizes::BatchSizes;

/// The buffers of a planned list.
#[derive(Debug)]
pub(crate) struct Slots {
    /// The slot of each tensor; `None` for weights and persistent tensors.
    pub of: Vec<Option<usize>>,
    /// The elements of each slot at capacity.
    pub len: Vec<usize>,
}

impl Slots {
    /// Gives each input a slot of its own, and lets temporaries share the other slots. Outputs keep theirs to the end.
    /// A temporary takes the smallest free slot that is large enough, else it enlarges the largest free one.
    ///
    /// # Panics
    /// If the list breaks a rule of WebGPU that every device keeps. A call must not write what it reads, except in
    /// place; it must not read what was never written; and it must not have more storage bindings than a shader stage
    /// allows.
    pub fn assign(list: &CallList, capacity: BatchSizes) -> Self {
        let count = list.tensors.len();
        let mut last_use = vec![0; count];
        let mut written = vec![false; count];
        for (at, call) in list.calls.iter().enumerate() {
            let bindings = call.read_bindings().count() + call.writes.len();
            assert!(bindings <= MAX_STORAGE_BINDINGS && call.reads.len() <= MAX_STORAGE_BINDINGS, "{}", call.op.name);
            for v in call.reads.iter().chain(&call.writes) {
                last_use[v.tensor.0 as usize] = at;
            }
            for v in &call.reads {
                let id = v.tensor;
                let temp = matches!(list.info(id).role, Role::Temp);
                assert!(!temp || written[id.0 as usize], "{} reads {} unwritten", call.op.name, list.info(id).name);
                assert!(
                    call.writes.iter().all(|w| w.tensor != id || w == v),
                    "{} reads and writes {}, other than in place",
                    call.op.name,
                    list.info(id).name
                );
            }
            for (at, v) in call.writes.iter().enumerate() {
                let info = list.info(v.tensor);
                assert!(matches!(info.role, Role::Temp | Role::Persistent(_)), "{} writes a constant", call.op.name);
                let twice = call.writes[..at].iter().any(|w| w.tensor == v.tensor);
                assert!(!twice, "{} writes a tensor twice", call.op.name);
                written[v.tensor.0 as usize] = true;
            }
        }
        for id in &list.outputs {
            last_use[id.0 as usize] = usize::MAX;
        }

        let mut slots = Slots { of: vec![None; count], len: Vec::new() };
        for (id, info) in list.tensors.iter().enumerate() {
            if matches!(info.role, Role::Input) {
                slots.push(TensorId(id as u32), info.len(capacity));
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for (at, call) in list.calls.iter().enumerate() {
            for v in &call.writes {
                let temp = matches!(list.info(v.tensor).role, Role::Temp);
                if temp && slots.of[v.tensor.0 as usize].is_none() {
                    let need = list.info(v.tensor).len(capacity);
                    slots.take(&mut free, v.tensor, need);
                }
            }
            for v in call.reads.iter().chain(&call.writes) {
                let id = v.tensor.0 as usize;
                let temp = matches!(list.tensors[id].role, Role::Temp);
                if let (true, Some(slot)) = (temp && last_use[id] == at, slots.of[id])
                    && !free.contains(&slot)
                {
                    free.push(slot);
                }
            }
        }
        slots
    }

    fn push(&mut self, id: TensorId, len: usize) {
        self.of[id.0 as usize] = Some(self.len.len());
        self.len.push(len);
    }

    fn take(&mut self, free: &mut Vec<usize>, id: TensorId, need: usize) {
        let fits = free.iter().copied().filter(|&s| self.len[s] >= need).min_by_key(|&s| self.len[s]);
        match fits.or_else(|| free.iter().copied().max_by_key(|&s| self.len[s])) {
            Some(slot) => {
                free.retain(|&s| s != slot);
                self.len[slot] = self.len[slot].max(need);
                self.of[id.0 as usize] = Some(slot);
            }
            None => self.push(id, need),
        }
    }

    /// The bytes of all slots.
    pub fn bytes(&self) -> u64 {
        self.len.iter().map(|&n| n as u64 * 4).sum()
    }
}
