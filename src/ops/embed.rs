//! `y[t] = word[ids[t, 0]] + kind[ids[t, 1]] + position[ids[t, 2]]`: the sum of embeddings, from tables that are
//! trained.
//!
//! The tables are `[·, H]`, ids `[T, 3]` are u32, y is `[T, H]`. Frozen tables stay on the host, which computes the sum
//! itself. The gradient of each table is a [`scatter`](super::scatter).

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `embed`: reads word, kind and position `[·, H]` and ids `[T, 3]` (u32); writes y `[T, H]`.
pub static OP: Op = Op {
    name: "embed",
    params: Params::STRUCT,
    reads: &["word", "kind", "position", "ids"],
    writes: &["y"],
    twin,
    variants: only!("embed", "../../shaders/embed.wgsl", resolved!(|p| [groups(p.cols, 64), groups(p.rows, 16), 1])),
    flops: resolved!(|p| 2.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the sum of the three tables' rows and returns y `[T, H]`. ids `[T, 3]` are u32; each must be a row of its
/// table.
pub fn embed(g: &mut Graph, name: &str, tables: [Tensor; 3], ids: Tensor) -> Tensor {
    let [word, kind, position] = tables;
    let y = g.temp(name, ids.rows, word.cols);
    g.call(&OP, &[word, kind, position, ids], &[y], Params { rows: ids.rows, cols: word.cols });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, cols } = Params::resolved(call.params);
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
