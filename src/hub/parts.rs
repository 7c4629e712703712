//! The files that make up a model's directory.

use std::path::Path;

use crate::checkpoint::source::{WEIGHTS, read_small, shard_names};
use crate::error::Result;
use crate::sentence::Layout;

pub(super) const CONFIG: &str = "config.json";

/// The files of a tokenizer. One of them is enough.
pub(super) use crate::checkpoint::TOKENIZERS;

/// Files beside the weights that a model may have.
const COMPANIONS: [&str; 4] = [CONFIG, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

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

/// Calls `have` for each file of a model; it returns whether `dir` now has the file. The weights come last, so once
/// they exist, everything exists.
///
/// # Errors
/// Those of `have`; [`Error::Config`] and [`Error::Checkpoint`] for invalid lists of files.
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
    // In the order of the loader, so that the downloaded file is the one that it reads.
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
