//! Runs one list on two devices, call by call, and names the first call whose results differ.
//!
//! Before each call, the second device gets its inputs from the first. So a difference comes from that call, not from an earlier one.

use super::call::{CallList, Role, TensorId};
use super::sizes::BatchSizes;
use super::{Cancel, Device, Input};
use crate::error::Result;

/// A tensor on which two devices disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The index of the call in the list.
    pub call: usize,
    /// The name of the op.
    pub op: &'static str,
    /// The kernel that computed the wrong result.
    pub kernel: &'static str,
    /// The name of the tensor that it wrote.
    pub tensor: String,
    /// The largest absolute difference; infinite if only one side is finite.
    pub difference: f32,
}

/// Runs `list` and returns every tensor that it writes, in the order of the calls, with its name.
///
/// # Errors
/// Those of [`Device::plan`] and [`Device::run`].
pub async fn trace(
    device: &Device,
    list: &CallList,
    sizes: BatchSizes,
    inputs: &[Input<'_>],
) -> Result<Vec<(String, Vec<f32>)>> {
    let list = list.with_all_outputs();
    let mut plan = device.plan(&list, sizes).await?;
    let values = device.run(&mut plan, sizes, inputs, &Cancel::new()).await?;
    Ok(list.outputs.iter().map(|id| list.info(*id).name.clone()).zip(values).collect())
}

/// Finds the first call whose results on `device` differ from those on `reference` by more than `tolerance`. Both lists
/// are the same model, each recorded on its device. `device` uses its kernels for batches up to `capacity`.
///
/// # Errors
/// Those of [`Device::plan`] and [`Device::run`].
///
/// # Panics
/// If the lists are not the same computation.
pub async fn lockstep(
    reference: (&Device, &CallList),
    device: (&Device, &CallList),
    capacity: BatchSizes,
    sizes: BatchSizes,
    inputs: &[Input<'_>],
    tolerance: f32,
) -> Result<Option<Mismatch>> {
    let (known_device, known_list) = reference;
    let (device, list) = device;
    assert_eq!(known_list.calls.len(), list.calls.len(), "the same computation");
    let known = trace(known_device, known_list, sizes, inputs).await?;
    let mut values: Vec<Option<Vec<u8>>> = vec![None; list.tensors.len()];
    for (id, bytes) in inputs {
        values[id.0 as usize] = Some(bytes.to_vec());
    }
    let mut written = known.iter();
    for (at, call) in list.calls.iter().enumerate() {
        let mut alone = CallList { tensors: list.tensors.clone(), calls: vec![call.clone()], outputs: Vec::new() };
        let mut fed: Vec<TensorId> = Vec::new();
        for id in call.reads.iter().map(|v| v.tensor) {
            let info = &mut alone.tensors[id.0 as usize];
            if matches!(info.role, Role::Input | Role::Temp) {
                info.role = Role::Input;
                fed.push(id);
            }
        }
        alone.outputs = call.writes.iter().map(|v| v.tensor).collect();
        let mut plan = device.plan(&alone, capacity).await?;
        let fed: Vec<Input<'_>> = fed.iter().filter_map(|id| Some((*id, values[id.0 as usize].as_deref()?))).collect();
        let found = device.run(&mut plan, sizes, &fed, &Cancel::new()).await?;
        for (id, found) in alone.outputs.iter().zip(found) {
            let (name, expected) = written.next().expect("the reference wrote as many tensors");
            let difference = largest_difference(expected, &found);
            if difference > tolerance {
                let kernel = plan.kernels().first().copied().unwrap_or_default();
                return Ok(Some(Mismatch { call: at, op: call.op.name, kernel, tensor: name.clone(), difference }));
            }
            values[id.0 as usize] = Some(bytemuck::cast_slice(expected).to_vec());
        }
    }
    assert!(written.next().is_none(), "the reference wrote more tensors");
    Ok(None)
}

/// max |a - b|. It is infinite if a value is missing, or if only one of two values is finite.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter()
        .zip(b)
        .map(|(a, b)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() })
        .fold(0.0, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}
