//! The files of the default model, compiled in.

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::text::{Tokenizer, TokenizerFiles};

const CONFIG: &[u8] = include_bytes!("../models/minilm-l6-qa/config.json");
const WEIGHTS: &[u8] = include_bytes!("../models/minilm-l6-qa/model.safetensors");
const VOCAB: &[u8] = include_bytes!("../models/minilm-l6-qa/vocab.txt");
const TOKENIZER_CONFIG: &[u8] = include_bytes!("../models/minilm-l6-qa/tokenizer_config.json");

/// Its configuration and weights, without a copy.
///
/// # Errors
/// Only after a faulty build.
pub fn checkpoint() -> Result<Checkpoint> {
    Checkpoint::from_bytes(CONFIG, WEIGHTS)
}

/// Writes it as a Hugging Face directory, for code that reads one.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
#[cfg(all(feature = "native", feature = "train"))]
pub fn write(dir: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| crate::Error::io("create", dir, e))?;
    let files = [
        ("config.json", CONFIG),
        ("model.safetensors", WEIGHTS),
        ("vocab.txt", VOCAB),
        ("tokenizer_config.json", TOKENIZER_CONFIG),
    ];
    files.into_iter().try_for_each(|(name, bytes)| crate::files::write_atomically(&dir.join(name), bytes))
}

/// Its tokenizer, for a model with this vocabulary size.
///
/// # Errors
/// Only after a faulty build.
pub fn tokenizer(vocab_size: usize) -> Result<Tokenizer> {
    let files = TokenizerFiles { vocab: Some(VOCAB), config: Some(TOKENIZER_CONFIG), ..Default::default() };
    Tokenizer::from_files(&files, vocab_size)
}
