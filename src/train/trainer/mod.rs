//! The trainer: the model on the tape (`model`), its labels in the form of the losses (`targets`), training steps
//! ([`step`]), learning rates ([`schedule`]), and the trained model as files ([`save`]).

pub(in crate::train) mod model;
pub mod save;
pub mod schedule;
pub mod step;
pub(in crate::train) mod targets;
