//! Host tensors, which a checkpoint gives to a device: borrowed bytes that are never copied or widened as a whole.

use half::{bf16, f16};

/// The type of a stored element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 64-bit float, which is narrowed to f32 when it is used.
    F64,
    /// 16-bit float (IEEE 754 half precision).
    F16,
    /// 16-bit float with the exponent of f32 (bfloat16).
    BF16,
    /// Symmetric 8-bit integers with one f32 scale for each row: `value = q * scale[row]`, with q in -127..=127.
    I8,
}

impl DType {
    /// The bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F64 => 8,
            DType::F16 | DType::BF16 => 2,
            DType::I8 => 1,
        }
    }

    /// The name used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I8 => "i8",
        }
    }

    /// The type in device memory of a matrix that is stored in this type.
    pub const fn uploaded(self) -> DType {
        match self {
            DType::I8 | DType::F16 => self,
            DType::F32 | DType::F64 | DType::BF16 => DType::F32,
        }
    }
}

/// A row-major matrix `[rows, cols]` (a vector is one row), borrowed from its file in little-endian bytes.
///
/// The bytes need not be aligned, because a safetensors file does not guarantee it.
#[derive(Clone, Copy, Debug)]
pub struct HostTensor<'a> {
    /// The type of the elements.
    pub dtype: DType,
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub cols: usize,
    /// `rows * cols * dtype.size()` bytes.
    pub bytes: &'a [u8],
    /// `rows` little-endian f32; empty unless the type is I8.
    pub scales: &'a [u8],
}

/// The type in device memory of a matrix with these parts. If their types differ, it is F32.
pub(crate) fn uploaded_dtype(parts: &[HostTensor<'_>]) -> DType {
    match parts.first() {
        Some(first) if parts.iter().all(|p| p.dtype == first.dtype) => first.dtype.uploaded(),
        _ => DType::F32,
    }
}

impl<'a> HostTensor<'a> {
    /// Wraps bytes whose length agrees with the shape.
    ///
    /// # Panics
    /// If the lengths disagree. The parser of a file must check them first.
    pub fn new(dtype: DType, rows: usize, cols: usize, bytes: &'a [u8], scales: &'a [u8]) -> Self {
        assert_eq!(bytes.len(), rows * cols * dtype.size(), "bytes against shape");
        assert_eq!(scales.len(), if dtype == DType::I8 { rows * 4 } else { 0 }, "scales against shape");
        Self { dtype, rows, cols, bytes, scales }
    }

    /// Some of the rows.
    pub fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let bytes =
            |all: &'a [u8], row: usize| if all.is_empty() { all } else { &all[rows.start * row..rows.end * row] };
        let (row, scale) = (self.cols * self.dtype.size(), 4);
        Self::new(self.dtype, rows.len(), self.cols, bytes(self.bytes, row), bytes(self.scales, scale))
    }

    /// A vector with its elements as rows.
    pub fn as_column(&self) -> Self {
        assert_eq!(self.rows, 1, "a vector");
        Self::new(self.dtype, self.cols, 1, self.bytes, self.scales)
    }

    fn row_bytes(&self, row: usize) -> &'a [u8] {
        let n = self.cols * self.dtype.size();
        &self.bytes[row * n..(row + 1) * n]
    }

    /// Row `row` as stored 8-bit integers, with its scale. Only for I8.
    pub fn row_i8(&self, row: usize) -> (&'a [i8], f32) {
        assert_eq!(self.dtype, DType::I8);
        (bytemuck::cast_slice(self.row_bytes(row)), self.scale(row))
    }

    /// Row `row` of a tensor of F16.
    pub fn row_f16(&self, row: usize) -> impl Iterator<Item = f16> + use<'a> {
        assert_eq!(self.dtype, DType::F16);
        self.row_bytes(row).as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes))
    }

    /// The scale of row `row`; 1 unless the type is I8.
    pub fn scale(&self, row: usize) -> f32 {
        match self.scales.get(row * 4..row * 4 + 4) {
            Some(b) => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            None => 1.0,
        }
    }

    /// Row `row` widened to f32 into `out` (`cols` long).
    pub fn row_f32(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.cols);
        let bytes = self.row_bytes(row);
        match self.dtype {
            DType::F32 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *o = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            DType::F64 => {
                for (o, b) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *o = f64::from_le_bytes(*b) as f32;
                }
            }
            DType::F16 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                    *o = f16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            DType::BF16 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                    *o = bf16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            DType::I8 => {
                let scale = self.scale(row);
                for (o, b) in out.iter_mut().zip(bytes) {
                    *o = f32::from(*b as i8) * scale;
                }
            }
        }
    }

    /// The whole tensor, widened to f32. Only for vectors and tests, because a weight must never be widened as a whole.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        if self.cols > 0 {
            for (r, o) in out.chunks_exact_mut(self.cols).enumerate() {
                self.row_f32(r, o);
            }
        }
        out
    }
}
