//! The CPU as a device: threads, weight panels and our own microkernels. The CPU code of each op calls the kernels
//! here.
//!
//! Invariant: a row's result depends only on that row and the weights. It has the same bits alone and in any batch, for
//! every number of threads, and with AVX2, AVX-512 and NEON, because no order of summation depends on the number of
//! rows, tasks or workers.

pub mod attention;
pub mod gemm;
pub(crate) mod math;
pub mod micro;
pub mod operands;
mod pace;
pub mod pack;
#[cfg(feature = "train")]
pub mod parallel;
pub mod pool;
pub mod rows;
#[cfg(test)]
mod tests;
#[cfg(feature = "train")]
pub mod train;

pub use operands::{CpuCall, Operand};
pub use pace::{Dispatch, Pause};
pub use pack::Panels;
pub(crate) use pool::Floats;
pub use pool::Pool;

use std::time::Duration;

use super::call::{CallList, MAX_STORAGE_BINDINGS, Role, View};
use super::memory::available;
use super::plan::Slots;
use super::sizes::BatchSizes;
use super::weight::{Layout, Stored, Weight};
use super::{Cancel, Input, Tally};
use crate::error::{Error, Result};
use crate::tensor::{DType, HostTensor, uploaded_dtype};
use pace::Pace;

/// The CPU device.
pub struct Cpu {
    pool: Pool,
    /// Missing if the calling thread may block, because it has nothing else to do.
    pace: Option<Pace>,
    pub(super) tally: Tally,
}

/// A list planned for the CPU, with the memory of its activations.
#[derive(Debug)]
pub struct CpuPlan {
    pub(super) capacity: BatchSizes,
    list: CallList,
    slots: Slots,
    buffers: Vec<Floats>,
    bits: Vec<u32>,
}

