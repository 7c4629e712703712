//! Model files: reading, refusing, converting, and downloading from the Hub.

pub mod checkpoint;
pub mod hostile;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "hub")]
pub mod hub_attacks;
#[cfg(feature = "hub")]
pub mod hub_parts;
pub mod labels;
pub mod torch;
