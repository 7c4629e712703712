//! Uploads parameters into GPU buffers.
//!
//! A matrix `[N, K]` is stored k-major, as `[K', N']`. Zeros pad N to a multiple of [`PACK_ROWS`] and K to a multiple
//! of [`PACK_COLS`]. So a kernel reads whole vectors of neighbouring outputs and needs no bounds checks on the weight.
//! Along N, two f16 or four i8 values share a word. After the elements of an i8 matrix come its N' row scales.

use half::f16;

use super::Gpu;
use crate::device::weight::{Layout, Stored, Weight};
use crate::error::{Error, Remedy, Result, help};
use crate::tensor::{DType, HostTensor, uploaded_dtype};

/// N is padded to a multiple of this.
pub const PACK_ROWS: usize = 64;
/// K is padded to a multiple of this.
pub const PACK_COLS: usize = 16;

impl Gpu {
    pub(in crate::device) fn upload_matrix(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        let rows = parts.iter().map(|p| p.rows).sum();
        let cols = parts.first().map_or(0, |p| p.cols);
        let dtype = uploaded_dtype(parts);
        let bytes = pack(parts, rows, cols, dtype);
        let buffer = self.storage(name, &bytes)?;
        Ok(Weight::new(Stored { name: name.into(), rows, cols, dtype, layout: Layout::Buffer(buffer) }))
    }

    /// The most rows of a matrix that [`upload_matrix`](Self::upload_matrix) takes.
    pub(in crate::device) fn max_matrix_rows(&self, cols: usize, dtype: DType) -> usize {
        let scale = if dtype == DType::I8 { 4 } else { 0 };
        let row = (cols.next_multiple_of(PACK_COLS) * dtype.size() + scale) as u64;
        let rows = self.limits.binding_bytes.min(self.limits.buffer_bytes) / row / PACK_ROWS as u64;
        (rows.max(1) as usize).saturating_mul(PACK_ROWS)
    }

    pub(in crate::device) fn upload_vector(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        let values: Vec<f32> = parts.iter().flat_map(HostTensor::to_f32).collect();
        let buffer = self.storage(name, bytemuck::cast_slice(&values))?;
        let layout = Layout::Buffer(buffer);
        Ok(Weight::new(Stored { name: name.into(), rows: 1, cols: values.len(), dtype: DType::F32, layout }))
    }

    /// A storage buffer with these contents.
    fn storage(&self, name: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let most = self.limits.binding_bytes.min(self.limits.buffer_bytes);
        if bytes.len() as u64 > most {
            return Err(Error::Memory {
                what: format!("{name} on {}", self.info.name),
                need: bytes.len() as u64,
                have: most,
                help: help!("Convert the model to f16 or i8, or ", Remedy::UseCpu),
            });
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytes);
        // Submitted at once, so that the queue's staging memory does not grow to the size of the model.
        self.queue.submit([]);
        self.check()?;
        Ok(buffer)
    }
}

fn pack(parts: &[HostTensor<'_>], rows: usize, cols: usize, dtype: DType) -> Vec<u8> {
    let (n, k) = (rows.next_multiple_of(PACK_ROWS), cols.next_multiple_of(PACK_COLS));
    let size = dtype.size();
    let tail = if dtype == DType::I8 { n * 4 } else { 0 };
    let mut out = vec![0; n * k * size + tail];
    let mut wide = vec![0.0; cols];
    let every = parts.iter().flat_map(|p| (0..p.rows).map(move |r| (p, r)));
    for (at, (part, r)) in every.enumerate() {
        let place = |c: usize| (c * n + at) * size;
        match dtype {
            DType::I8 => {
                let (q, scale) = part.row_i8(r);
                for (c, q) in q.iter().enumerate() {
                    out[place(c)] = *q as u8;
                }
                let s = n * k + at * 4;
                out[s..s + 4].copy_from_slice(&scale.to_le_bytes());
            }
            DType::F16 => {
                part.row_f32(r, &mut wide);
                for (c, v) in wide.iter().enumerate() {
                    out[place(c)..place(c) + 2].copy_from_slice(&f16::from_f32(*v).to_le_bytes());
                }
            }
            DType::F32 | DType::BF16 | DType::F64 => {
                part.row_f32(r, &mut wide);
                for (c, v) in wide.iter().enumerate() {
                    out[place(c)..place(c) + 4].copy_from_slice(&v.to_le_bytes());
                }
            }
        }
    }
    out
}

#[cfg(feature = "train")]
impl Gpu {
    /// A buffer of `len` zeros.
    pub(in crate::device) fn zeros(&self, name: &str, len: usize) -> Result<wgpu::Buffer> {
        // Whole vectors of four, because kernels may read it in vectors.
        let size = (len.max(1) * 4).next_multiple_of(16) as u64;
        let most = self.limits.binding_bytes.min(self.limits.buffer_bytes);
        if size > most {
            return Err(Error::Memory {
                what: format!("{name} on {}", self.info.name),
                need: size,
                have: most,
                help: help!(
                    "If it is an embedding table, freeze it with ",
                    crate::error::OptionName("freeze_embeddings"),
                    "; otherwise ",
                    Remedy::UseCpu
                ),
            });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: Some(name), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// Sets a whole buffer to zero.
    pub(in crate::device) fn clear(&self, buffer: &wgpu::Buffer) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.clear_buffer(buffer, 0, None);
        self.queue.submit([encoder.finish()]);
    }

    /// Writes `bytes` to the beginning of a buffer.
    pub(in crate::device) fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.queue.write_buffer(buffer, 0, bytes);
        self.queue.submit([]);
    }

    /// Reads the first `len` floats of a buffer.
    pub(in crate::device) async fn fetch(&self, buffer: &wgpu::Buffer, len: usize) -> Result<Vec<f32>> {
        let bytes = len as u64 * 4;
        let readback = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes.max(16),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &readback, 0, bytes);
        self.queue.submit([encoder.finish()]);
        let read = super::lower::read(self, &readback, std::iter::once(len), bytes).await?;
        Ok(read.into_iter().next().expect("one buffer was read"))
    }
}
