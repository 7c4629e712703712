//! Turns examples into sequences for the encoder, with the expected results.

use crate::config::ProblemType;
use crate::error::{Error, Result};
use crate::tasks::answer::Windowed;
use crate::tasks::pack::Item;
use crate::tasks::squad::{Question, SquadOptions};
use crate::tasks::text_model::{TextPair, room, sequence};
use crate::text::{Sequence, Tokenizer};
use crate::train::examples::data::classify::{self, Label};
use crate::train::examples::data::{At, Classes, tag};
use crate::train::examples::random::Random;

/// A sequence to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// The tokens.
    pub sequence: Sequence,
    /// The expected result.
    pub target: Target,
}

impl Feature {
    /// The sequence as a model predicts for it: at the masked positions, if there are some.
    pub fn item(&self) -> Item {
        let picked = match &self.target {
            Target::Words(words) => words.iter().map(|(at, _)| *at as usize).collect(),
            _ => Vec::new(),
        };
        Item { picked, ..self.sequence.clone().into() }
    }
}

/// The expected result.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The first and the last token of the answer. If the window does not contain it, both are 0, which is `[CLS]`.
    Span([u32; 2]),
    /// The id of the class.
    Class(u32),
    /// The ids of the classes that apply, in order, and the number of all classes.
    Classes(Vec<u32>, u32),
    /// A number, for regression.
    Value(f32),
    /// A class for each token; `None` for tokens that do not count.
    Tags(Vec<Option<u32>>),
    /// The masked positions, with the original tokens.
    Words(Vec<(u32, u32)>),
}

/// The windows of a question. As in `run_qa.py` of transformers, a window that does not contain the whole answer has no
/// answer. The first token is the last one that begins no later than the answer; the last token is the first one that
/// ends no earlier.
///
/// # Errors
/// [`Error::Input`] for a question or a context without tokens.
pub fn question(
    tokenizer: &Tokenizer,
    question: &Question,
    context: &str,
    options: &SquadOptions,
) -> Result<Vec<Feature>> {
    let windowed = options.windows(tokenizer, &question.text, context)?;
    let span =
        |window: usize| question.place.as_ref().and_then(|place| span(&windowed, window, place)).unwrap_or([0, 0]);
    let feature = |(window, sequence)| Feature { sequence, target: Target::Span(span(window)) };
    Ok(windowed.sequences(tokenizer).enumerate().map(feature).collect())
}

fn span(windowed: &Windowed, window: usize, place: &std::ops::Range<usize>) -> Option<[u32; 2]> {
    let tokens = windowed.windows.get(window)?.clone();
    let offsets = windowed.context.offsets.get(tokens)?;
    if offsets.first()?.start > place.start || offsets.last()?.end < place.end {
        return None;
    }
    let first = offsets.iter().rposition(|token| token.start <= place.start)?;
    let last = offsets.iter().position(|token| token.end >= place.end)?;
    let at = |token: usize| (windowed.context_start() + token) as u32;
    (first <= last).then(|| [at(first), at(last)])
}

/// A text or a pair of texts, cut to `max_len` tokens.
///
/// # Errors
/// [`Error::Data`] names the place of a label that is not among `classes`.
pub fn labelled(
    tokenizer: &Tokenizer,
    example: &classify::Example,
    (kind, classes): (ProblemType, &Classes),
    max_len: usize,
    at: At<'_>,
) -> Result<Feature> {
    let input = TextPair { text: example.text.clone(), pair: example.pair.clone() };
    let target = match (&example.label, kind) {
        (Label::Class(name), ProblemType::SingleLabel) => Target::Class(classes.id(name, at)? as u32),
        (Label::Classes(names), ProblemType::MultiLabel) => {
            let mut ids = names.iter().map(|name| Ok(classes.id(name, at)? as u32)).collect::<Result<Vec<u32>>>()?;
            ids.sort_unstable();
            ids.dedup();
            Target::Classes(ids, classes.names().len() as u32)
        }
        (Label::Value(value), ProblemType::Regression) => Target::Value(*value),
        (label, kind) => {
            let problem = format!("the label is {}, which does not fit {}", label.in_words(), kind.name());
            return Err(at.wrong(problem, "Give labels that are all of one kind"));
        }
    };
    Ok(Feature { sequence: sequence(tokenizer, &input, max_len)?, target })
}

