//! The integration tests: one binary, with a folder for each subject. [`support`] has the shared code.

mod checkpoints;
mod command;
mod devices;
mod models;
mod project;
mod support;
mod tasks;
mod tokenizers;
mod training;
