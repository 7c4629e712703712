//! The words that fit each `[MASK]` of a text.
//!
//! Results are those of the fill-mask pipeline of transformers 4.57: probabilities over the whole vocabulary, the best
//! tokens of it or of the targets, and the text with the word in place. With one mask, that text has no special tokens.
//! With several masks it keeps them, because the other masks are special tokens too. Of two equal scores, the lower id
//! comes first.

use super::pack::Item;
use super::run::Task;
use super::scores::{largest, softmax};
use super::text_model::{TextModel, room};
use crate::device::Cancel;
use crate::error::{Error, Result, clip};
use crate::model::Model;
use crate::text::Sequence;

/// A masked language model.
#[derive(Debug)]
pub struct FillMask(TextModel);

/// Options of filling masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillMaskOptions {
    /// The number of words for each mask, best first. At least 1.
    pub top_k: usize,
    /// Chooses only among these tokens; see [`FillMask::targets`].
    pub targets: Option<Vec<u32>>,
}

impl Default for FillMaskOptions {
    fn default() -> Self {
        Self { top_k: 5, targets: None }
    }
}

impl FillMaskOptions {
    /// Checks that each number is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] if `top_k` is 0.
    pub fn check(&self) -> Result<()> {
        match self.top_k {
            0 => Err(Error::Option { name: "top_k", problem: "it is 0".into(), help: "Give at least 1".into() }),
            _ => Ok(()),
        }
    }
}

/// A word for a mask.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Filled {
    /// The index of the mask in the text, from 0.
    pub mask: usize,
    /// The id of the token.
    pub token_id: u32,
    /// The token as text.
    pub token: String,
    /// Its probability over the whole vocabulary, 0 to 1.
    pub score: f32,
    /// The whole text with this word in the place of this mask.
    pub sequence: String,
}

/// The most result rows of a text. Each row repeats the whole text.
const MOST_ROWS: usize = 100_000;

impl FillMask {
    /// A task over a model with the head `MaskedLm`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the tokenizer has no `[MASK]`.
    pub fn new(text_model: TextModel) -> Result<Self> {
        match text_model.tokenizer().special().mask {
            Some(_) => Ok(Self(text_model)),
            None => Err(Error::Unsupported {
                what: "filling masks with a vocabulary that has no [MASK]".into(),
                help: "Give the tokenizer that the masked language model was trained with".into(),
            }),
        }
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.0
    }

    /// The tokens of these words, without repetitions. A word that is not in the vocabulary gives its first piece, with
    /// a warning.
    ///
    /// # Errors
    /// [`Error::Option`] if no word gives a token.
    pub fn targets(&self, words: &[String]) -> Result<Vec<u32>> {
        let tokenizer = self.0.tokenizer();
        let mut ids = Vec::new();
        for word in words {
            let id = match tokenizer.token_to_id(word) {
                Some(id) => Some(id),
                None => {
                    let first = tokenizer.encode(word)?.ids.first().copied();
                    let piece = first.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
                    match first {
                        Some(_) => {
                            tracing::warn!("the vocabulary has no token {:?}: {piece:?} is used instead", clip(word))
                        }
                        None => tracing::warn!("the target {:?} is left out: it has no tokens", clip(word)),
                    }
                    first
                }
            };
            ids.extend(id);
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(Error::Option {
                name: "targets",
                problem: "none of them is a token".into(),
                help: "Give words that the vocabulary has".into(),
            });
        }
        Ok(ids)
    }

    /// The number of words for each mask.
    fn count(&self, options: &FillMaskOptions) -> usize {
        options.top_k.min(options.targets.as_ref().map_or(self.0.model().config().vocab_size, Vec::len))
    }

    /// The number of masks of one text that run at once.
    fn at_once(&self) -> usize {
        self.0.model().max_picked()
    }
}

/// A text in progress.
#[derive(Debug)]
pub struct Work {
    sequence: Sequence,
    /// The positions of its masks.
    masks: Vec<usize>,
    /// The best tokens of each mask so far.
    best: Vec<Vec<(u32, f32)>>,
}

impl Task for FillMask {
    type Input = String;
    type Options = FillMaskOptions;
    type Work = Work;
    type Output = Vec<Filled>;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, text: &String, options: &FillMaskOptions, _: &Cancel) -> Result<Work> {
        options.check()?;
        let tokenizer = self.0.tokenizer();
        let input = |problem: String, help: String| Err(Error::Input { problem, help: help.into() });
        let room = room(self.0.max_len(), tokenizer.special_count(false))?;
        let Some(encoding) = tokenizer.encode_short(text, room)? else {
            let problem = format!("the text has more than the {room} tokens that the model takes");
            return input(problem, "Give a shorter text around the mask".into());
        };
        let sequence = tokenizer.single(&encoding.ids);
        let mask = tokenizer.special().mask;
        let masks: Vec<usize> = (0..sequence.ids.len()).filter(|at| Some(sequence.ids[*at]) == mask).collect();
        if masks.is_empty() {
            let mask = mask.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
            return input("the text has no mask".into(), format!("Write {mask} where a word is to be found"));
        }
        let rows = masks.len().saturating_mul(self.count(options));
        if rows > MOST_ROWS {
            let problem =
                format!("{} words for each of {} masks are more than {MOST_ROWS} rows", options.top_k, masks.len());
            return Err(Error::Option { name: "top_k", problem, help: "Ask for fewer".into() });
        }
        Ok(Work { sequence, masks, best: Vec::new() })
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        let picked = work.masks.chunks(self.at_once()).nth(index)?.to_vec();
        Some(Item { picked, ..work.sequence.clone().into() })
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], options: &FillMaskOptions) {
        for logits in values.chunks_exact(self.0.model().config().vocab_size) {
            let mut p = logits.to_vec();
            softmax(&mut p);
            let best = match &options.targets {
                Some(ids) => {
                    let chosen: Vec<f32> = ids.iter().map(|id| p.get(*id as usize).copied().unwrap_or(0.0)).collect();
                    largest(&chosen, options.top_k).into_iter().map(|(at, p)| (ids[at], p)).collect()
                }
                None => largest(&p, options.top_k).into_iter().map(|(id, p)| (id as u32, p)).collect(),
            };
            work.best.push(best);
        }
    }

    fn rows(&self, options: &FillMaskOptions) -> usize {
        self.count(options)
    }

    fn end(&self, work: Work, _: &String, _: &FillMaskOptions) -> Result<Vec<Filled>> {
        let tokenizer = self.0.tokenizer();
        let pad = tokenizer.special().pad;
        let single = work.masks.len() == 1;
        let mut rows = Vec::new();
        for (mask, (position, best)) in work.masks.iter().zip(&work.best).enumerate() {
            for &(token_id, score) in best {
                let mut ids = work.sequence.ids.clone();
                ids[*position] = token_id;
                ids.retain(|id| *id != pad);
                let (token, sequence) = (tokenizer.decode(&[token_id], false), tokenizer.decode(&ids, single));
                rows.push(Filled { mask, token_id, token, score, sequence });
            }
        }
        Ok(rows)
    }
}
