//! Which files make a model's directory.

use std::path::Path;

use crate::checkpoint::source::{WEIGHTS, read_small, shard_names};
use crate::error::Result;
use crate::sentence::Layout;

pub(super) const CONFIG: &str = "config.json";

/// Any of these makes a tokenizer.
pub(super) use crate::checkpoint::TOKENIZERS;

/// What stands beside the weights where it is there.
const COMPANIONS: [&str; 4] = [CONFIG, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// No module's configuration is larger.
const MAX_MODULE: u64 = 1 << 20;

/// The most bytes that are fetched of a file: by far more than files of its kind have, and no more than a disk can take.
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

/// What a walk through a model's files found.
pub(super) enum Parts {
    Whole,
    /// A file that an index names is not there.
    Lacks(String),
    NoWeights,
}

/// Asks `have` for each file of a model, whether `dir` has it then, the weights last: once they are there, so is all
/// else.
///
/// # Errors
/// Those of `have`; [`Error::Config`] and [`Error::Checkpoint`] for lists of files that cannot be used.
pub(super) fn walk(dir: &Path, have: &mut dyn FnMut(&str) -> Result<bool>) -> Result<Parts> {
    for file in COMPANIONS.iter().chain(&TOKENIZERS) {
        have(file)?;
    }
    let modules = Layout::read(&mut |file| match have(file)? {
        true => read_small(&dir.join(file), MAX_MODULE).map(Some),
        false => Ok(None),
    })?;
    for names in modules.iter().flat_map(Layout::files) {
        for name in names {
            if have(&name)? {
                break;
            }
        }
    }
    // In the loader's order: what it takes is what is fetched.
    for file in WEIGHTS {
        if !have(file)? {
            continue;
        }
        if file.ends_with(".json") {
            for shard in shard_names(&dir.join(file))? {
                if !have(&shard)? {
                    return Ok(Parts::Lacks(shard));
                }
            }
        }
        return Ok(Parts::Whole);
    }
    Ok(Parts::NoWeights)
}
