//! BERT in the browser, on any GPU, and on the CPU: one encoder in Rust with hand-written WGSL kernels and a fast CPU path.
//!
//! # Answer a question
//! ```
//! use cloze::{AnswerOptions, Cancel, Cpu, Device, QuestionAnswering};
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
//!
//! # Where to start
//! - To use your own model, call [`QuestionAnswering::open`] with its directory. With the feature `hub`, the module `hub` downloads models by name.
//! - For another task, open a [`TextModel`] and give it to [`Classifier`], [`Tagger`], [`FillMask`], [`Embedder`], [`NextSentence`], [`Reranker`]
//!   or [`ZeroShot`]. Then pass inputs to [`run`] (any number of inputs) or [`run_one`].
//! - To choose a device, call [`choose::open`]. It opens a real GPU that computes correctly, or else the CPU, and says why.
//! - To stop long work, call [`Cancel::cancel`] from anywhere.
//! - To train, start at the module `train`: `train::run::Run` trains from files, and `Trainer` takes one step at a time.
//! - To add a kernel, read `CONTRIBUTING.md` and start at [`ops`]. The modules [`graph`], [`ops`], [`measure`] and parts of [`device`] are for kernel authors.
//!
//! # How it works
//! ```text
//! text -> Tokenizer -> windows -> packed Batch -> Encoder (a list of Calls) -> head -> answers with offsets
//! ```
//! [`text`] tokenizes and knows no model. [`checkpoint`] reads Hugging Face files and knows no device. [`model`] records a list of ops, and a [`device`] runs
//! it. [`tasks`] join them. `ARCHITECTURE.md` has the whole map.
//!
//! # Features
//! | Feature | What it adds | Default |
//! |---|---|---|
//! | `cli` | the program `cloze` | yes |
//! | `native` | threads, memory mapping and `block_on` | yes |
//! | `hub` | models by name from the Hugging Face Hub; it alone needs a C compiler | yes |
//! | `embedded-model` | the default model, compiled in | yes |
//! | `train` | the module `train` | yes |
//! | `unigram` | Unigram tokenizers (XLM-R, multilingual-e5) | yes |
//! | `wasm` | the interface for JavaScript, on wasm32 only | no |

#![warn(missing_docs)]

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
/// **For kernel authors.**
pub mod graph;
#[cfg(feature = "train")]
pub mod hash;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "native")]
pub mod inputs;
/// **For kernel authors.**
pub mod measure;
pub mod model;
/// **For kernel authors.**
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

pub use checkpoint::{Checkpoint, Head};
pub use device::{Cancel, Cpu, Device, Gpu};
pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use pollster::block_on;
pub use pooling::Pooling;
pub use tasks::answer::{Answer, AnswerOptions};
pub use tasks::classify::Classifier;
pub use tasks::embed::{EmbedOptions, Embedder};
pub use tasks::fill_mask::{FillMask, FillMaskOptions};
pub use tasks::next_sentence::NextSentence;
pub use tasks::question_answering::{Question, QuestionAnswering};
pub use tasks::rank::{Query, RankOptions, Reranker};
pub use tasks::run::{run, run_one};
pub use tasks::tag::{Aggregation, Tagger};
pub use tasks::text_model::{TextModel, TextPair};
pub use tasks::zero_shot::{ZeroShot, ZeroShotOptions};
pub use text::Tokenizer;
#[cfg(feature = "train")]
pub use train::{TrainOptions, Trainer};
pub use wgpu;
