//! What the tests share.

pub mod alloc;
pub mod checkpoint;
