//! LoRA adapters in the format of `peft`: two thin matrices for each adapted linear layer, and a whole head (Hu et al.,
//! arXiv:2106.09685).
//!
//! An adapter consists of two files. `adapter_config.json` has the rank, scale and layers. `adapter_model.safetensors`
//! has F32 tensors with names that begin with `base_model.model.MODULE`: `lora_A.weight` `[r, in]` and `lora_B.weight`
//! `[out, r]` for each adapted layer, and the tensors of the head. Other variants of LoRA in peft, and DoRA, can be
//! read too (`kinds`). Files that are written here also have the base's SHA-256 in their metadata; then no other base
//! is accepted.

use serde::{Deserialize, Serialize};

use super::header::broken;
use super::names::{self, Head};
use crate::config::Config;
use crate::error::{Error, Remedy, Result, clip, help};

mod config;
#[cfg(feature = "native")]
pub(crate) mod directory;
mod file;
mod kinds;
mod merge;
mod patterns;

pub use kinds::Beside;

#[cfg(feature = "native")]
pub(crate) use merge::Eight;
#[cfg(feature = "train")]
pub(crate) use merge::merge;

/// The low-rank update and its linear layers: `W + (alpha / r) B A`, with A `[r, in]` and B `[out, r]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lora {
    /// The rank.
    pub r: usize,
    /// The scale times the rank.
    pub alpha: f32,
    /// The dropout of A's input, only in training.
    pub dropout: f32,
    /// The linear layers, by the ends of their names.
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { r: 8, alpha: 16.0, dropout: 0.0, targets: vec!["query".into(), "value".into()] }
    }
}

impl Lora {
    /// Whether the module with this full name is adapted: it equals a target, or ends with a dot and a target.
    pub fn applies_to(&self, module: &str) -> bool {
        self.targets.iter().any(|target| {
            module.strip_suffix(target.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }

    /// The factor of `B A`.
    pub fn scale(&self) -> f32 {
        self.alpha / self.r as f32
    }

    /// Checks the numbers, and that every target is a linear layer of this model's encoder, pooler or head.
    ///
    /// # Errors
    /// [`Error::Option`] names the value that is out of range, or the target that does not exist.
    pub fn check(&self, config: &Config) -> Result<()> {
        self.check_numbers()?;
        let modules: Vec<String> = modules(config).collect();
        let unknown = self.targets.iter().find(|target| {
            let one = Self { targets: vec![(*target).clone()], ..self.clone() };
            !modules.iter().any(|module| one.applies_to(module))
        });
        match unknown {
            None if !self.targets.is_empty() => Ok(()),
            unknown => Err(Error::Option {
                name: "lora_targets",
                problem: unknown
                    .map_or("no target is given".into(), |t| format!("{:?} matches no linear layer", clip(t))),
                help: "Give some of query, key, value, attention.output.dense, intermediate.dense, output.dense".into(),
            }),
        }
    }

    /// Checks rank, scale and dropout.
    ///
    /// # Errors
    /// [`Error::Option`] names the one that is out of range.
    pub fn check_numbers(&self) -> Result<()> {
        match self.fault() {
            Some((name, problem, help)) => Err(Error::Option { name, problem, help: help.into() }),
            None => Ok(()),
        }
    }

    /// The fault in the numbers: the name of an option, the problem and the help.
    fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        if !(1..=MOST_RANK).contains(&self.r) {
            return Some(("lora_r", format!("the rank {} is not in 1..={MOST_RANK}", self.r), "Give one such as 8"));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Some(("lora_alpha", format!("{} is not a positive number", self.alpha), "Give one such as 16"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Some(("lora_dropout", format!("{} is not in 0..1", self.dropout), "Give one such as 0.1, or 0"));
        }
        None
    }
}

/// The highest rank. No layer has so many inputs, so a higher rank would not be low.
const MOST_RANK: usize = 1 << 15;

/// The linear layers that an adapter may change: those of the encoder, the pooler and the heads.
fn modules(config: &Config) -> impl Iterator<Item = String> {
    let heads = [Head::PreTraining, Head::QuestionAnswering, Head::SequenceClassification];
    let mut seen = std::collections::BTreeSet::new();
    heads.into_iter().flat_map(|head| names::params(config, head)).filter_map(move |param| {
        let module = param.name.strip_suffix(".weight").filter(|_| is_linear(&param))?.to_owned();
        seen.insert(module.clone()).then_some(module)
    })
}

/// Whether a tensor is the matrix of a linear layer. The decoder of words is not, because it is the table of word
/// embeddings.
fn is_linear(param: &names::Param) -> bool {
    !param.is_vector && !param.name.contains("embeddings.") && param.name != names::OWN_DECODER
}

/// A reference to the model that an adapter belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// Its location: a directory, absolute or relative to the adapter's, or the name of a model on the Hub.
    pub model: String,
    /// The model's revision on the Hub, if it is not the main one.
    pub revision: Option<String>,
    /// Its [`Checkpoint::sha256`](super::Checkpoint::sha256), if known.
    pub sha256: Option<String>,
}

/// A tensor of an adapter. Its name is that in a model in training, such as
/// `bert.encoder.layer.0.attention.self.query.lora_A.weight` or `classifier.bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name, such as `classifier.bias`.
    pub name: String,
    /// The rows and columns, or the length of a vector.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub values: Vec<f32>,
}

/// The names of an adapter's files.
pub const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

pub(crate) const A: &str = ".lora_A.weight";
pub(crate) const B: &str = ".lora_B.weight";

/// A low-rank adapter with the head that was trained with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The rank, the scale and the adapted layers.
    pub lora: Lora,
    /// The model that the adapter belongs to.
    pub base: Base,
    /// The head of the adapted model, if the file names it.
    pub head: Option<Head>,
    /// A and B of each adapted layer, and the whole tensors.
    pub tensors: Vec<Tensor>,
    /// The parts that a plain adapter does not have.
    pub beside: Beside,
}

impl Adapter {
    /// Reads the contents of `adapter_config.json` and `adapter_model.safetensors`. `files` are their names in errors.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Checkpoint`] for files that are malformed or do not fit together,
    /// [`Error::Unsupported`] for other kinds of adapters.
    pub fn read(config_json: &[u8], weights: &[u8], files: [&str; 2]) -> Result<Self> {
        let settings = config::parse(config_json, files[0])?;
        file::read_bytes(settings, weights, files[1])
    }

