//! The CPU's kernels: plain functions over slices, spread over a [`pool::Pool`].
//!
//! The one invariant: a row's result depends on that row and the weights alone. It has the same bits alone and in
//! any batch, for every number of threads, and with AVX2 as with AVX-512, because no order of summation is ever
//! chosen by the number of rows, tasks or workers.

pub mod attention;
pub mod gemm;
mod math;
pub mod micro;
pub mod pack;
pub mod pool;
pub mod rows;

#[cfg(test)]
mod tests;
