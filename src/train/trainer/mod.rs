//! The trainer: a model on the tape (`bert`), its labels in the form of the losses (`targets`), training steps
//! ([`step`]), learning rates ([`schedule`]), and the trained model as files ([`save`]).

pub(in crate::train) mod bert;
pub mod save;
pub mod schedule;
pub mod step;
pub(in crate::train) mod targets;
