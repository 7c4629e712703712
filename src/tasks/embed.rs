//! Turns texts into vectors. The angle between two vectors says how similar the texts are.

use std::sync::Arc;

use super::pack::Item;
use super::run::{Single, Task};
use super::text_model::{TextModel, TextPair};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::module::ModuleWeights;
use crate::device::{Cancel, Device};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::pooling::Pooling;
use crate::sentence::{Module, Sentence, Similarity};
use crate::text::Tokenizer;

/// A sentence encoder. Without pooling it gives one vector for each token.
#[derive(Debug)]
pub struct Embedder {
    text_model: TextModel,
    sentence: Sentence,
    max_len: usize,
}

/// Options of the embedding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbedOptions {
    /// Scales each vector, of a text or a token, to length 1. The default is [`Embedder::normalizes`].
    pub normalize: Option<bool>,
    /// The prompt before every text: the name of one of the model's prompts, or a text. The default is the model's
    /// default prompt; an empty text means none.
    pub prompt: Option<String>,
    /// The number of dimensions to keep, at most those of the model. The default comes from the model's files.
    pub dimensions: Option<usize>,
}

impl Embedder {
    /// A sentence encoder from a checkpoint. `weights` finds the weights of a module by its directory.
    ///
    /// # Errors
    /// Those of [`Model::load_sentence`] and of `weights`.
    pub fn new(
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        sentence: Sentence,
        weights: &mut dyn FnMut(&str) -> Result<ModuleWeights>,
        device: impl Into<Arc<Device>>,
    ) -> Result<Self> {
        let stacked = |module: &Module| Ok((module.clone(), module.dir().map(&mut *weights).transpose()?));
        let modules = sentence.modules.iter().map(stacked).collect::<Result<Vec<_>>>()?;
        let model = Model::load_sentence(checkpoint, &modules, sentence.has_pooler, device)?;
        let text_model = TextModel::of(model, tokenizer);
        let text_model = if sentence.do_lower_case { text_model.lowercased() } else { text_model };
        let positions = text_model.model().config().max_position_embeddings;
        let max_len = sentence.max_seq_length.map_or(text_model.max_len(), |n| n.min(positions));
        Ok(Self { text_model, sentence, max_len })
    }

