//! Automatic differentiation: records a model's forward calls and derives the backward ones.
//!
//! [`tape`] records, [`nodes`] are the building blocks with their gradients, and `recorded` is a finished list with its plan.

pub mod nodes;
pub(in crate::train) mod recorded;
pub mod tape;
