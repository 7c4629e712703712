//! Training examples, from files to batches.
//!
//! [`data`] reads files, [`features`] makes labelled sequences of their examples, [`order`] shuffles and groups sequences,
//! and [`collate`] packs each group into a batch. [`random`] gives the reproducible random numbers for all of it.

pub mod collate;
pub mod data;
pub mod features;
pub mod order;
pub mod random;