    /// Opens the directory of a sentence-transformers model, or of any other BERT, whose tokens are averaged.
    ///
    /// # Errors
    /// Those of [`Sentence::open`] and [`Embedder::open_with`].
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path, device: impl Into<Arc<Device>>) -> Result<Self> {
        Self::open_with(dir, Sentence::open(dir)?, device)
    }

    /// The same with a changed description, for example another pooling.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], [`Tokenizer::load`] and [`Embedder::new`].
    #[cfg(feature = "native")]
    pub fn open_with(dir: &std::path::Path, sentence: Sentence, device: impl Into<Arc<Device>>) -> Result<Self> {
        let inner = sentence.encoder.as_ref().map_or_else(|| dir.to_owned(), |path| dir.join(path));
        let checkpoint = Checkpoint::open(&inner)?;
        let beside = Checkpoint::place_of(&crate::checkpoint::TOKENIZERS, &inner)?;
        let tokenizer = Tokenizer::load(&beside, checkpoint.config().vocab_size)?;
        Self::new(checkpoint, tokenizer, sentence, &mut |module| ModuleWeights::open(&dir.join(module)), device)
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.text_model
    }

    /// The most tokens of a text, with the special tokens. Longer texts are cut.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// The model's settings for texts and vectors.
    pub fn sentence(&self) -> &Sentence {
        &self.sentence
    }

    /// Whether vectors are scaled to length 1 by default. They are if they are compared by their angle, or if the
    /// model's last module normalizes.
    pub fn normalizes(&self) -> bool {
        self.sentence.normalize || (self.is_pooled() && self.sentence.similarity == Similarity::Cosine)
    }

    /// Whether a text has one vector, not one for each token.
    pub fn is_pooled(&self) -> bool {
        self.sentence.has_pooler || !self.sentence.poolings().is_empty()
    }

    /// The number of dimensions of a vector with these options.
    ///
    /// # Errors
    /// [`Error::Option`] if the options ask for more than the model has.
    pub fn width(&self, options: &EmbedOptions) -> Result<usize> {
        let most = self.model().width();
        match options.dimensions {
            None => Ok(self.sentence.dimensions.map_or(most, |n| n.min(most))),
            Some(n) if self.is_pooled() && (1..=most).contains(&n) => Ok(n),
            Some(n) => Err(Error::Option {
                name: "dimensions",
                problem: match self.is_pooled() {
                    true => format!("{n} of {most} numbers cannot be kept"),
                    false => "tokens' vectors are given whole".into(),
                },
                help: format!("Give 1 to {most}, for texts' vectors").into(),
            }),
        }
    }

    /// Checks options before any text is read.
    ///
    /// # Errors
    /// [`Error::Option`] if the model does not have the named prompt, or has fewer dimensions.
    pub fn check(&self, options: &EmbedOptions) -> Result<()> {
        self.sentence.prompts.text(options.prompt.as_deref())?;
        self.width(options).map(drop)
    }

    fn sequence(&self, text: &str, pair: Option<&String>) -> Result<crate::text::Sequence> {
        let input = TextPair { text: text.to_owned(), pair: pair.cloned() };
        self.text_model.sequence(&input, self.max_len)
    }

    /// The number of tokens at the start of a sequence that pooling ignores: those of `prompt`, with `[CLS]`.
    fn skipped(&self, prompt: &str, tokens: usize) -> Result<usize> {
        let leaves_out = |module: &Module| matches!(module, Module::Pool { with_prompt: false, .. });
        if prompt.is_empty() || !self.sentence.modules.iter().any(leaves_out) {
            return Ok(0);
        }
        let ids = self.sequence(prompt, None)?.ids;
        let is_special = |id: &u32| *id == self.text_model.tokenizer().special().sep || self.is_special(*id);
        let skipped = ids.len() - usize::from(ids.last().is_some_and(is_special));
        if skipped >= tokens && self.sentence.poolings().contains(&Pooling::Max) {
            return Err(Error::Input {
                problem: "the text has no token beside the prompt's, which do not count".into(),
                help: "Give a longer text".into(),
            });
        }
        Ok(skipped)
    }

    fn is_special(&self, id: u32) -> bool {
        self.text_model.tokenizer().is_special(id)
    }
}

impl Task for Embedder {
    type Input = TextPair;
    type Options = EmbedOptions;
    type Work = Single;
    /// One vector of [`Embedder::width`] numbers; without pooling, one for each token.
    type Output = Vec<f32>;

    fn model(&self) -> &Model {
        self.text_model.model()
    }

    async fn begin(&self, input: &TextPair, options: &EmbedOptions, _: &Cancel) -> Result<Single> {
        let prompt = self.sentence.prompts.text(options.prompt.as_deref())?;
        let sequence = match prompt {
            "" => self.sequence(&input.text, input.pair.as_ref())?,
            _ => self.sequence(&[prompt, &input.text].concat(), input.pair.as_ref())?,
        };
        let skipped = self.skipped(prompt, sequence.ids.len())?;
        Ok(Single::new(Item { skipped, ..sequence.into() }))
    }

    fn item(&self, work: &Single, index: usize) -> Option<Item> {
        work.item(index)
    }

    fn take(&self, work: &mut Single, _: usize, values: &[f32], _: &EmbedOptions) {
        work.take(values);
    }

    fn end(&self, work: Single, _: &TextPair, options: &EmbedOptions) -> Result<Vec<f32>> {
        let width = self.width(options)?;
        let mut embedding = work.values;
        let by_angle = self.sentence.similarity == Similarity::Cosine;
        let normalize = options.normalize.unwrap_or(self.normalizes());
        // This scales the part that is kept. If vectors are not compared by their angle, it scales the whole vector
        // before the cut, unless the options ask to normalize.
        let whole_first = normalize && options.normalize.is_none() && !by_angle;
        if whole_first {
            scale(&mut embedding, self.model().width());
        }
        if self.is_pooled() {
            embedding.truncate(width);
        }
        if normalize && !whole_first {
            scale(&mut embedding, width);
        }
        Ok(embedding)
    }
}

/// Scales each group of `width` numbers to length 1.
fn scale(vectors: &mut [f32], width: usize) {
    for row in vectors.chunks_exact_mut(width) {
        let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        // As in PyTorch, a vector of zeros stays zero.
        let length = length.max(1e-12) as f32;
        row.iter_mut().for_each(|x| *x /= length);
    }
}
