//! Turns data into sequences with expected results, for one model.

use std::borrow::Cow;

use super::RunOptions;
use super::data::{Data, Place, Source};
use crate::config::{Config, ProblemType};
use crate::device::{BatchSizes, Cancel};
use crate::error::{Error, Result};
use crate::tasks::squad::{Squad, SquadOptions};
use crate::text::windows::WindowOptions;
use crate::text::{Sequence, Tokenizer};
use crate::train::evaluation::{self as evaluate, Scores};
use crate::train::examples::data::Classes;
use crate::train::examples::features::{self, Feature, Target};
use crate::train::examples::random::Random;
use crate::train::trainer::step::Trainer;

/// Separates the random numbers of masking, also in evaluation, from other uses of the same seed.
const MASKING: u64 = 2;
const MASKING_TO_MEASURE: u64 = 3;

/// The default length of a sequence with masked words, in tokens.
const CHUNK: usize = 128;

/// All examples of a run.
#[derive(Debug)]
pub(super) struct Examples {
    train: Train,
    eval: Option<Eval>,
    classes: Option<Classes>,
    tokenizer: Tokenizer,
    vocabulary: u32,
    seed: u64,
    batch_tokens: usize,
}

#[derive(Debug)]
enum Train {
    Features(Vec<Feature>),
    /// They are masked anew in every epoch.
    Chunks(Vec<Sequence>),
}

#[derive(Debug)]
enum Eval {
    Features(Vec<Feature>),
    Questions(Squad, SquadOptions),
}

impl Examples {
    /// Tokenizes all data for a model.
    ///
    /// # Errors
    /// [`Error::Data`] for a label or a text that cannot be used, [`Error::Option`] for lengths out of range.
    pub fn new(data: Data, tokenizer: Tokenizer, config: &Config, options: &RunOptions) -> Result<Self> {
        let most = tokenizer.max_len(config.max_position_embeddings);
        let least = tokenizer.special_count(true) + 1;
        let max_len = match (options.max_seq_len, &data.train) {
            (Some(len), _) if !(least..=most).contains(&len) => {
                return Err(Error::Option {
                    name: "max_seq_len",
                    problem: format!("{len} is not from {least} to {most}, which the model takes"),
                    help: "Give a number in between".into(),
                });
            }
            (Some(len), _) => len,
            (None, Source::Documents(_)) => most.min(CHUNK),
            (None, _) => most,
        };
        let version_2 = [Some(&data.train), data.eval.as_ref()]
            .into_iter()
            .flatten()
            .any(|source| matches!(source, Source::Questions(squad) if squad.has_unanswerable()));
        let windows = match &data.train {
            Source::Questions(_) => {
                let lengths = WindowOptions::new(most, options.max_seq_len, options.doc_stride)?;
                SquadOptions { version_2, lengths, ..SquadOptions::default() }
            }
            _ => SquadOptions::default(),
        };
        let vocabulary = config.vocab_size as u32;
        let seed = options.train.seed;
        let of = Making {
            tokenizer: &tokenizer,
            max_len,
            windows: &windows,
            kind: data.kind,
            classes: data.classes.as_ref(),
        };
        let train = of.train(data.train)?;
        let eval = match data.eval {
            None => None,
            Some(Source::Questions(squad)) => Some(Eval::Questions(squad, windows)),
            Some(other) => Some(Eval::Features(match of.train(other)? {
                Train::Features(features) => features,
                // They are masked only once, so that evaluations can be compared.
                Train::Chunks(chunks) => {
                    let random = |i: u64| Random::new(seed, &[MASKING_TO_MEASURE, i]);
                    let masked = |(i, chunk)| features::masked(&tokenizer, chunk, vocabulary, &mut random(i));
                    (0..).zip(&chunks).map(masked).collect::<Result<_>>()?
                }
            })),
        };
        let Data { classes, .. } = Data { train: Source::Documents(Vec::new()), eval: None, ..data };
        Ok(Self { train, eval, classes, tokenizer, vocabulary, seed, batch_tokens: options.batch_tokens })
    }

    /// The number of tokens of each example.
    pub fn lengths(&self) -> Vec<usize> {
        match &self.train {
            Train::Features(features) => features.iter().map(|f| f.sequence.ids.len()).collect(),
            Train::Chunks(chunks) => chunks.iter().map(|chunk| chunk.ids.len()).collect(),
        }
    }

