//! The tensors of a BERT checkpoint: their names and shapes, in one place.
//!
//! Names are those that `transformers` saves: encoder tensors begin with `bert.` and LayerNorm has `weight` and `bias`.
//! Files without the prefix, and old ones with `gamma` and `beta`, are found by `spellings`.

use crate::config::Config;

/// What stands on top of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Head {
    /// Nothing: hidden states alone.
    Encoder,
    /// Start and end logits for extractive question answering: `qa_outputs`.
    QuestionAnswering,
}

impl Head {
    /// The class of `transformers` that has this head.
    pub const fn architecture(self) -> &'static str {
        match self {
            Head::Encoder => "BertModel",
            Head::QuestionAnswering => "BertForQuestionAnswering",
        }
    }

    fn specs(self) -> &'static [Spec] {
        match self {
            Head::Encoder => &[],
            Head::QuestionAnswering => &QUESTION_ANSWERING,
        }
    }
}

/// A tensor that a model has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// As `transformers` saves it.
    pub name: String,
    /// Rows and columns; one row for a vector.
    pub rows: usize,
    pub cols: usize,
    /// Whether it is a vector in the file, of one dimension.
    pub is_vector: bool,
    /// Whether the i8 format stores it in 8 bits, with one scale a row: matrices of the encoder and word embeddings.
    pub in_i8: bool,
}

#[derive(Clone, Copy)]
enum Dim {
    Hidden,
    FeedForward,
    Vocab,
    Positions,
    Types,
    /// Start and end.
    Span,
}
use Dim::{FeedForward, Hidden, Positions, Span, Types, Vocab};

struct Spec {
    name: &'static str,
    /// None for a vector.
    rows: Option<Dim>,
    cols: Dim,
    in_i8: bool,
}

/// A matrix that is kept in 8 bits where the format is i8.
const fn matrix(name: &'static str, rows: Dim, cols: Dim) -> Spec {
    Spec { name, rows: Some(rows), cols, in_i8: true }
}

/// A matrix that is small, or that decides too much to be rounded.
const fn exact(name: &'static str, rows: Dim, cols: Dim) -> Spec {
    Spec { name, rows: Some(rows), cols, in_i8: false }
}

const fn vector(name: &'static str, cols: Dim) -> Spec {
    Spec { name, rows: None, cols, in_i8: false }
}

const EMBEDDINGS: [Spec; 5] = [
    matrix("embeddings.word_embeddings.weight", Vocab, Hidden),
    exact("embeddings.position_embeddings.weight", Positions, Hidden),
    exact("embeddings.token_type_embeddings.weight", Types, Hidden),
    vector("embeddings.LayerNorm.weight", Hidden),
    vector("embeddings.LayerNorm.bias", Hidden),
];

/// After `encoder.layer.N.`
const LAYER: [Spec; 16] = [
    matrix("attention.self.query.weight", Hidden, Hidden),
    vector("attention.self.query.bias", Hidden),
    matrix("attention.self.key.weight", Hidden, Hidden),
    vector("attention.self.key.bias", Hidden),
    matrix("attention.self.value.weight", Hidden, Hidden),
    vector("attention.self.value.bias", Hidden),
    matrix("attention.output.dense.weight", Hidden, Hidden),
    vector("attention.output.dense.bias", Hidden),
    vector("attention.output.LayerNorm.weight", Hidden),
    vector("attention.output.LayerNorm.bias", Hidden),
    matrix("intermediate.dense.weight", FeedForward, Hidden),
    vector("intermediate.dense.bias", FeedForward),
    matrix("output.dense.weight", Hidden, FeedForward),
    vector("output.dense.bias", Hidden),
    vector("output.LayerNorm.weight", Hidden),
    vector("output.LayerNorm.bias", Hidden),
];

/// Not every checkpoint has it, and question answering does not need it.
const POOLER: [Spec; 2] = [exact("pooler.dense.weight", Hidden, Hidden), vector("pooler.dense.bias", Hidden)];

const QUESTION_ANSWERING: [Spec; 2] = [exact("qa_outputs.weight", Span, Hidden), vector("qa_outputs.bias", Span)];

const PREFIX: &str = "bert.";
const LAYERS: &str = "encoder.layer.";

