//! The files beside the weights of a model: those that a new model's directory takes over from another's.

use std::collections::BTreeSet;
use std::path::Path;

use super::module::ModuleWeights;
use super::source::read_small;
use super::staging::Staging;
use crate::error::{Error, Result};
use crate::sentence::{self, Layout};

/// The files that are read beside the weights. Those that exist are copied unchanged.
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// Files for people, which are copied too.
const DOCUMENTS: [&str; 4] = ["README.md", "LICENSE", "LICENSE.txt", "NOTICE"];

/// The largest of these files, in bytes. A multilingual tokenizer.json has about 20 MB.
const MAX_COMPANION: u64 = 256 << 20;

/// Begins the directory `out` of a model that comes from `src`, with all files that are read beside the weights. The files `others` belong to other kinds
/// of models.
///
/// # Errors
/// [`Error::Option`] if `out` has such a file that `src` lacks, or one of the `others`: it would be read with the new model.
pub(super) fn begin(src: &Path, out: &Path, others: &[&str]) -> Result<Staging> {
    let modules = layout(src)?.map(|layout| layout.files()).unwrap_or_default();
    let lists = COMPANIONS.iter().map(|name| vec![(*name).to_owned()]).chain(modules);
    let lists: BTreeSet<Vec<String>> = lists.collect();
    let here = |list: &Vec<String>| list.iter().find(|name| src.join(name).is_file()).cloned();
    let stale = lists.iter().filter(|list| here(list).is_none()).flatten().map(String::as_str);
    if let Some(stale) = stale.chain(others.iter().copied()).find(|name| out.join(name).exists()) {
        return Err(Error::Option {
            name: "output",
            problem: format!("{} has a {stale} of another model", out.display()),
            help: "Remove it, or give another directory".into(),
        });
    }
    let staging = Staging::begin(out)?;
    let present: BTreeSet<String> = lists.iter().filter_map(here).collect();
    for name in present {
        match name.strip_suffix("/pytorch_model.bin") {
            // The weights of a module become safetensors, like those of the model itself.
            Some(dir) => {
                let path = staging.path(&format!("{dir}/{}", ModuleWeights::FILE));
                ModuleWeights::open(&src.join(dir))?.write(&path)?;
            }
            None => copy([name.as_str()], src, &staging)?,
        }
    }
    Ok(staging)
}

/// The modules of a sentence-transformers directory.
pub(super) fn layout(src: &Path) -> Result<Option<Layout>> {
    Layout::read(&mut |name| sentence::read_if_there(&src.join(name)))
}

/// Copies the files for people.
pub(super) fn copy_documents(src: &Path, staging: &Staging) -> Result<()> {
    copy(DOCUMENTS, src, staging)
}

pub(super) fn copy<'a>(names: impl IntoIterator<Item = &'a str>, src: &Path, staging: &Staging) -> Result<()> {
    for name in names {
        let path = src.join(name);
        if path.is_file() {
            staging.write(name, &read_small(&path, MAX_COMPANION)?)?;
        }
    }
    Ok(())
}

/// Copies the files of `model` that the subdirectory `inner` does not have yet.
pub(super) fn copy_into(inner: &str, model: &Path, staging: &Staging) -> Result<()> {
    for name in COMPANIONS {
        let at = format!("{inner}/{name}");
        if model.join(name).is_file() && !staging.path(&at).exists() {
            staging.write(&at, &read_small(&model.join(name), MAX_COMPANION)?)?;
        }
    }
    Ok(())
}