    /// An example in the form that it has in an epoch.
    ///
    /// # Errors
    /// As for [`features::masked`].
    pub fn feature(&self, index: usize, epoch: u64) -> Result<Cow<'_, Feature>> {
        let none = || Error::Input { problem: format!("there is no example {index}"), help: "Give one that is".into() };
        match &self.train {
            Train::Features(features) => features.get(index).map(Cow::Borrowed).ok_or_else(none),
            Train::Chunks(chunks) => {
                let chunk = chunks.get(index).ok_or_else(none)?;
                let mut random = Random::new(self.seed, &[MASKING, epoch, index as u64]);
                features::masked(&self.tokenizer, chunk, self.vocabulary, &mut random).map(Cow::Owned)
            }
        }
    }

    /// The sizes of a batch.
    pub fn sizes(&self, batch: &[usize], lengths: &[usize]) -> BatchSizes {
        let of = || batch.iter().filter_map(|i| lengths.get(*i)).copied();
        let picked = match self.train {
            Train::Features(_) => 0,
            Train::Chunks(_) => of().map(features::most_asked).sum(),
        };
        let [tokens, longest] = [of().sum(), of().max().unwrap_or(0)].map(|n: usize| n as u32);
        BatchSizes { tokens, sequences: batch.len() as u32, longest, picked: picked as u32 }
    }

    /// Whether there are evaluation examples.
    pub fn has_eval(&self) -> bool {
        self.eval.is_some()
    }

    /// Evaluates the model; `None` if there are no evaluation examples.
    ///
    /// # Errors
    /// Those of [`evaluate::features`] and [`evaluate::squad`].
    pub async fn evaluate(&self, trainer: &mut Trainer, cancel: &Cancel) -> Result<Option<Scores>> {
        match &self.eval {
            None => Ok(None),
            Some(Eval::Features(features)) => {
                evaluate::features(trainer, features, self.classes.as_ref(), self.batch_tokens, cancel).await.map(Some)
            }
            Some(Eval::Questions(squad, options)) => {
                let how = (&self.tokenizer, options);
                evaluate::squad(trainer, how, squad, self.batch_tokens, cancel).await.map(Some)
            }
        }
    }
}

/// The arguments for making features.
struct Making<'a> {
    tokenizer: &'a Tokenizer,
    max_len: usize,
    windows: &'a SquadOptions,
    kind: Option<ProblemType>,
    classes: Option<&'a Classes>,
}

impl Making<'_> {
    fn train(&self, source: Source) -> Result<Train> {
        let Self { tokenizer, max_len, windows, kind, classes } = *self;
        let none = Classes::listed(Vec::new());
        let classes = classes.unwrap_or(&none);
        let features = match source {
            Source::Questions(squad) => {
                let mut all = Vec::new();
                for question in &squad.questions {
                    let context = squad.contexts[question.context].as_str();
                    let features = features::question(tokenizer, question, context, windows);
                    all.extend(features.map_err(|e| question.refused(&e))?);
                }
                all
            }
            Source::Texts(examples) => {
                let of = (kind.unwrap_or(ProblemType::SingleLabel), classes);
                let feature =
                    |(place, example): (Place, _)| features::labelled(tokenizer, &example, of, max_len, place.at());
                examples.into_iter().map(feature).collect::<Result<_>>()?
            }
            Source::Tagged(examples) => {
                let feature =
                    |(place, example): (Place, _)| features::tagged(tokenizer, &example, classes, max_len, place.at());
                let mut all = examples.into_iter().map(feature).collect::<Result<Vec<_>>>()?;
                // A sentence without tokens teaches nothing.
                all.retain(
                    |feature| !matches!(&feature.target, Target::Tags(tags) if tags.iter().all(Option::is_none)),
                );
                if all.is_empty() {
                    return Err(Error::Data {
                        file: "the data".into(),
                        problem: "no word in it has a token".into(),
                        help: "Give text in the model's language".into(),
                    });
                }
                all
            }
            Source::Documents(documents) => {
                let mut chunks = Vec::new();
                for document in documents {
                    chunks.extend(features::chunks(tokenizer, &document, max_len)?);
                }
                // A sequence of special tokens alone has nothing to predict.
                chunks.retain(|chunk| chunk.ids.iter().any(|id| !tokenizer.is_special(*id)));
                if chunks.is_empty() {
                    return Err(Error::Data {
                        file: "the data".into(),
                        problem: "it has no word of the vocabulary".into(),
                        help: "Give text in the model's language".into(),
                    });
                }
                return Ok(Train::Chunks(chunks));
            }
        };
        Ok(Train::Features(features))
    }
}
