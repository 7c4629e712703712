//! Checks that a tensor's values can be used by a model. It reads the bytes in place and needs no memory.

use half::{bf16, f16};

use crate::tensor::{DType, HostTensor};

/// The first forbidden value of a tensor.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    /// Its index over all elements, or over the scales.
    pub(crate) index: usize,
    pub(crate) in_scales: bool,
    /// The value: "NaN", "inf", and so on.
    pub(crate) value: String,
}

/// The number of elements that are checked together: enough to vectorize the loop, few enough to stay in the cache.
const CHUNK: usize = 4096;

/// Finds the first NaN or infinity, 8-bit -128 (the format is symmetric), or scale that is not a positive number.
pub(crate) fn first_fault(tensor: &HostTensor) -> Option<Fault> {
    let scales = tensor.scales.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    for (index, scale) in scales.enumerate() {
        if !(scale.is_finite() && scale > 0.0) {
            return Some(Fault { index, in_scales: true, value: scale.to_string() });
        }
    }
    let (index, value) = match tensor.dtype {
        DType::F32 => {
            let index = find(tensor.bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000)?;
            (index, element(tensor.bytes, index, f32::from_le_bytes).to_string())
        }
        DType::F64 => {
            // A value that is too large for f32 is also bad.
            let index = find(tensor.bytes, |b| !(f64::from_le_bytes(b) as f32).is_finite())?;
            (index, element(tensor.bytes, index, f64::from_le_bytes).to_string())
        }
        DType::F16 => {
            let index = find(tensor.bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00)?;
            (index, element(tensor.bytes, index, f16::from_le_bytes).to_string())
        }
        DType::BF16 => {
            let index = find(tensor.bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80)?;
            (index, element(tensor.bytes, index, bf16::from_le_bytes).to_string())
        }
        DType::I8 => (find(tensor.bytes, |[b]| b == 0x80)?, "-128".into()),
    };
    Some(Fault { index, in_scales: false, value })
}

/// The index of the first bad element.
fn find<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
    let (elements, _) = bytes.as_chunks::<N>();
    // Without an early exit inside a chunk, the compiler can vectorize the loop.
    let chunk = elements.chunks(CHUNK).position(|chunk| chunk.iter().fold(false, |any, b| any | bad(*b)))?;
    let first = chunk * CHUNK;
    elements[first..].iter().position(|b| bad(*b)).map(|i| first + i)
}

fn element<const N: usize, T>(bytes: &[u8], index: usize, read: impl Fn([u8; N]) -> T) -> T {
    read(bytes.as_chunks::<N>().0[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_bad_value_of_each_type() {
        let n = 3 * CHUNK + 5;
        let at = CHUNK + 7;
        let f32s: Vec<u8> = (0..n).flat_map(|i| if i == at { f32::NAN } else { i as f32 }.to_le_bytes()).collect();
        let f16s: Vec<u8> =
            (0..n).flat_map(|i| if i == at { f16::NEG_INFINITY } else { f16::MAX }.to_le_bytes()).collect();
        let bf16s: Vec<u8> =
            (0..n).flat_map(|i| if i == at { bf16::INFINITY } else { bf16::MAX }.to_le_bytes()).collect();
        for (dtype, bytes, value) in
            [(DType::F32, f32s, "NaN"), (DType::F16, f16s, "-inf"), (DType::BF16, bf16s, "inf")]
        {
            let size = dtype.size();
            let fault = first_fault(&HostTensor::new(dtype, 1, n, &bytes, &[]));
            assert_eq!(fault, Some(Fault { index: at, in_scales: false, value: value.into() }));
            let good = &bytes[(at + 1) * size..];
            assert_eq!(first_fault(&HostTensor::new(dtype, 1, n - at - 1, good, &[])), None);
        }
    }

    #[test]
    fn eight_bit_values_are_symmetric_and_scales_positive() {
        let scale = |s: f32| s.to_le_bytes();
        let fault = |bytes: &[u8; 2], s: f32| first_fault(&HostTensor::new(DType::I8, 1, 2, bytes, &scale(s)));
        assert_eq!(fault(&[0x81, 0x7f], 0.5), None);
        assert_eq!(fault(&[0, 0x80], 0.5), Some(Fault { index: 1, in_scales: false, value: "-128".into() }));
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(fault(&[0, 0], bad).is_some_and(|f| f.in_scales), "{bad}");
        }
    }
}
