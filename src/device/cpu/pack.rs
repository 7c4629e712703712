//! Weights in the order in which the microkernel reads them.

use half::f16;

use super::micro::PANEL;
use super::pool::{Line, Parts, Pool};
use crate::tensor::{DType, HostTensor, uploaded_dtype};

/// An uploaded weight W `[N, K]` in panels of 16 rows, each panel `[K, 16]`. One step along K reads one cache line.
///
/// F32 and BF16 are stored as f32, F16 as f16, and I8 as i8 with one scale for each row. A kernel expands a block of a
/// panel just before it uses it. Zeros fill the last panel.
pub struct Panels {
    n: usize,
    k: usize,
    values: Values,
}

enum Values {
    F32(Vec<Line>),
    F16(Vec<[f16; PANEL]>),
    I8 {
        values: Vec<[i8; PANEL]>,
        /// One scale for each row, padded to whole panels.
        scales: Vec<Line>,
    },
}

/// Borrowed panels, the right side of a matmul: those of a weight, or those of a tensor that was packed in this run.
#[derive(Clone, Copy)]
pub struct PanelsView<'a> {
    n: usize,
    k: usize,
    values: ValuesView<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum ValuesView<'a> {
    F32(&'a [f32]),
    F16(&'a [[f16; PANEL]]),
    I8 { values: &'a [[i8; PANEL]], scales: &'a [Line] },
}

impl<'a> PanelsView<'a> {
    /// Panels of f32 in plain memory, for a right side `[n, k]`.
    ///
    /// # Panics
    /// If `values` is shorter than whole panels of n rows.
    pub fn packed(n: usize, k: usize, values: &'a [f32]) -> Self {
        assert!(values.len() >= n.next_multiple_of(PANEL) * k, "whole panels");
        Self { n, k, values: ValuesView::F32(values) }
    }

    /// N, the outputs.
    pub fn n(self) -> usize {
        self.n
    }

    /// K, the inputs.
    pub fn k(self) -> usize {
        self.k
    }

    pub(super) fn values(self) -> ValuesView<'a> {
        self.values
    }
}

impl Panels {
    /// Packs matrices of equal width, stacked along N, such as query, key and value.
    ///
    /// It reads the source row by row. Besides the panels, each thread needs memory for one row.
    ///
    /// # Panics
    /// If there is no matrix, or if their widths differ. The model has already checked the shapes.
    pub fn pack(pool: &Pool, stack: &[HostTensor]) -> Self {
        let k = stack.first().expect("the model has checked that the matrices are there").cols;
        assert!(stack.iter().all(|w| w.cols == k), "stacked weights have one width");
        let n = stack.iter().map(|w| w.rows).sum();
        let values = match uploaded_dtype(stack) {
            DType::I8 => pack_i8(stack, n, k),
            DType::F16 => pack_f16(stack, n, k),
            _ => pack_f32(pool, stack, n, k),
        };
        Self { n, k, values }
    }

    /// The bytes of memory that the panels take.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val(values.as_slice()),
            Values::F16(values) => size_of_val(values.as_slice()),
            Values::I8 { values, scales } => size_of_val(values.as_slice()) + size_of_val(scales.as_slice()),
        }
    }

    /// The panels as a kernel reads them.
    pub fn view(&self) -> PanelsView<'_> {
        let values = match &self.values {
            Values::F32(lines) => ValuesView::F32(bytemuck::cast_slice(lines)),
            Values::F16(values) => ValuesView::F16(values),
            Values::I8 { values, scales } => ValuesView::I8 { values, scales },
        };
        PanelsView { n: self.n, k: self.k, values }
    }
}

/// Finds row `row` of the stack: the matrix, and the row within it.
fn find<'a, 'b>(stack: &'b [HostTensor<'a>], mut row: usize) -> (&'b HostTensor<'a>, usize) {
    for w in stack {
        if row < w.rows {
            return (w, row);
        }
        row -= w.rows;
    }
    unreachable!("a row of the stack")
}

fn pack_f32(pool: &Pool, stack: &[HostTensor], n: usize, k: usize) -> Values {
    let mut lines = vec![Line::default(); n.div_ceil(PANEL) * k];
    let all = Parts::new(bytemuck::cast_slice_mut(&mut lines));
    pool.run(n.div_ceil(PANEL), |p, scratch| {
        // SAFETY: each task has its own panel.
        let panel = unsafe { all.get(p * k * PANEL, k * PANEL) };
        let [source] = scratch.buffers([k]);
        let source = &mut source[..k];
        for j in 0..PANEL.min(n - p * PANEL) {
            let (w, row) = find(stack, p * PANEL + j);
            w.row_f32(row, source);
            for (line, x) in panel.chunks_exact_mut(PANEL).zip(&*source) {
                line[j] = *x;
            }
        }
    });
    Values::F32(lines)
}

fn pack_f16(stack: &[HostTensor], n: usize, k: usize) -> Values {
    let mut values = vec![[f16::ZERO; PANEL]; n.div_ceil(PANEL) * k];
    for row in 0..n {
        let (w, at) = find(stack, row);
        for (line, x) in values[row / PANEL * k..][..k].iter_mut().zip(w.row_f16(at)) {
            line[row % PANEL] = x;
        }
    }
    Values::F16(values)
}

fn pack_i8(stack: &[HostTensor], n: usize, k: usize) -> Values {
    let panels = n.div_ceil(PANEL);
    let mut values = vec![[0; PANEL]; panels * k];
    let mut scales = vec![Line::default(); panels];
    for row in 0..n {
        let (w, at) = find(stack, row);
        let (source, scale) = w.row_i8(at);
        scales[row / PANEL].0[row % PANEL] = scale;
        for (line, q) in values[row / PANEL * k..][..k].iter_mut().zip(source) {
            line[row % PANEL] = *q;
        }
    }
    Values::I8 { values, scales }
}
