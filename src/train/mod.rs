//! Training: a model whose parameters are states, its losses, and the steps that change it.

pub mod nodes;
pub mod tape;
