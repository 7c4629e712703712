//! Parameters that training does not change. They are stored as for inference, and matrices also transposed if
//! gradients go through them.

use crate::checkpoint::{Checkpoint, names};
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::tensor::{DType, HostTensor};
use crate::train::autodiff::nodes::{Backward, Param};
use crate::train::parameters::unknown;

/// Loads the tensors `names`, stacked along their rows, or along their columns if they are vectors. With `backward`,
/// gradients can go through the matrix.
pub(in crate::train) fn load(
    device: &Device,
    checkpoint: &Checkpoint,
    names: &[String],
    backward: bool,
) -> Result<Param> {
    let name = names.first().map_or("", String::as_str);
    let stack: Vec<HostTensor<'_>> = names.iter().map(|name| checkpoint.get(name)).collect::<Result<_>>()?;
    let known = names::param(checkpoint.config(), name).ok_or_else(|| unknown(name))?;
    if known.is_vector {
        return Ok(Param::Frozen { value: device.upload_vector(name, &stack)?, backward: None });
    }
    let value = device.upload_matrix(name, &stack)?;
    let backward = if backward { Some(transposed(device, name, &stack)?) } else { None };
    Ok(Param::Frozen { value, backward })
}

/// The transpose of the stacked matrix. It keeps the type if all parts have the same.
fn transposed(device: &Device, name: &str, stack: &[HostTensor<'_>]) -> Result<Backward> {
    let rows: usize = stack.iter().map(|part| part.rows).sum();
    let cols = stack.first().map_or(0, |part| part.cols);
    let dtype = match stack.first() {
        Some(first) if stack.iter().all(|part| part.dtype == first.dtype) => first.dtype,
        _ => DType::F32,
    };
    let name = format!("{name}.transposed");
    if dtype == DType::F32 {
        let mut values = vec![0_f32; rows * cols];
        let mut row = vec![0.0; cols];
        for (at, (part, r)) in stack.iter().flat_map(|part| (0..part.rows).map(move |r| (part, r))).enumerate() {
            part.row_f32(r, &mut row);
            row.iter().enumerate().for_each(|(c, v)| values[c * rows + at] = *v);
        }
        let whole = HostTensor::new(DType::F32, cols, rows, bytemuck::cast_slice(&values), &[]);
        return Ok(Backward { transposed: device.upload_matrix(&name, &[whole])?, scales: None });
    }
    let size = dtype.size();
    let mut bytes = vec![0_u8; rows * cols * size];
    let every = stack.iter().flat_map(|part| part.bytes.chunks_exact((cols * size).max(1)));
    for (at, row) in every.enumerate() {
        for (c, element) in row.chunks_exact(size).enumerate() {
            bytes[(c * rows + at) * size..][..size].copy_from_slice(element);
        }
    }
    // The scales of W's rows belong to the axis of the sum here, so dY is scaled instead.
    let ones: Vec<u8> = if dtype == DType::I8 { 1_f32.to_le_bytes().repeat(cols) } else { Vec::new() };
    let whole = HostTensor::new(dtype, cols, rows, &bytes, &ones);
    let scales = if dtype == DType::I8 { Some(scales(device, &name, stack)?) } else { None };
    Ok(Backward { transposed: device.upload_matrix(&name, &[whole])?, scales })
}

fn scales(device: &Device, name: &str, stack: &[HostTensor<'_>]) -> Result<Weight> {
    let parts: Vec<_> = stack.iter().map(|p| HostTensor::new(DType::F32, 1, p.rows, p.scales, &[])).collect();
    device.upload_vector(&format!("{name}.scales"), &parts)
}
