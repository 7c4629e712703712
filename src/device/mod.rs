//! Where an encoder runs.

pub mod cpu;
