//! The ops: one file an op, with how it is recorded, its CPU twin and its WGSL variants. This is their table.

mod activation;
pub mod attention;
#[cfg(test)]
mod check;
pub mod gather;
pub mod layer_norm;
pub mod matmul;
pub mod pool;

use crate::device::Op;

/// Every op there is.
pub static OPS: &[&Op] = &[&matmul::OP, &attention::OP, &layer_norm::OP, &gather::OP, &pool::OP];

/// Workgroups that cover `n` items, `per` each.
pub(crate) const fn groups(n: u32, per: u32) -> u32 {
    n.div_ceil(per)
}