/// Heads that a file can have, by how their tensors' names begin.
pub(crate) const HEADS: [(&str, &str); 4] = [
    ("qa_outputs.", "question answering"),
    ("cls.predictions.", "masked language modelling"),
    ("cls.seq_relationship.", "next sentence prediction"),
    ("classifier.", "classification"),
];

impl Spec {
    fn param(&self, name: String, config: &Config) -> Param {
        let size = |dim| match dim {
            Hidden => config.hidden_size,
            FeedForward => config.intermediate_size,
            Vocab => config.vocab_size,
            Positions => config.max_position_embeddings,
            Types => config.type_vocab_size,
            Span => 2,
        };
        Param {
            name,
            rows: self.rows.map_or(1, size),
            cols: size(self.cols),
            is_vector: self.rows.is_none(),
            in_i8: self.in_i8,
        }
    }
}

/// The tensors that a model with this head must have, the encoder's first, in the order of the computation.
pub fn params(config: &Config, head: Head) -> impl Iterator<Item = Param> {
    let named = move |spec: &Spec, prefix: String| spec.param(prefix + spec.name, config);
    let embeddings = EMBEDDINGS.iter().map(move |s| named(s, PREFIX.into()));
    let layers = (0..config.num_hidden_layers)
        .flat_map(move |n| LAYER.iter().map(move |s| named(s, format!("{PREFIX}{LAYERS}{n}."))));
    let head = head.specs().iter().map(move |s| named(s, String::new()));
    embeddings.chain(layers).chain(head)
}

/// What a tensor's name, in any of its spellings, stands for in this model; nothing if it is no part of it.
pub fn param(config: &Config, name: &str) -> Option<Param> {
    let modern = modern(name);
    let bare = modern.strip_prefix(PREFIX).unwrap_or(&modern);
    let of = |specs: &'static [Spec], name: &str| specs.iter().find(|s| s.name == name);
    if let Some(spec) = of(&QUESTION_ANSWERING, &modern) {
        return Some(spec.param(modern.clone(), config));
    }
    let spec = match bare.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) => {
            let n: usize = layer.parse().ok()?;
            // "+1" and "01" parse, and are no layer's name.
            of(&LAYER, rest).filter(|_| n < config.num_hidden_layers && n.to_string() == layer)?
        }
        None => of(&EMBEDDINGS, bare).or_else(|| of(&POOLER, bare))?,
    };
    Some(spec.param(format!("{PREFIX}{bare}"), config))
}

/// The name with LayerNorm's old `gamma` and `beta` as `weight` and `bias`.
pub(crate) fn modern(name: &str) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name.into()
}

/// The names a file can have for the tensor that `transformers` saves as `name`, the usual one first.
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let mut names = vec![name.to_string()];
    if let Some(bare) = name.strip_prefix(PREFIX) {
        names.push(bare.into());
    }
    for (new, old) in [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")] {
        let olds: Vec<String> =
            names.iter().filter_map(|n| n.strip_suffix(new)).map(|stem| format!("{stem}{old}")).collect();
        names.extend(olds);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_layers() -> Config {
        Config::from_json(br#"{"num_hidden_layers": 2}"#, "config.json").unwrap()
    }

    #[test]
    fn every_param_is_found_by_every_spelling() {
        let config = two_layers();
        let all: Vec<Param> = params(&config, Head::QuestionAnswering).collect();
        assert_eq!(all.len(), 5 + 2 * 16 + 2);
        for p in &all {
            for name in spellings(&p.name) {
                assert_eq!(param(&config, &name).as_ref(), Some(p), "{name}");
            }
        }
        let scalars: usize = params(&config, Head::Encoder).map(|p| p.rows * p.cols).sum();
        assert_eq!(scalars as u64, config.encoder_parameters());
    }

    #[test]
    fn other_names_are_no_part_of_the_model() {
        let config = two_layers();
        for name in [
            "bert.encoder.layer.2.output.dense.bias",
            "bert.encoder.layer.01.output.dense.bias",
            "bert.encoder.layer.+1.output.dense.bias",
            "bert.qa_outputs.bias",
            "bert.bert.embeddings.LayerNorm.bias",
            "cls.predictions.bias",
            "",
        ] {
            assert_eq!(param(&config, name), None, "{name}");
        }
        assert!(param(&config, "pooler.dense.bias").is_some());
    }
}
