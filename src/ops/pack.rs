//! Puts a tensor into the form of an uploaded weight, which a matmul reads as its right side: panels on the CPU,
//! k-major on a GPU.
//!
//! A trained weight W `[N, K]` changes at every step, so the run that reads it packs it just before: as `Wᵀ` for
//! `x Wᵀ`, and unchanged for `dX = dY W`. The activations in `dW = dYᵀ X` are packed too. The memory is that of a
//! temporary tensor.

use crate::device::cpu::{CpuCall, train};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::ops::matmul::fits_tile;
use crate::ops::transpose::UNIT;

params! { rows: Rows, cols: u32, transposed: bool, depth: Rows }

/// The op `pack`: reads x, `[N, K]` or `[K, N]`; writes y, the packed form.
pub static OP: Op = Op {
    name: "pack",
    params: Params::STRUCT,
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[
        Variant {
            name: "pack_tiles",
            family: Family::Tiles,
            fits: |call, limits| Params::recorded(call).transposed && fits_tile(limits, 256, 33 * 32 * 4),
            wgsl: |_| vec![include_str!("../../shaders/pack_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [2 * groups(p.cols, 64), groups(p.rows, 32), 1]),
        },
        Variant {
            name: "pack_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/pack_plain.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.cols, 64), groups(p.rows, 16), 1]),
        },
    ],
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// A packed right side `[N, K]` of a matmul.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// The packed memory.
    pub tensor: Tensor,
    /// N, the outputs.
    pub n: u32,
    /// K, over which the matmul sums.
    pub k: Rows,
}

/// Packs W `[N, K]`, whose rows are the outputs: the right side of `x Wᵀ`.
pub fn pack_rows(g: &mut Graph, x: Tensor) -> Packed {
    let Rows::Fixed(n) = x.rows else { unreachable!("a weight's shape is fixed") };
    let k = Rows::Fixed(x.cols);
    pack(g, x, k, k, n, true)
}

/// Packs W `[K, N]`, whose columns are the outputs.
pub fn pack_cols(g: &mut Graph, x: Tensor) -> Packed {
    pack(g, x, x.rows, x.rows, x.cols, false)
}

/// Packs X `[M, N]` for sums over its rows. Zeros fill it up to a multiple of rows, as in
/// [`transpose`](super::transpose::transpose).
pub fn pack_sums(g: &mut Graph, x: Tensor) -> Packed {
    pack(g, x, x.rows, x.rows.to(UNIT), x.cols, false)
}

fn pack(g: &mut Graph, x: Tensor, rows: Rows, k: Rows, n: u32, transposed: bool) -> Packed {
    let y = g.temp("packed", k.to(16), n.next_multiple_of(64));
    let params = Params { rows, cols: n, transposed, depth: k };
    g.call(&OP, &[x], &[y], params);
    Packed { tensor: y, n, k }
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, cols, transposed, depth } = Params::resolved(call.params);
    let [rows, n, k] = [rows, cols, depth].map(|n| n as usize);
    train::pack(call.dispatch, call.writes[0], call.reads[0].plain(), rows, n, k, transposed);
}
