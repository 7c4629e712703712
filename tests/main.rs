//! The integration tests: one binary, one module a subject.

#[cfg(feature = "train")]
mod adapter;
mod answers;
mod auto;
mod batch;
mod checkpoint;
mod cli;
mod dependencies;
mod faults;
mod features;
mod fields;
mod golden;
#[cfg(feature = "train")]
mod gradients;
mod guides;
mod heads;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_attacks;
mod kernels;
mod labels;
mod large;
mod lockstep;
mod memory;
#[cfg(feature = "train")]
mod methods;
mod outputs;
mod pausing;
mod rank;
mod resume;
mod saving;
mod search;
mod selection;
mod self_test;
mod sentence;
mod squad;
mod support;
mod tasks;
mod text;
mod tidy;
mod torch;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "unigram")]
mod unigram;
