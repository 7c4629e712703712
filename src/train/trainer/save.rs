//! Saves a trained model as a Hugging Face directory, which transformers and this crate can load.

#[cfg(feature = "native")]
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::checkpoint::adapter::{self, A, Adapter, B, Base, Tensor, merge};
use crate::checkpoint::names::{self, Param};
use crate::checkpoint::{Head, write};
#[cfg(feature = "native")]
use crate::checkpoint::{begin_beside, read_back};
use crate::config::ProblemType;
use crate::error::{Error, Result, clip_message};
use crate::tensor::DType;
use crate::train::{Method, trainer::step::Trainer};

/// The purpose of a trained model, for its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The head that was trained.
    pub head: Head,
    /// The names of a classifier's classes, by id.
    pub labels: Option<&'a [String]>,
    /// The kind of labels of a sequence classifier.
    pub kind: Option<ProblemType>,
}

/// The `config.json` of the trained model, made from that of the base. It drops the keys that describe the classes of
/// the base's head, because transformers would size any head by them. Other keys are kept.
///
/// # Errors
/// [`Error::Config`] if the base's is not a JSON object; `file` is its name.
pub fn config(base: &[u8], file: &str, purpose: Purpose<'_>) -> Result<Vec<u8>> {
    let malformed = |problem: String| Error::Config {
        file: file.into(),
        problem,
        help: "Give the config.json that was saved with the model".into(),
    };
    let mut config: Map<String, Value> = serde_json::from_slice(base).map_err(|e| malformed(clip_message(&e)))?;
    for stale in ["id2label", "label2id", "num_labels", "problem_type"] {
        config.remove(stale);
    }
    let mut set = |key: &str, value: Value| drop(config.insert(key.into(), value));
    set("architectures", json!([purpose.head.architecture()]));
    if let Some(labels) = purpose.labels {
        let by_id: Map<String, Value> = labels.iter().enumerate().map(|(id, l)| (id.to_string(), json!(l))).collect();
        let by_label: Map<String, Value> = labels.iter().enumerate().map(|(id, l)| (l.clone(), json!(id))).collect();
        set("id2label", by_id.into());
        set("label2id", by_label.into());
    }
    if let Some(kind) = purpose.kind {
        set("problem_type", kind.name().into());
    }
    let dtype = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    config.insert(dtype.into(), "float32".into());
    // It describes how the base's weights were stored.
    config.remove("quantization");
    let mut text = serde_json::to_vec_pretty(&config).map_err(|e| malformed(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// The bytes of `model.safetensors` for the current model, in f32. Adapters are merged into their matrices.
///
/// # Errors
/// [`Error::Memory`]; [`Error::Diverged`] for a value that is not finite; the device's errors.
pub async fn weights(trainer: &Trainer) -> Result<Vec<u8>> {
    let checkpoint = trainer.checkpoint();
    let mut order: Vec<_> = names::params(checkpoint.config(), trainer.head()).map(|p| planned(&p)).collect();
    order.sort_by(write::order);
    let mut bytes = write::header(&order);
    let more = order.iter().map(write::Planned::size).sum::<u64>();
    bytes.try_reserve_exact(more as usize).map_err(|_| Error::Memory {
        what: "the trained model's file".into(),
        need: more,
        have: 0,
        help: "Train a smaller model, or by a method that changes less of it".into(),
    })?;
    for tensor in &order {
        let mut values = trainer.parameter(&tensor.name).await?;
        let module = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
        let [a, b] = [A, B].map(|kind| format!("{module}{kind}"));
        if let Method::Lora(lora) = &trainer.options().method
            && trainer.names().any(|name| name == a)
        {
            let cols = tensor.shape.last().map_or(1, |cols| *cols as usize);
            let (a, b) = (trainer.parameter(&a).await?, trainer.parameter(&b).await?);
            merge(&mut values, cols, [&a, &b], lora.scale());
        }
        trainer.check_finite(&tensor.name, &values)?;
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    Ok(bytes)
}

/// The current adapter of a model that is trained by [`Method::Lora`]: A and B of each adapted layer, and the whole
/// head. `base` refers to the model that it was trained on; a missing SHA-256 is filled in.
///
/// # Errors
/// [`Error::Option`] if the model is trained by another method; [`Error::Diverged`] for a value that is not finite; the
/// device's errors.
pub async fn adapter(trainer: &Trainer, base: Base) -> Result<Adapter> {
    let Method::Lora(lora) = &trainer.options().method else {
        return Err(Error::Option {
            name: "method",
            problem: "the model is trained without adapters".into(),
            help: "Train it by the method lora, or save the whole model".into(),
        });
    };
    let checkpoint = trainer.checkpoint();
    let mut tensors = Vec::new();
    for name in trainer.names() {
        let values = trainer.parameter(name).await?;
        trainer.check_finite(name, &values)?;
        let shape = match names::param(checkpoint.config(), name) {
            Some(Param { cols, is_vector: true, .. }) => vec![cols],
            Some(Param { rows, cols, .. }) => vec![rows, cols],
            None if name.ends_with(A) => vec![lora.r, values.len() / lora.r],
            None => vec![values.len() / lora.r, lora.r],
        };
        tensors.push(Tensor { name: name.into(), shape, values });
    }
    if trainer.head().has_language_model() {
        // peft needs all tensors of the head's module: the decoder, even if it equals the table of words, and its bias
        // under both names.
        let of = |name: &'static str| tensors.iter().find(|tensor| tensor.name == name).cloned();
        let bias =
            of("cls.predictions.bias").map(|bias| Tensor { name: "cls.predictions.decoder.bias".into(), ..bias });
        let has_decoder = of(names::OWN_DECODER).is_some();
        tensors.extend(bias);
        if !has_decoder {
            let values = trainer.parameter("bert.embeddings.word_embeddings.weight").await?;
            let shape = vec![checkpoint.config().vocab_size, checkpoint.config().hidden_size];
            tensors.push(Tensor { name: names::OWN_DECODER.into(), shape, values });
        }
    }
    let base = Base { sha256: base.sha256.or_else(|| Some(checkpoint.sha256())), ..base };
    let beside = adapter::Beside::default();
    Ok(Adapter { lora: lora.clone(), base, head: Some(trainer.head()), tensors, beside })
}

/// The files of the current model, with their names, except its configuration and tokenizer: its weights, or an adapter
/// of `base` that is not to be `merged` into them.
///
/// # Errors
/// As for [`weights`] and [`adapter()`].
pub async fn model_files(trainer: &Trainer, base: Base, merged: bool) -> Result<Vec<(String, Vec<u8>)>> {
    match &trainer.options().method {
        Method::Lora(_) if !merged => {
            let texts = adapter(trainer, base).await?.write()?;
            Ok(adapter::FILES.map(str::to_owned).into_iter().zip(texts).collect())
        }
        _ => Ok(vec![(WEIGHTS.into(), weights(trainer).await?)]),
    }
}

/// Writes a model with its head to the directory `out`, completely or not at all: its [`weights`], its configuration,
/// and all files of the base's directory that are read beside the weights.
///
/// # Errors
/// [`Error::Io`]; [`Error::Option`] if `out` has files of another model.
#[cfg(feature = "native")]
pub fn save(base: &Path, out: &Path, config: &[u8], (head, weights): (Head, &[u8])) -> Result<()> {
    let staging = begin_beside(base, out)?;
    staging.write(WEIGHTS, weights)?;
    staging.write("config.json", config)?;
    read_back(staging.dir(), head)?;
    staging.commit()
}

const WEIGHTS: &str = "model.safetensors";

fn planned(Param { name, rows, cols, is_vector, .. }: &Param) -> write::Planned {
    let [rows, cols] = [rows, cols].map(|n| *n as u32);
    let shape = if *is_vector { vec![cols] } else { vec![rows, cols] };
    write::Planned { name: name.clone(), dtype: DType::F32, shape }
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::config::Config;
    use crate::device::{Cpu, Device};
    use crate::train::TrainOptions;

    #[test]
    fn a_base_of_another_head_becomes_a_classifier() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tasks/mlm");
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("classifier");
        let labels = ["no".to_owned(), "yes".into(), "perhaps".into()];
        let purpose =
            Purpose { head: Head::SequenceClassification, labels: Some(&labels), kind: Some(ProblemType::MultiLabel) };
        let json = config(&std::fs::read(base.join("config.json")).unwrap(), "config.json", purpose).unwrap();
        let parsed = Config::from_json(&json, "config.json").unwrap();
        let checkpoint = Checkpoint::open(&base).unwrap().recast(parsed, |name| !name.starts_with("bert.")).unwrap();
        let trainer =
            Trainer::new(checkpoint, purpose.head, Device::Cpu(Cpu::new(1)), TrainOptions::default()).unwrap();
        save(&base, &out, &json, (purpose.head, &crate::block_on(weights(&trainer)).unwrap())).unwrap();

        let opened = Checkpoint::open(&out).unwrap();
        opened.require(purpose.head).unwrap();
        assert_eq!(opened.head(), purpose.head);
        assert_eq!((opened.config().num_labels(), opened.config().label(2)), (3, "perhaps".into()));
        assert_eq!(opened.config().problem_type.as_deref(), Some("multi_label_classification"));
        let mut count = 0;
        for param in names::params(opened.config(), purpose.head) {
            let values = crate::block_on(trainer.parameter(&param.name)).unwrap();
            assert_eq!(opened.get(&param.name).unwrap().to_f32(), values, "{}", param.name);
            count += 1;
        }
        assert_eq!(opened.tensors().count(), count, "and no others");
        assert_eq!(std::fs::read(out.join("vocab.txt")).unwrap(), std::fs::read(base.join("vocab.txt")).unwrap());
        assert_eq!(config(b"[]", "config.json", purpose).unwrap_err().code(), "config");
    }
}
