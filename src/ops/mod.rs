//! The ops: one file for each, with its recording, its CPU code and its WGSL variants. This file is their table. To add
//! one, follow `CONTRIBUTING.md`.
//!
//! In the shapes, B is sequences, T tokens, H the hidden size, N heads and D the head size. For ops of any shape, R is
//! rows and C columns. A matmul is `[M, K]` by `[N, K]`. P is the number of partial sums or of poolings. A read that is
//! also written is updated in place.

use crate::device::Op;

/// The variants of an op that has one kernel for both families.
#[cfg(feature = "train")]
macro_rules! only {
    ($name:literal, $file:literal, $grid:expr) => {
        &[Variant {
            name: $name,
            family: $crate::device::Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!($file)],
            overrides: |_| Vec::new(),
            grid: $grid,
        }]
    };
}

mod activation;
pub mod attention;
#[cfg(test)]
mod check;
pub mod gather;
pub mod layer_norm;
pub mod matmul;
pub mod pool;
pub mod unit_rows;

/// Declares the ops that only training uses, and the table of all ops.
macro_rules! training {
    ($($op:ident),+ $(,)?) => {
        $(#[cfg(feature = "train")] pub mod $op;)+

        /// All ops of this build.
        pub static OPS: &[&Op] = &[
            &matmul::OP, &attention::OP, &layer_norm::OP, &gather::OP, &pool::OP, &unit_rows::OP,
            $(#[cfg(feature = "train")] &$op::OP,)+
        ];
    };
}

training!(
    activate,
    activate_backward,
    adamw,
    add,
    attention_backward,
    attention_delta,
    attention_train,
    column_partials,
    column_reduce,
    columns,
    cross_entropy,
    dropout,
    element_loss,
    embed,
    layer_norm_backward,
    layer_norm_partials,
    matmul_backward,
    pack,
    scale_columns,
    scatter,
    span_loss,
    square_sum,
    transpose,
    zero,
);

/// The number of workgroups for `n` items, with `per` items each.
pub(crate) const fn groups(n: u32, per: u32) -> u32 {
    n.div_ceil(per)
}

/// The grid for `n` elements, with `per` elements in each workgroup. A dispatch has a limit in each dimension; further
/// workgroups go into the next one.
#[cfg(feature = "train")]
pub(crate) const fn spread(n: u32, per: u32) -> [u32; 3] {
    const ROW: u32 = 32768;
    let all = groups(n, per);
    [if all < ROW { all } else { ROW }, groups(all, ROW), 1]
}