    /// The contents of `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Checkpoint`] for an adapter that [`read`](Self::read) would refuse;
    /// [`Error::Unsupported`] for one that is not plain.
    pub fn write(&self) -> Result<[Vec<u8>; 2]> {
        if !self.beside.is_plain() {
            return Err(Error::Unsupported {
                what: "to write an adapter that is not a plain LoRA".into(),
                help: help!("Instead, ", Remedy::MergeAdapter),
            });
        }
        self.lora.check_numbers()?;
        self.check_pairs(FILES[1])?;
        Ok([config::write(self)?, file::write(self)])
    }

    /// The name, A and B of each adapted layer.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.tensors.iter().filter_map(|a| {
            let module = a.name.strip_suffix(A)?;
            let b = self.tensors.iter().find(|t| t.name.strip_suffix(B) == Some(module))?;
            Some((module, a, b))
        })
    }

    /// The tensors that replace those of the base, or that the base lacks.
    pub(super) fn whole(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(|t| !t.name.ends_with(A) && !t.name.ends_with(B))
    }

    /// Checks that every A has a B of the same rank, and that the adapter does not also replace the layer.
    fn check_pairs(&self, file: &str) -> Result<()> {
        let fault = |name: &str, problem: String| Err(broken(file, Some(name), problem, OTHER));
        let find = |name: String| self.tensors.iter().find(|t| t.name == name);
        for tensor in &self.tensors {
            let name = clip(&tensor.name);
            if tensor.shape.iter().fold(1usize, |n, d| n.saturating_mul(*d)) != tensor.values.len() {
                return fault(&name, format!("{name} {:?} has {} values", tensor.shape, tensor.values.len()));
            }
            let (module, is_a) = match (tensor.name.strip_suffix(A), tensor.name.strip_suffix(B)) {
                (Some(module), _) => (module, true),
                (_, Some(module)) => (module, false),
                _ => continue,
            };
            let kind = if is_a { B } else { A };
            let Some(other) = find(format!("{module}{kind}")) else {
                return fault(&name, format!("{name} is there, {}{kind} is not", clip(module)));
            };
            if !module.contains("embeddings.") && find(format!("{module}.weight")).is_some() {
                return fault(&name, format!("{name} is there, and {}.weight is there whole", clip(module)));
            }
            let rank = tensor.shape.get(usize::from(!is_a)).filter(|_| tensor.shape.len() == 2);
            let own = other.shape.get(usize::from(is_a)).copied().unwrap_or_default();
            let r = if self.beside.is_folded { own } else { self.lora.r };
            if rank != Some(&r) || tensor.values.is_empty() {
                let is = if is_a { "[r, inputs]" } else { "[outputs, r]" };
                return fault(&name, format!("{name} has shape {:?}, not {is} with r = {r}", tensor.shape));
            }
        }
        Ok(())
    }

    /// Checks that the adapter is complete, and that a model of this configuration has all tensors that it changes, in
    /// these shapes. `file` is the adapter's name in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] names the tensor.
    pub fn check(&self, config: &Config, file: &str) -> Result<()> {
        self.check_pairs(file)?;
        let fault = |name: &str, problem: String| {
            let help = "Give the base that the adapter was trained on, and the config.json of the trained model";
            Err(broken(file, Some(name), problem, help))
        };
        let unknown = |name: &str| fault(name, format!("{} is of no layer of this model", clip(name)));
        for (module, a, b) in self.pairs() {
            // Linear layers and tables of embeddings.
            let is_adaptable = |param: &names::Param| !param.is_vector && param.name != names::OWN_DECODER;
            let param = names::param(config, &format!("{module}.weight")).filter(is_adaptable);
            let Some(param) = param else { return unknown(&a.name) };
            for (tensor, at, has) in [(a, 1, param.cols), (b, 0, param.rows)] {
                if tensor.shape.get(at) != Some(&has) {
                    let problem = format!("{} has shape {:?}, the layer has {has} there", tensor.name, tensor.shape);
                    return fault(&tensor.name, problem);
                }
            }
        }
        for tensor in self.whole().chain(&self.beside.added) {
            let Some(param) = names::param(config, &tensor.name) else { return unknown(&tensor.name) };
            let wanted = if param.is_vector { vec![param.cols] } else { vec![param.rows, param.cols] };
            if tensor.shape != wanted {
                let (name, is) = (&tensor.name, &tensor.shape);
                return fault(name, format!("{name} has shape {is:?}, the configuration asks for {wanted:?}"));
            }
        }
        Ok(())
    }
}

