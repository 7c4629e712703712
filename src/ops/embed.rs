//! `y[t] = word[ids[t, 0]] + kind[ids[t, 1]] + position[ids[t, 2]]`: the embedding sum from tables that are trained.
//!
//! Tables `[·, H]`, ids `[T, 3]` u32, y `[T, H]`. Frozen tables stay on the host, which gathers the sum itself. The gradient
//! is a [`scatter`](super::scatter) a table.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "embed",
    params: &["rows", "cols"],
    reads: &["word", "kind", "position", "ids"],
    writes: &["y"],
    twin,
    variants: only!("embed", "../../shaders/embed.wgsl", |w| [groups(w[1], 64), groups(w[0], 16), 1]),
    flops: |w| 2.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the sum of the three tables' rows.
pub fn embed(g: &mut Graph, name: &str, tables: [Tensor; 3], ids: Tensor) -> Tensor {
    let [word, kind, position] = tables;
    let y = g.temp(name, ids.rows, word.cols);
    g.call(&OP, &[word, kind, position, ids], &[y], vec![Word::Rows(ids.rows), Word::U32(word.cols)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [rows, cols] = *call.params else { unreachable!("two parameters") };
    let (rows, cols) = (rows as usize, cols as usize);
    let [word, kind, position, ids] = [0, 1, 2, 3].map(|i| call.reads[i].plain());
    let ids: &[u32] = bytemuck::cast_slice(ids);
    parallel::for_rows(call.dispatch, rows, [(&mut *call.writes[0], cols)], |range, [y], _| {
        for (t, y) in range.zip(y.chunks_exact_mut(cols)) {
            let row = |table: &'_ [f32], i: usize| ids[t * 3 + i] as usize * cols..table.len();
            let [w, k, p] = [(word, 0), (kind, 1), (position, 2)].map(|(table, i)| &table[row(table, i)]);
            for (((y, w), k), p) in y.iter_mut().zip(w).zip(k).zip(p) {
                *y = w + k + p;
            }
        }
    });
}