/// The words of a sentence, tokenized one by one and cut to `max_len` tokens. If a word has several tokens, only the
/// first one has its class, as in `run_ner.py` of transformers.
///
/// # Errors
/// As for [`labelled`].
pub fn tagged(
    tokenizer: &Tokenizer,
    example: &tag::Example,
    classes: &Classes,
    max_len: usize,
    at: At<'_>,
) -> Result<Feature> {
    let room = room(max_len, tokenizer.special_count(false))?;
    let before = tokenizer.before_text(false);
    let (mut ids, mut tags) = (Vec::new(), vec![None; before]);
    for (word, tag) in example.words.iter().zip(&example.tags) {
        let tokens = tokenizer.encode(word)?.ids;
        let class = classes.id_of_tag(tag, at)? as u32;
        tags.extend((0..tokens.len()).map(|i| (i == 0).then_some(class)));
        ids.extend(tokens);
        if ids.len() >= room && !tokenizer.cuts_left() {
            break;
        }
    }
    if tokenizer.cuts_left() {
        let surplus = ids.len().saturating_sub(room);
        ids.drain(..surplus);
        tags.drain(1..=surplus);
    }
    ids.truncate(room);
    tags.truncate(before + room);
    tags.resize(ids.len() + tokenizer.special_count(false), None);
    Ok(Feature { sequence: tokenizer.single(&ids), target: Target::Tags(tags) })
}

/// Sequences for masked language modelling, before they are masked: `[CLS] tokens [SEP]`. All are full except the last
/// of a document.
///
/// # Errors
/// [`Error::Input`] if `max_len` leaves no room for text.
pub fn chunks(tokenizer: &Tokenizer, document: &str, max_len: usize) -> Result<Vec<Sequence>> {
    let room = room(max_len, tokenizer.special_count(false))?.max(1);
    let mut ids = Vec::new();
    // Line by line, because an encoding takes several times the memory of its text.
    for line in document.lines() {
        ids.extend(tokenizer.encode(line)?.ids);
    }
    Ok(ids.chunks(room).map(|ids| tokenizer.single(ids)).collect())
}

/// The share of tokens to predict. Of these, the share that is masked, and the share that is replaced by a random word;
/// the rest stays (Devlin et al., 2018, section 3.1).
const ASKED: f64 = 0.15;
const MASKED: f64 = 0.8;
const REPLACED: f64 = 0.1;

/// The most tokens of a sequence of this length that [`masked`] selects.
pub fn most_asked(len: usize) -> usize {
    ((len as f64 * ASKED).round() as usize).max(1)
}

/// Masks a sequence. `random` comes from the epoch and the example, so each epoch masks differently. At least one token
/// is selected, unless all are special.
///
/// # Errors
/// [`Error::Unsupported`] if the vocabulary has no `[MASK]`.
pub fn masked(tokenizer: &Tokenizer, sequence: &Sequence, vocab: u32, random: &mut Random) -> Result<Feature> {
    let mask = tokenizer.special().mask.ok_or_else(|| Error::Unsupported {
        what: "masking with a vocabulary that has no [MASK]".into(),
        help: "Give a model of a BERT vocabulary".into(),
    })?;
    let mut open: Vec<usize> = (0..sequence.ids.len()).filter(|i| !tokenizer.is_special(sequence.ids[*i])).collect();
    random.shuffle(&mut open);
    let count = (open.len() as f64 * ASKED).round() as usize;
    open.truncate(count.max(1));
    open.sort_unstable();
    let mut sequence = sequence.clone();
    let mut words = Vec::with_capacity(open.len());
    for at in open {
        let was = sequence.ids[at];
        words.push((at as u32, was));
        let draw = random.unit();
        if draw < MASKED {
            sequence.ids[at] = mask;
        } else if draw < MASKED + REPLACED {
            sequence.ids[at] = random.below(vocab as usize) as u32;
        }
    }
    Ok(Feature { sequence, target: Target::Words(words) })
}
