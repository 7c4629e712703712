//! BERT in the browser and on any GPU: one encoder in Rust with hand-written WGSL kernels and a fast CPU path.
//!
//! ```text
//! text -> Tokenizer -> windows -> packed Batch -> Encoder (a list of Calls) -> head -> answers with offsets
//! ```
//!
//! Each arrow is a module: [`text`] knows no model; [`checkpoint`] reads Hugging Face files and knows no device;
//! [`model`] records ops and knows no device's insides; a [`device`] lowers what was recorded; [`tasks`] join them.
//!
//! # A question, answered
//! ```
//! use cloze::device::{Cancel, Cpu, Device};
//! use cloze::tasks::answer::AnswerOptions;
//! use cloze::tasks::question_answering::QuestionAnswering;
//!
//! # fn main() -> cloze::Result<()> {
//! let qa = QuestionAnswering::embedded(Device::Cpu(Cpu::new(0)))?;
//! let context = "Ada Lovelace wrote the notes on the Analytical Engine in 1843.";
//! let answers =
//!     cloze::block_on(qa.answer("When were the notes written?", context, &AnswerOptions::default(), &Cancel::new()))?;
//! assert_eq!(answers[0].text, "1843");
//! assert_eq!(&context[answers[0].start..answers[0].end], "1843");
//! # Ok(())
//! # }
//! ```
//! [`choose::open`] opens a GPU if there is a real one that computes right, and says why it took what it took;
//! [`QuestionAnswering::open`](tasks::question_answering::QuestionAnswering::open) reads a directory of your own.
//!
//! # Features
//! `cli` the binary; `native` threads, memory mapping and [`block_on`]; `hub` models by name from the Hugging Face Hub;
//! `embedded-model` the default model, compiled in; `train` what [`train`] needs. All these are on by default; `hub` alone
//! needs a C compiler. `wasm` is the shell for JavaScript, on wasm32 alone.

pub mod activation;
pub mod batch;
pub mod checkpoint;
pub mod choose;
pub mod config;
pub mod device;
#[cfg(feature = "embedded-model")]
pub mod embedded;
pub mod error;
pub mod fields;
#[cfg(feature = "native")]
pub mod files;
#[cfg(feature = "native")]
pub mod fingerprint;
pub mod graph;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "native")]
pub mod inputs;
pub mod measure;
pub mod model;
pub mod ops;
pub mod pooling;
#[cfg(feature = "native")]
pub mod search;
pub mod self_test;
pub mod sentence;
pub mod tasks;
pub mod tensor;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
#[cfg(all(feature = "wasm", target_arch = "wasm32"))]
pub mod wasm;

pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use pollster::block_on;
pub use wgpu;
