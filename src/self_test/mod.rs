//! The self-test: does this device compute what PyTorch computes?
//!
//! Drivers have bugs. A wrong kernel does not crash; it only makes answers worse. So before Cloze trusts a GPU, it runs a tiny BERT through the
//! usual loading, kernels and plans, and compares the logits. The test reads no file.

mod expected;
mod weights;

use std::sync::Arc;

use crate::batch::Batch;
use crate::checkpoint::Head;
use crate::device::lockstep::{Mismatch, largest_difference, lockstep};
use crate::device::{BatchSizes, Cancel, Cpu, Device};
use crate::error::{Error, Remedy, Result, help};
use crate::model::Model;
use crate::tensor::DType;

/// For logits against PyTorch's: sums of some hundred products in another order.
pub const TOLERANCE: f32 = 1e-4;

/// One model of the test. Each stores its weights in another type and has another head size. So the three together use
/// every kernel that usual models need.
#[derive(Debug)]
pub struct Case {
    /// The type in which the matrices are stored.
    pub dtype: DType,
    /// N, the number of heads. The head size is 64 / N.
    heads: usize,
    logits: &'static [f32],
}

/// All cases of the test.
pub static CASES: [Case; 3] = [
    Case { dtype: DType::F32, heads: 2, logits: &expected::LOGITS[0] },
    Case { dtype: DType::F16, heads: 1, logits: &expected::LOGITS[1] },
    Case { dtype: DType::I8, heads: 4, logits: &expected::LOGITS[2] },
];

/// Capacities in tokens. With the second, a GPU uses its kernels for large batches.
const CAPACITIES: [u32; 2] = [128, 8192];

/// The result of a case on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The type in which the case stores its matrices.
    pub dtype: DType,
    /// The largest absolute difference of a logit from PyTorch's; infinite if a logit is NaN.
    pub difference: f32,
    /// The first op that differs from the CPU device's, if the logits are wrong.
    pub wrong: Option<Mismatch>,
}

impl Outcome {
    /// Whether the logits agree with PyTorch's.
    pub fn is_right(&self) -> bool {
        self.difference <= TOLERANCE
    }

    /// Checks the result. `device` is the name of the device.
    ///
    /// # Errors
    /// [`Error::Wrong`] names what differs.
    pub fn require(&self, device: &str) -> Result<()> {
        if self.is_right() {
            return Ok(());
        }
        let dtype = self.dtype.name();
        let problem = match &self.wrong {
            Some(Mismatch { op, kernel, tensor, difference, .. }) => {
                format!("with {dtype} weights {op} ({kernel}) is off by {difference:.1e} in {tensor}")
            }
            None => format!("with {dtype} weights the logits are off by {:.1e}", self.difference),
        };
        let help = help!("Update its driver, or ", Remedy::UseCpu, "; ", Remedy::TestGpu);
        Err(Error::Wrong { device: device.into(), problem, help })
    }
}

/// Runs every case.
///
/// # Errors
/// [`Error::Wrong`] names what the device computes wrong; the device's errors.
pub async fn check(device: &Arc<Device>) -> Result<()> {
    for case in &CASES {
        run(device, case).await?.require(&device.name())?;
    }
    Ok(())
}

/// Runs one case.
///
/// # Errors
/// The device's errors: [`Error::Memory`], [`Error::Gpu`], [`Error::DeviceLost`]. Wrong numbers are not an error here.
pub async fn run(device: &Arc<Device>, case: &Case) -> Result<Outcome> {
    let load = |device: Arc<Device>| {
        Model::load(weights::checkpoint(case.heads, case.dtype)?, Head::QuestionAnswering, device)
    };
    let model = load(device.clone())?;
    let batch = batch();
    let (sizes, inputs) = (batch.sizes(), model.inputs(&batch)?);
    let mut outcome = Outcome { dtype: case.dtype, difference: 0.0, wrong: None };
    let mut tested = None;
    for tokens in CAPACITIES {
        let capacity = BatchSizes { tokens, sequences: tokens, longest: tokens, picked: 0 };
        let mut plan = device.plan(model.list(), capacity).await?;
        if tested.is_some_and(|kernels| kernels == plan.kernels()) {
            break;
        }
        let logits = device.run(&mut plan, sizes, &inputs.list(), &Cancel::new()).await?.concat();
        outcome.difference = outcome.difference.max(largest_difference(case.logits, &logits));
        if !outcome.is_right() {
            let known = load(Arc::new(Device::Cpu(Cpu::new(1))))?;
            let (known, doubted) = ((known.device(), known.list()), (&**device, model.list()));
            outcome.wrong = lockstep(known, doubted, capacity, sizes, &inputs.list(), TOLERANCE).await?;
            break;
        }
        tested = Some(plan.kernels());
    }
    Ok(outcome)
}

/// Sequences of odd lengths. One is longer than the blocks of kernels.
fn batch() -> Batch {
    let mut batch = Batch::default();
    for length in [7, 1, 69] {
        let first = batch.tokens() as u32;
        let ids: Vec<u32> = (first..first + length).map(|t| (31 * t + 5) % weights::VOCAB).collect();
        let types: Vec<u32> = (0..length).map(|i| u32::from(i >= length / 2)).collect();
        batch.push(&ids, &types);
    }
    batch
}
