//! Which files make a model's directory.

use std::path::Path;

use serde::Deserialize;

use super::id::is_path;
use crate::checkpoint::source::{INDEX, read_small, shard_names};
use crate::error::{Error, Result, clip, clip_message};

pub(super) const CONFIG: &str = "config.json";

/// Any of these makes a tokenizer.
pub(super) const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];

/// What stands beside the weights where it is there.
const COMPANIONS: [&str; 6] = [
    CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    MODULES,
    "sentence_bert_config.json",
];

/// The list that makes a directory one of sentence-transformers.
const MODULES: &str = "modules.json";

const WEIGHTS: &str = "model.safetensors";

/// No list of modules is longer; two or three are usual.
const MOST_MODULES: usize = 100;

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
    if have(MODULES)? {
        for config in module_configs(&dir.join(MODULES))? {
            have(&config)?;
        }
    }
    if have(WEIGHTS)? {
        return Ok(Parts::Whole);
    }
    if !have(INDEX)? {
        return Ok(Parts::NoWeights);
    }
    for shard in shard_names(&dir.join(INDEX))? {
        if !have(&shard)? {
            return Ok(Parts::Lacks(shard));
        }
    }
    Ok(Parts::Whole)
}

/// The configurations of the modules in directories of their own, such as `1_Pooling/config.json`.
fn module_configs(path: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Module {
        #[serde(default)]
        path: String,
    }
    let broken = |problem: String| Error::Config {
        file: path.display().to_string(),
        problem,
        mend: "Save the model again with sentence-transformers".into(),
    };
    let modules: Vec<Module> =
        serde_json::from_slice(&read_small(path, 1 << 20)?).map_err(|e| broken(clip_message(&e)))?;
    if modules.len() > MOST_MODULES {
        return Err(broken(format!("it has more than {MOST_MODULES} modules")));
    }
    let own = modules.into_iter().map(|m| m.path).filter(|path| !path.is_empty());
    own.map(|path| match is_path(&path) {
        true => Ok(format!("{path}/config.json")),
        false => Err(broken(format!("{:?} is not the directory of a module", clip(&path)))),
    })
    .collect()
}
