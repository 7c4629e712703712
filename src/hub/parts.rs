//! The files that make up a model's directory.

use std::path::Path;

use crate::checkpoint::source::{WEIGHTS, read_small, shard_names};
use crate::error::Result;
use crate::sentence::Layout;

pub(super) const CONFIG: &str = "config.json";

/// The list of a sentence-transformers model's modules.
pub(super) use crate::sentence::MODULES;

/// The files of a tokenizer. One of them is enough.
pub(super) use crate::checkpoint::source::TOKENIZERS;

/// Files beside the weights that a model may have.
const COMPANIONS: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// The largest configuration of a module, in bytes.
const MAX_MODULE: u64 = 1 << 20;

/// The most bytes to download of a file: far more than files of its kind have, but not enough to fill a disk.
pub(super) fn most_bytes(file: &str) -> u64 {
    let is_weights = [".safetensors", ".bin"].iter().any(|end| file.ends_with(end));
    let is_index = file.ends_with(".index.json");
    if is_weights {
        64 << 30
    } else if is_index {
        100_000_000
    } else {
        64 << 20
    }
}

/// The result of going through a model's files.
pub(super) enum Parts {
    Whole,
    /// A file that an index names does not exist.
    Lacks(String),
    NoWeights,
}

/// The directories of a repository that hold a model, with a slash behind each: its root, and the one that modules.json names for the encoder, as in
/// sentence-transformers models of 2019 to 2021 (`0_Transformer/`). `have` says whether `dir` now has a file.
///
/// # Errors
/// The errors of `have`; [`Error::Config`](crate::Error::Config) for a modules.json that cannot be used.
pub(super) fn places(dir: &Path, have: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Vec<String>> {
    let encoder = layout(dir, have)?.and_then(|layout| layout.encoder());
    let mut places = Vec::new();
    for place in [Some(String::new()), encoder.map(|name| format!("{name}/"))].into_iter().flatten() {
        if have(&format!("{place}{CONFIG}"))? {
            places.push(place);
        }
    }
    Ok(places)
}

fn layout(dir: &Path, have: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Option<Layout>> {
    Layout::read(&mut |file| match have(file)? {
        true => read_small(&dir.join(file), MAX_MODULE).map(Some),
        false => Ok(None),
    })
}

/// Asks `have` for each file of a model: whether `dir` now has it. Weights come last, so that a model with weights is complete.
///
/// # Errors
/// The errors of `have`; [`Error::Config`](crate::Error::Config) and [`Error::Checkpoint`](crate::Error::Checkpoint) for lists of files that cannot be used.
pub(super) fn walk(dir: &Path, have: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Parts> {
    let places = places(dir, have)?;
    for place in &places {
        for file in COMPANIONS.iter().chain(&TOKENIZERS) {
            have(&format!("{place}{file}"))?;
        }
    }
    for names in layout(dir, have)?.iter().flat_map(Layout::files) {
        for name in names {
            if have(&name)? {
                break;
            }
        }
    }
    let mut found = Parts::NoWeights;
    for place in &places {
        match weights(dir, place, have)? {
            Parts::Whole => found = Parts::Whole,
            Parts::NoWeights => {}
            lacks => return Ok(lacks),
        }
    }
    Ok(found)
}

/// The same for the weights in one directory, in the order of the loader, so that the downloaded file is the one that it reads.
fn weights(dir: &Path, place: &str, have: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Parts> {
    for file in WEIGHTS.map(|name| format!("{place}{name}")) {
        if !have(&file)? {
            continue;
        }
        if file.ends_with(".json") {
            for shard in shard_names(&dir.join(&file))? {
                let shard = format!("{place}{shard}");
                if !have(&shard)? {
                    return Ok(Parts::Lacks(shard));
                }
            }
        }
        return Ok(Parts::Whole);
    }
    Ok(Parts::NoWeights)
}
