//! The heads on top of the encoder: one file for each part that has parameters, and the table of which head has which parts.

mod language_model;
mod linear;
mod pooler;
mod tower;

use super::encoder::Recorded;
use super::layer::Shape;
use crate::checkpoint::{Checkpoint, Head};
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::ops::pool::pool;
use crate::pooling::Pooling;
use language_model::LanguageModel;
use linear::Linear;
use pooler::Pooler;
pub(super) use tower::Stacked;
use tower::Tower;

/// A head's parameters on a device.
#[derive(Debug)]
pub(super) struct Top {
    head: Head,
    pooler: Option<Pooler>,
    words: Option<LanguageModel>,
    linear: Option<Linear>,
    tower: Tower,
}

/// A recorded result: its name, and the tensors that make its columns, side by side.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub name: &'static str,
    pub parts: Vec<Tensor>,
}

impl Output {
    fn whole(name: &'static str, tensor: Tensor) -> Self {
        Self { name, parts: vec![tensor] }
    }

    /// The columns of all parts together.
    pub fn cols(&self) -> usize {
        self.parts.iter().map(|part| part.cols as usize).sum()
    }
}

impl Top {
    /// Loads a head with the `modules` on top of it. Modules need a head that gives hidden states or vectors of
    /// sequences.
    pub fn load(checkpoint: &Checkpoint, head: Head, modules: &[Stacked], device: &Device) -> Result<Self> {
        let linear = match head {
            Head::Encoder | Head::Embedding(_) | Head::Pooler | Head::MaskedLm => None,
            Head::QuestionAnswering => Some(("qa_outputs", "logits")),
            Head::NextSentence | Head::PreTraining => Some(("cls.seq_relationship", "seq_relationship_logits")),
            Head::SequenceClassification | Head::TokenClassification | Head::MultipleChoice => {
                Some(("classifier", "logits"))
            }
        };
        Ok(Self {
            head,
            pooler: head.has_pooler().then(|| Pooler::load(checkpoint, device)).transpose()?,
            words: head.has_language_model().then(|| LanguageModel::load(checkpoint, device)).transpose()?,
            linear: linear.map(|(name, output)| Linear::load(checkpoint, device, name, output)).transpose()?,
            tower: Tower::load(modules, checkpoint.config().hidden_size, device)?,
        })
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let pooler = self.pooler.iter().flat_map(Pooler::weights);
        let words = self.words.iter().flat_map(LanguageModel::weights);
        pooler.chain(words).chain(self.linear.iter().flat_map(Linear::weights)).chain(self.tower.weights())
    }

    /// Records the head on the encoder's hidden states and returns the results, which are read back after a run.
    pub fn record(&self, g: &mut Graph, encoder: &Recorded, shape: &Shape) -> Vec<Output> {
        if let Head::Encoder | Head::Embedding(_) = self.head {
            return vec![self.tower.record(g, "hidden", encoder, encoder.hidden)];
        }
        let mut outputs = Vec::new();
        if let Some(words) = &self.words {
            outputs.push(Output { name: "prediction_logits", parts: words.record(g, encoder, shape) });
        }
        let x = match &self.pooler {
            Some(pooler) => {
                let first = pool(g, "first", encoder.hidden, encoder.bounds, &[Pooling::Cls], None);
                pooler.record(g, first)
            }
            None => encoder.hidden,
        };
        match &self.linear {
            Some(linear) => outputs.push(linear.record(g, x)),
            None if self.pooler.is_some() => outputs.push(self.tower.record(g, "pooled", encoder, x)),
            None => {}
        }
        outputs
    }

    /// Whether pooling ignores some tokens.
    pub fn skips(&self) -> bool {
        self.tower.skips()
    }

    /// The columns of the widest part of a picked token's logits.
    pub fn logits_per_pick(&self) -> Option<usize> {
        self.words.as_ref().map(LanguageModel::widest)
    }
}
