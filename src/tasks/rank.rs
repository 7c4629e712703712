//! Ranks texts by how well they answer a query. A cross-encoder reads each text together with the query.
//!
//! Scores are those of `CrossEncoder.rank` of sentence-transformers 5.7.

use std::cmp::Ordering;

use super::pack::Item;
use super::run::Task;
use super::scores::best;
use super::text_model::{Side, TextModel, room};
use crate::activation::Activation;
use crate::device::Cancel;
use crate::device::cpu::math::activate;
use crate::device::cpu::micro::Isa;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::sentence::CrossEncoder;

/// A cross-encoder: a sequence classifier with one label.
#[derive(Debug)]
pub struct Reranker {
    text_model: TextModel,
    cross_encoder: CrossEncoder,
    activation: Activation,
    /// The most tokens of a query and a text together, with the special tokens.
    max_len: usize,
}

/// A query, and the texts to rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The query that the texts should answer.
    pub query: String,
    /// The texts to rank.
    pub texts: Vec<String>,
}

/// Options of the ranking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankOptions {
    /// The number of best texts to return; `None` for all.
    pub top_k: Option<usize>,
    /// The prompt before the query: the name of one of the model's prompts, or a text. `None` for the model's default.
    pub prompt: Option<String>,
}

impl RankOptions {
    /// Checks that each number is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] if `top_k` is 0.
    pub fn check(&self) -> Result<()> {
        match self.top_k {
            Some(0) => Err(Error::Option { name: "top_k", problem: "it is 0".into(), help: "Give at least 1".into() }),
            _ => Ok(()),
        }
    }
}

/// The place of a text in a ranking.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ranked {
    /// The index of the text in the input, from 0.
    pub index: usize,
    /// Higher is better. It lies between 0 and 1 if the model's activation is a sigmoid, which is the default.
    pub score: f32,
}

impl Reranker {
    /// A task over a model with the head `SequenceClassification` and one label.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has another number of labels or an unknown activation.
    pub fn new(text_model: TextModel, cross_encoder: CrossEncoder) -> Result<Self> {
        let config = text_model.model().config();
        let labels = config.num_labels();
        if labels != 1 {
            return Err(Error::Unsupported {
                what: format!("ranking with a model of {labels} labels"),
                help: "Give a cross-encoder with one label; for several, classify each pair of texts".into(),
            });
        }
        let activation = cross_encoder.activation(config)?;
        let text_model = if cross_encoder.do_lower_case { text_model.lowercased() } else { text_model };
        let config = text_model.model().config();
        let positions = config.max_position_embeddings;
        let max_len = cross_encoder.max_seq_length.map_or(text_model.max_len(), |n| n.min(positions));
        Ok(Self { text_model, cross_encoder, activation, max_len })
    }

    /// Opens a directory of sentence-transformers or transformers.
    ///
    /// # Errors
    /// Those of [`CrossEncoder::open`], [`TextModel::open`] and [`Reranker::new`].
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path, device: impl Into<std::sync::Arc<crate::device::Device>>) -> Result<Self> {
        let cross_encoder = CrossEncoder::open(dir)?;
        let inner = cross_encoder.encoder.as_ref().map_or_else(|| dir.to_owned(), |path| dir.join(path));
        let head = crate::checkpoint::Head::SequenceClassification;
        Self::new(TextModel::open(&inner, head, device)?, cross_encoder)
    }

    /// The settings in the model's files.
    pub fn cross_encoder(&self) -> &CrossEncoder {
        &self.cross_encoder
    }

    /// Checks options before any text is read.
    ///
    /// # Errors
    /// [`Error::Option`] if the model does not have the named prompt, or if `top_k` is 0.
    pub fn check(&self, options: &RankOptions) -> Result<()> {
        options.check()?;
        self.cross_encoder.prompts.text(options.prompt.as_deref()).map(drop)
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.text_model
    }
}

/// A query in progress: its sequence with each text, and the scores so far.
#[derive(Debug)]
pub struct Work {
    query: Vec<u32>,
    /// For each text, the number of query tokens before it, and its own tokens.
    texts: Vec<(usize, Vec<u32>)>,
    logits: Vec<f32>,
}

impl Task for Reranker {
    type Input = Query;
    type Options = RankOptions;
    type Work = Work;
    /// Best first; of two equal scores, the text that comes first in the input.
    type Output = Vec<Ranked>;

    fn model(&self) -> &Model {
        self.text_model.model()
    }

    async fn begin(&self, input: &Query, options: &RankOptions, cancel: &Cancel) -> Result<Work> {
        let tokenizer = self.text_model.tokenizer();
        let room = room(self.max_len, tokenizer.special_count(true))?;
        let prompt = self.cross_encoder.prompts.text(options.prompt.as_deref())?;
        let query = format!("{prompt}{}", input.query);
        let mut query = Side::new(tokenizer, &query, room)?;
        let mut texts = Vec::with_capacity(input.texts.len());
        for text in &input.texts {
            self.model().device().give_way(cancel).await?;
            let mut text = Side::new(tokenizer, text, room)?;
            let (kept, own) = query.fit(&mut text, room)?;
            texts.push((kept, text.some(own).to_vec()));
        }
        Ok(Work { query: query.some(room).to_vec(), texts, logits: Vec::new() })
    }

    /// Every sequence has both parts, even if a part is empty: `[CLS] query [SEP] [SEP]` for an empty text.
    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        let (kept, text) = work.texts.get(index)?;
        let tokenizer = self.text_model.tokenizer();
        let from = if tokenizer.cuts_left() { work.query.len().saturating_sub(*kept) } else { 0 };
        Some(tokenizer.pair(&work.query[from..][..*kept], text).into())
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], _: &RankOptions) {
        work.logits.extend(values.first());
    }

    fn end(&self, work: Work, _: &Query, options: &RankOptions) -> Result<Vec<Ranked>> {
        let mut scores = work.logits;
        activate(Isa::detect(), self.activation, &mut scores);
        let all = scores.into_iter().enumerate().map(|(index, score)| Ranked { index, score }).collect();
        Ok(best(all, options.top_k.unwrap_or(usize::MAX), Ranked::order))
    }
}

impl Ranked {
    /// The order of a ranking: the better score first, then the text that comes first in the input.
    pub fn order(a: &Self, b: &Self) -> Ordering {
        // Logits are finite, and so are the results of all activations.
        b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.index.cmp(&b.index))
    }
}
