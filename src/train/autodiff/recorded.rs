//! A list that is recorded once and runs for many batches. Its plan grows with the batches.

use crate::device::{BatchSizes, CallList, Cancel, Device, Plan, TensorId};
use crate::error::{Error, Help, OptionName, Result, help};

/// A list, its inputs, and its memory.
#[derive(Debug)]
pub(in crate::train) struct Recorded<I> {
    pub list: CallList,
    pub inputs: I,
    /// The plan of the largest batch so far.
    plan: Option<Plan>,
}

/// Plans are made for multiples of this many tokens.
const BUCKET: u32 = 64;

/// The remedy if a training step needs more memory than there is.
fn smaller() -> Help {
    help!("Use smaller batches and accumulate several per step, or set ", OptionName("checkpoint_activations"))
}

impl<I> Recorded<I> {
    pub fn new(list: CallList, inputs: I) -> Self {
        Self { list, inputs, plan: None }
    }

    /// The bytes that the plan takes on its device.
    pub fn bytes(&self) -> u64 {
        self.plan.as_ref().map_or(0, Plan::bytes)
    }

    /// Runs the list for a batch of these sizes.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan) and [`Device::run`].
    pub async fn run(
        &mut self,
        device: &Device,
        sizes: BatchSizes,
        fed: &[(TensorId, Vec<u32>)],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        self.plan(device, sizes).await?;
        let Some(mut plan) = self.plan.take() else { unreachable!("it was just made") };
        let inputs: Vec<_> = fed.iter().map(|(id, words)| (*id, bytemuck::cast_slice(words))).collect();
        let values = device.run(&mut plan, sizes, &inputs, cancel).await;
        self.plan = Some(plan);
        values
    }

    /// Ensures that the plan can hold `sizes`. If the batch is larger than any before, it makes a new plan.
    ///
    /// # Errors
    /// [`Error::Memory`] if the machine has too little memory for the batch, and the device's errors.
    pub async fn plan(&mut self, device: &Device, sizes: BatchSizes) -> Result<()> {
        let had = self.plan.as_ref().map(Plan::capacity).unwrap_or_default();
        if self.plan.is_some() && had.holds(sizes) {
            return Ok(());
        }
        let tokens = sizes.tokens.next_multiple_of(BUCKET).max(had.tokens);
        let sequences = sizes.sequences.next_multiple_of(8).max(had.sequences);
        let picked = sizes.picked.next_multiple_of(8).max(had.picked);
        // The memory of the smaller plan is freed first.
        self.plan = None;
        let capacity = BatchSizes { tokens, sequences, longest: tokens, picked };
        let plan = device.plan(&self.list, capacity).await.map_err(|error| match error {
            Error::Memory { what, need, have, .. } => Error::Memory { what, need, have, help: smaller() },
            other => other,
        })?;
        self.plan = Some(plan);
        Ok(())
    }
}
