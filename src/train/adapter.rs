//! What a trainer has learnt of adapters, as `peft` has it: A and B of each adapted layer, and the head whole.

use super::params::is_of_head;
use super::{Method, Trainer};
use crate::checkpoint::adapter::{Adapter, Base, Tensor};
use crate::checkpoint::names;
use crate::error::{Error, Result};

/// The trainer's adapter as it is now, of the model `base`.
///
/// # Errors
/// [`Error::Input`] if the trainer's method is another; what a device may return.
pub async fn adapter(trainer: &Trainer, base: Base) -> Result<Adapter> {
    let Method::Lora(lora) = &trainer.options().method else {
        let problem = "this training has no adapters".into();
        return Err(Error::Input { problem, mend: "Train with the method lora".into() });
    };
    let mut tensors = Vec::new();
    for name in trainer.names() {
        let is_a = name.ends_with(".lora_A.weight");
        let is_adapters = is_a || name.ends_with(".lora_B.weight");
        if !is_adapters && !is_of_head(name) {
            continue;
        }
        let values = trainer.parameter(name).await?;
        let shape = match names::param(trainer.checkpoint().config(), name) {
            _ if is_a => vec![lora.r, values.len() / lora.r],
            _ if is_adapters => vec![values.len() / lora.r, lora.r],
            Some(param) if !param.is_vector => vec![param.rows, param.cols],
            _ => vec![values.len()],
        };
        tensors.push(Tensor { name: name.into(), shape, values });
    }
    Ok(Adapter { lora: lora.clone(), base, head: Some(trainer.head()), tensors })
}
