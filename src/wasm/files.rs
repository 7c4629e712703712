//! The files of a model, which JavaScript writes as they arrive.

use std::borrow::Cow;
use std::collections::BTreeMap;
#[cfg(not(feature = "train"))]
use std::sync::Arc;

use js_sys::Uint8Array;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::text::{Tokenizer, TokenizerFiles};
#[cfg(not(feature = "train"))]
use crate::{
    checkpoint::module::ModuleWeights, device::Device, sentence::CrossEncoder, sentence::Sentence,
    tasks::embed::Embedder,
};

/// Files by their paths in the model's directory.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Files(BTreeMap<String, File>);

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    digest: Sha256,
    /// Whether its bytes are dropped as they arrive.
    is_skimmed: bool,
}

#[wasm_bindgen]
impl Files {
    /// An empty set of files.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a file, or begins it again. `size` is its length in bytes, if known.
    ///
    /// # Errors
    /// `memory` if there is too little memory for it.
    pub fn begin(&mut self, name: String, size: Option<f64>) -> Result<()> {
        // The old file is removed first, to free memory.
        self.0.remove(&name);
        let mut file = File::default();
        reserve(&name, &mut file.bytes, size.unwrap_or_default() as usize, true)?;
        self.0.insert(name, file);
        Ok(())
    }

    /// Appends to a file that was begun.
    ///
    /// # Errors
    /// `memory` if there is too little memory for it.
    pub fn write(&mut self, name: &str, chunk: &Uint8Array) -> Result<()> {
        let file = self.0.entry(name.to_owned()).or_default();
        if file.is_skimmed {
            file.digest.update(chunk.to_vec());
            return Ok(());
        }
        let (at, len) = (file.bytes.len(), chunk.length() as usize);
        reserve(name, &mut file.bytes, len, false)?;
        file.bytes.resize(at + len, 0);
        let Some(place) = file.bytes.get_mut(at..) else { return Ok(()) };
        chunk.copy_to(place);
        file.digest.update(place);
        Ok(())
    }

    /// Keeps only the digest of a file that was begun.
    pub fn skim(&mut self, name: &str) {
        if let Some(file) = self.0.get_mut(name) {
            file.is_skimmed = true;
            file.bytes = Vec::new();
        }
    }

    /// Drops all files except these.
    pub fn retain(&mut self, names: Vec<String>) {
        self.0.retain(|name, _| names.contains(name));
    }

    /// The SHA-256 of a file so far, in hexadecimal digits.
    pub fn digest(&self, name: &str) -> String {
        let digest = self.0.get(name).map(|file| file.digest.clone()).unwrap_or_default().finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn reserve(name: &str, bytes: &mut Vec<u8>, more: usize, exact: bool) -> Result<()> {
    let reserved = if exact { bytes.try_reserve_exact(more) } else { bytes.try_reserve(more) };
    reserved.map_err(|_| Error::Memory {
        what: format!("the file {name}"),
        need: bytes.len() as u64 + more as u64,
        have: bytes.capacity() as u64,
        help: "Use a smaller model, or one converted to i8".into(),
    })
}

/// Whether a file has weights of the model in `dir`, not of a module on top of it.
fn is_weights(name: &str, dir: Option<&str>) -> bool {
    let (place, name) = name.rsplit_once('/').map_or((None, name), |(place, name)| (Some(place), name));
    place == dir && name.ends_with(".safetensors")
}

impl Files {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|file| file.bytes.as_slice())
    }

    /// All files except the weights of the model itself.
    #[cfg(feature = "train")]
    pub(super) fn beside(&self) -> BTreeMap<String, Vec<u8>> {
        let beside = self.0.iter().filter(|(name, _)| !is_weights(name, None));
        beside.map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
    }

    /// The settings of a sentence-transformers model; for other models, the defaults.
    #[cfg(not(feature = "train"))]
    pub(super) fn sentence(&self) -> Result<Sentence> {
        Sentence::read(&mut |name| Ok(self.get(name).map(<[u8]>::to_vec)))
    }

    /// The settings of a cross-encoder of sentence-transformers; for other models, the defaults.
    #[cfg(not(feature = "train"))]
    pub(super) fn cross_encoder(&self) -> Result<CrossEncoder> {
        CrossEncoder::read(&mut |name| Ok(self.get(name).map(<[u8]>::to_vec)))
    }

    /// The sentence encoder with these settings.
    #[cfg(not(feature = "train"))]
    pub(super) fn embedder(mut self, sentence: Sentence, device: Arc<Device>) -> Result<Embedder> {
        let (checkpoint, tokenizer) = self.open(sentence.encoder.as_deref())?;
        let mut weights = |dir: &str| {
            let name = format!("{dir}/{}", ModuleWeights::FILE);
            let file = self.0.remove(&name).unwrap_or_default();
            ModuleWeights::held(file.bytes, &name)
        };
        Embedder::new(checkpoint, tokenizer, sentence, &mut weights, device)
    }

    /// Opens the model in the subdirectory `dir`, if it has one. It takes the weights without copying them.
    pub(super) fn open(&mut self, dir: Option<&str>) -> Result<(Checkpoint, Tokenizer)> {
        let path = |name: &str| dir.map_or(name.to_owned(), |dir| format!("{dir}/{name}"));
        let config = self.get(&path("config.json")).ok_or_else(|| Error::Config {
            file: path("config.json"),
            problem: "it is missing".into(),
            help: "Give the files of a Hugging Face BERT model".into(),
        })?;
        let config = config.to_vec();
        let names: Vec<String> = self.0.keys().filter(|name| is_weights(name, dir)).cloned().collect();
        let shards = names.into_iter().filter_map(|name| self.0.remove(&name).map(|file| (name, file.bytes.into())));
        let checkpoint = Checkpoint::from_files(&config, shards.collect::<Vec<(String, Cow<'static, [u8]>)>>())?;
        let files = TokenizerFiles {
            json: self.get(&path("tokenizer.json")),
            vocab: self.get(&path("vocab.txt")),
            config: self.get(&path("tokenizer_config.json")),
            special_tokens_map: self.get(&path("special_tokens_map.json")),
            added_tokens: self.get(&path("added_tokens.json")),
            model: Some(&config),
        };
        let tokenizer = Tokenizer::from_files(&files, checkpoint.config().vocab_size)?;
        // The file of a Unigram model takes 17 MB, and uploading the weights needs memory.
        self.0.remove(&path("tokenizer.json"));
        Ok((checkpoint, tokenizer))
    }
}