/// The beginning of the names of the encoder's tensors, which a model that is only an encoder omits.
const BERT: &str = "bert.";

/// The remedy if the files are not those of an adapter.
const OTHER: &str = "Give the adapter_config.json and adapter_model.safetensors that were saved together";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_whole_ends_of_names() {
        let lora = Lora { targets: vec!["query".into(), "output.dense".into()], ..Lora::default() };
        assert!(lora.applies_to("bert.encoder.layer.0.attention.self.query"));
        assert!(lora.applies_to("query"));
        assert!(lora.applies_to("bert.encoder.layer.0.attention.output.dense"));
        assert!(lora.applies_to("bert.encoder.layer.0.output.dense"));
        assert!(!lora.applies_to("bert.encoder.layer.0.intermediate.dense"));
        assert!(!lora.applies_to("bert.encoder.layer.0.attention.self.prequery"));
        assert_eq!(lora.scale(), 2.0);
    }

    /// The adapter of one layer's query, with a classifier.
    fn adapter() -> Adapter {
        let tensor = |name: &str, shape: &[usize], first: f32| Tensor {
            name: name.into(),
            shape: shape.into(),
            values: (0..shape.iter().product()).map(|i| first + i as f32 / 8.0).collect(),
        };
        let query = "bert.encoder.layer.0.attention.self.query";
        Adapter {
            lora: Lora { r: 2, alpha: 3.5, dropout: 0.1, targets: vec!["query".into()] },
            base: Base { model: "../base".into(), revision: None, sha256: Some("0a".repeat(32)) },
            head: Some(Head::SequenceClassification),
            tensors: vec![
                tensor(&format!("{query}{A}"), &[2, 4], 1.0),
                tensor(&format!("{query}{B}"), &[4, 2], -1.0),
                tensor("bert.pooler.dense.bias", &[4], 0.5),
                tensor("classifier.weight", &[3, 4], 7.0),
            ],
            beside: Beside::default(),
        }
    }

    fn config() -> Config {
        let json = br#"{"hidden_size": 4, "num_attention_heads": 2, "num_hidden_layers": 1, "num_labels": 3}"#;
        Config::from_json(json, "config.json").unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let adapter = adapter();
        let [config_json, weights] = adapter.write().unwrap();
        let read = Adapter::read(&config_json, &weights, FILES).unwrap();
        assert_eq!(read, adapter);
        assert_eq!(read.write().unwrap(), [config_json.clone(), weights]);
        read.check(&config(), FILES[1]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&config_json).unwrap();
        assert_eq!(json["modules_to_save"], serde_json::json!(["classifier", "pooler"]));
        assert_eq!(json["lora_dropout"].to_string(), "0.1");

        let mut bare = adapter.clone();
        bare.tensors.truncate(3);
        bare.head = Some(Head::Encoder);
        let [json, weights] = bare.write().unwrap();
        let named = String::from_utf8_lossy(&weights).contains("base_model.model.encoder.layer.0.");
        assert!(named, "an encoder alone has no prefix");
        assert_eq!(Adapter::read(&json, &weights, FILES).unwrap(), bare);
    }

    #[test]
    fn options_are_checked_against_a_model() {
        let says = |lora: Lora| lora.check(&config()).map_err(|e| e.to_string());
        let with = |r, alpha, dropout| says(Lora { r, alpha, dropout, ..Lora::default() }).unwrap_err();
        says(Lora::default()).unwrap();
        assert!(with(0, 16.0, 0.0).starts_with("lora_r"));
        assert!(with(1 << 20, 16.0, 0.0).starts_with("lora_r"));
        assert!(with(8, f32::NAN, 0.0).starts_with("lora_alpha"));
        assert!(with(8, 0.0, 0.0).starts_with("lora_alpha"));
        assert!(with(8, 16.0, 1.0).starts_with("lora_dropout"));
        let targets =
            |names: &[&str]| says(Lora { targets: names.iter().map(|n| (*n).into()).collect(), ..Lora::default() });
        targets(&["query", "attention.output.dense", "pooler.dense", "classifier"]).unwrap();
        assert!(targets(&["query", "q_proj"]).unwrap_err().contains("q_proj"));
        assert!(targets(&["word_embeddings"]).unwrap_err().contains("word_embeddings"));
        assert!(targets(&[]).is_err());
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refused = |change: &dyn Fn(&mut Adapter), says: &str| {
            let mut adapter = adapter();
            change(&mut adapter);
            let text = adapter.check(&config(), "a").unwrap_err().to_string();
            assert!(text.contains(says), "{says}: {text}");
        };
        refused(&|a| drop(a.tensors.remove(0)), "lora_A.weight is not");
        refused(&|a| drop(a.tensors.remove(1)), "lora_B.weight is not");
        refused(&|a| a.lora.r = 4, "with r = 4");
        refused(&|a| a.tensors[0].shape = vec![8], "[r, inputs]");
        refused(&|a| a.tensors[2].shape = vec![usize::MAX, 2], "has 4 values");
        refused(&|a| a.tensors[3].shape = vec![4, 3], "asks for [3, 4]");
        refused(&|a| a.tensors[3].name = "score.weight".into(), "score.weight is of no layer");
        refused(&|a| a.tensors[3].name = "bert.encoder.layer.0.attention.self.query.weight".into(), "is there whole");
        let rename = |a: &mut Adapter, module: &str| {
            (a.tensors[0].name, a.tensors[1].name) = (format!("{module}{A}"), format!("{module}{B}"));
        };
        refused(&|a| rename(a, "bert.encoder.layer.1.attention.self.query"), "is of no layer");
        refused(&|a| rename(a, "bert.embeddings.word_embeddings"), "the layer has 30522 there");
        refused(&|a| rename(a, "bert.embeddings.LayerNorm"), "is of no layer");
        refused(&|a| rename(a, "bert.encoder.layer.0.intermediate.dense"), "the layer has 3072 there");
    }
}