impl CpuPlan {
    pub(super) fn calls(&self) -> usize {
        self.list.calls.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.slots.bytes()
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Cpu {
    /// A CPU device with this number of threads; 0 takes one for each core.
    pub fn new(threads: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let pool = Pool::new(if threads == 0 { cores() } else { threads });
        Self { pool, pace: None, tally: Tally::default() }
    }

    /// A CPU device that uses only the calling thread and pauses. When a run has worked for `slice`, it awaits `pause`,
    /// checks whether it was cancelled, and continues. A step that cannot be cut may take a few milliseconds longer.
    pub fn pausing(slice: Duration, pause: Pause) -> Self {
        Self { pool: Pool::new(1), pace: Some(Pace::new(slice, pause)), tally: Tally::default() }
    }

    /// A name for people, such as "CPU, 4 threads".
    pub fn name(&self) -> String {
        format!("CPU, {} thread{}", self.threads(), if self.threads() == 1 { "" } else { "s" })
    }

    /// The number of threads, with the calling one.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The kind of arithmetic, on which the bits of results depend: whether a product and a sum are rounded together.
    #[cfg(feature = "train")]
    pub(super) fn arithmetic(&self) -> &'static str {
        match self.pool.isa() {
            micro::Isa::Portable if !math::FUSED => "unfused",
            _ => "fused",
        }
    }

    /// Pauses if the time slice is over.
    pub(super) async fn give_way(&self) {
        if let Some(pace) = &self.pace {
            pace.keep().await;
        }
    }

    pub(super) fn upload_matrix(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        let panels = Panels::pack(&self.pool, parts);
        let rows = parts.iter().map(|p| p.rows).sum();
        let cols = parts.first().map_or(0, |p| p.cols);
        let dtype = uploaded_dtype(parts);
        Ok(Weight::new(Stored { name: name.into(), rows, cols, dtype, layout: Layout::Panels(panels) }))
    }

    pub(super) fn upload_vector(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        let values: Vec<f32> = parts.iter().flat_map(HostTensor::to_f32).collect();
        let cols = values.len();
        Ok(Weight::new(Stored { name: name.into(), rows: 1, cols, dtype: DType::F32, layout: Layout::Plain(values) }))
    }

    pub(super) fn plan(&self, list: &CallList, capacity: BatchSizes) -> Result<CpuPlan> {
        let slots = Slots::assign(list, capacity);
        let no_room = |have| Error::Memory {
            what: format!("a batch of {} tokens", capacity.tokens),
            need: slots.bytes(),
            have,
            help: "Make batches smaller".into(),
        };
        // Refuses what cannot be addressed. Also refuses what the system would promise, only to kill the program later.
        usize::try_from(slots.bytes()).map_err(|_| no_room(usize::MAX as u64))?;
        let is_large = slots.bytes() > LARGE;
        let have = if is_large { available() } else { None };
        if let Some(have) = have.filter(|have| slots.bytes() > *have) {
            return Err(no_room(have));
        }
        let mut buffers = Vec::with_capacity(slots.len.len());
        let mut had = 0;
        for &len in &slots.len {
            buffers.push(Floats::zeros(len).ok_or_else(|| no_room(had))?);
            had += len as u64 * 4;
        }
        if is_large && !has_headroom() {
            return Err(no_room(had));
        }
        Ok(CpuPlan { capacity, list: list.clone(), slots, buffers, bits: Vec::new() })
    }

    pub(super) async fn run(
        &self,
        plan: &mut CpuPlan,
        sizes: BatchSizes,
        inputs: &[Input<'_>],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        for (id, bytes) in inputs {
            let len = plan.list.info(*id).len(sizes);
            let slot = plan.slots.of[id.0 as usize].expect("an input has memory of its own");
            bytemuck::cast_slice_mut(&mut plan.buffers[slot][..len]).copy_from_slice(&bytes[..len * 4]);
        }
        for call in 0..plan.calls() {
            let mut rest = Some(0);
            while let Some(first) = rest {
                self.give_way().await;
                cancel.check()?;
                rest = self.step(plan, sizes, call, first);
            }
            self.tally.op();
        }
        let output = |id: &super::TensorId| {
            if let Role::Persistent(state) = &plan.list.info(*id).role {
                return state.host(|values| values.to_vec());
            }
            let slot = plan.slots.of[id.0 as usize].expect("an output has memory");
            plan.buffers[slot][..plan.list.info(*id).len(sizes)].to_vec()
        };
        Ok(plan.list.outputs.iter().map(output).collect())
    }

    /// Runs a call's tasks from `first` on. Returns the next task if the time slice ends before all are done.
    fn step(&self, plan: &mut CpuPlan, sizes: BatchSizes, call: usize, first: usize) -> Option<usize> {
        let CpuPlan { list, slots, buffers, bits, .. } = plan;
        let call = &list.calls[call];
        call.resolve(sizes, bits);
        // Everything that a call writes, and every state, is taken out of the plan while the call runs. So nothing is
        // aliased, without unsafe code.
        let mut taken: [Floats; MAX_STORAGE_BINDINGS] = Default::default();
        for (hold, view) in taken.iter_mut().zip(&call.writes) {
            *hold = match &list.info(view.tensor).role {
                Role::Persistent(state) => state.take(),
                _ => std::mem::take(&mut buffers[slot_of(slots, view)]),
            };
        }
        let mut lent: [Floats; MAX_STORAGE_BINDINGS] = Default::default();
        let first_read =
            |view: &View| call.reads.iter().position(|v| v.tensor == view.tensor).expect("one of the reads");
        for (at, view) in call.reads.iter().enumerate().filter(|(at, _)| !call.updates(*at)) {
            if let (Role::Persistent(state), true) = (&list.info(view.tensor).role, first_read(view) == at) {
                lent[at] = state.take();
            }
        }
        let mut reads = [Operand::Plain(&[]); MAX_STORAGE_BINDINGS];
        for ((at, read), view) in reads.iter_mut().enumerate().zip(&call.reads) {
            *read = match &list.info(view.tensor).role {
                _ if call.updates(at) => Operand::Plain(&[]),
                Role::Persistent(_) => Operand::Plain(&lent[first_read(view)][range(list, view, sizes)]),
                _ => operand(list, slots, buffers, view, sizes),
            };
        }
        let mut writes: [&mut [f32]; MAX_STORAGE_BINDINGS] = Default::default();
        for ((write, hold), view) in writes.iter_mut().zip(&mut taken).zip(&call.writes) {
            *write = &mut hold[range(list, view, sizes)];
        }
        let dispatch = Dispatch::part(&self.pool, self.pace.as_ref(), first);
        (call.op.twin)(&mut CpuCall {
            dispatch: &dispatch,
            params: bits,
            reads: &reads[..call.reads.len()],
            writes: &mut writes[..call.writes.len()],
        });
        for (hold, view) in taken.into_iter().zip(&call.writes) {
            match &list.info(view.tensor).role {
                Role::Persistent(state) => state.put(hold),
                _ => buffers[slot_of(slots, view)] = hold,
            }
        }
        for ((at, hold), view) in lent.into_iter().enumerate().zip(&call.reads) {
            if let (Role::Persistent(state), true, false) =
                (&list.info(view.tensor).role, first_read(view) == at, call.updates(at))
            {
                state.put(hold);
            }
        }
        dispatch.rest()
    }
}

/// A plan larger than this many bytes could take all memory that is left, so it is checked first. Smaller plans are not
/// checked.
const LARGE: u64 = 256 << 20;

/// The bytes that must stay free beside a large plan, for short-lived memory in a run, such as its results. They matter
/// with 32-bit addresses, where memory is limited. There the check takes them for a moment, and WebAssembly keeps
/// memory that it has taken once.
const HEADROOM: usize = if cfg!(target_pointer_width = "32") { 32 << 20 } else { 0 };

fn has_headroom() -> bool {
    Vec::<u8>::new().try_reserve_exact(HEADROOM).is_ok()
}

fn slot_of(slots: &Slots, view: &View) -> usize {
    slots.of[view.tensor.0 as usize].expect("a written tensor has memory")
}

fn range(list: &CallList, view: &View, sizes: BatchSizes) -> std::ops::Range<usize> {
    let cols = list.info(view.tensor).cols as usize;
    let first = view.first as usize * cols;
    first..first + view.rows.resolve(sizes) as usize * cols
}

fn operand<'a>(
    list: &'a CallList,
    slots: &Slots,
    buffers: &'a [Floats],
    view: &View,
    sizes: BatchSizes,
) -> Operand<'a> {
    match &list.info(view.tensor).role {
        Role::Weight(w) => match w.layout() {
            Layout::Plain(v) => Operand::Plain(v),
            Layout::Panels(p) => Operand::Panels(p),
            Layout::Buffer(_) => unreachable!("{} lives on another device", w.name()),
        },
        _ => Operand::Plain(&buffers[slot_of(slots, view)][range(list, view, sizes)]),
    }
}
