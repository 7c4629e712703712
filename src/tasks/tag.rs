//! The classes of a text's tokens, or of the words and phrases that they form.
//!
//! Results are those of the token-classification pipeline of transformers 4.57, for each of its aggregation strategies.
//! The class `O` is omitted.

use std::ops::Range;

use super::pack::Item;
use super::run::Task;
use super::scores::{argmax, softmax};
use super::text_model::{TextModel, room};
use crate::device::Cancel;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::Encoding;

/// A token classifier.
#[derive(Debug)]
pub struct Tagger(TextModel);

/// How tokens are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// Tokens are not joined.
    #[default]
    None,
    /// Neighbouring tokens of the same class form a phrase.
    Simple,
    /// Like `Simple`, but with words: a word has the class of its first token.
    First,
    /// Like `Simple`, but with words: a word has the best class by the mean of its tokens' probabilities.
    Average,
    /// Like `Simple`, but with words: a word has the class of its most certain token.
    Max,
}

impl Aggregation {
    /// The strategies by their names in `transformers`.
    pub const NAMES: [(&'static str, Aggregation); 5] = [
        ("none", Aggregation::None),
        ("simple", Aggregation::Simple),
        ("first", Aggregation::First),
        ("average", Aggregation::Average),
        ("max", Aggregation::Max),
    ];
}

impl std::str::FromStr for Aggregation {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == s).map(|(_, it)| *it);
        found.ok_or_else(|| Error::Option {
            name: "aggregation",
            problem: format!("unknown aggregation strategy {:?}", crate::error::clip(s)),
            help: format!("Give one of {}", Self::NAMES.map(|(name, _)| name).join(", ")).into(),
        })
    }
}

/// A token, a word or a phrase with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// The class. For a phrase, without `B-` or `I-`.
    pub label: String,
    /// Its probability. For a phrase, the mean of its parts.
    pub score: f32,
    /// The position of the token in the sequence, where `[CLS]` is 0. `None` for a phrase.
    pub index: Option<usize>,
    /// The token, or the joined tokens of the phrase.
    pub word: String,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

impl Tagger {
    /// A tagger over a model with the head `TokenClassification`.
    pub fn new(text_model: TextModel) -> Self {
        Self(text_model)
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.0
    }

    fn label(&self, class: usize) -> String {
        self.0.model().config().label(class)
    }
}

/// A text in progress: its tokens, and the probabilities of each token.
#[derive(Debug)]
pub struct Work {
    encoding: Encoding,
    scores: Vec<Vec<f32>>,
}

/// A token, or several joined tokens, before they are joined with neighbours.
struct Part {
    word: String,
    span: Range<usize>,
    class: usize,
    score: f32,
}

impl Task for Tagger {
    type Input = String;
    type Options = Aggregation;
    type Work = Work;
    type Output = Vec<Entity>;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, text: &String, _: &Aggregation, _: &Cancel) -> Result<Work> {
        let tokenizer = self.0.tokenizer();
        let room = room(self.0.max_len(), tokenizer.special_count(false))?;
        let encoding = tokenizer.encode_first(text, room)?;
        Ok(Work { encoding, scores: Vec::new() })
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        (index == 0).then(|| self.0.tokenizer().single(&work.encoding.ids).into())
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], _: &Aggregation) {
        let tokens = values.chunks_exact(self.0.model().config().num_labels().max(1));
        let scores = tokens.map(|logits| {
            let mut p = logits.to_vec();
            softmax(&mut p);
            p
        });
        // Without [CLS] and [SEP].
        work.scores = scores.skip(self.0.tokenizer().before_text(false)).take(work.encoding.len()).collect();
    }

    fn end(&self, work: Work, text: &String, aggregation: &Aggregation) -> Result<Vec<Entity>> {
        let Work { encoding, scores } = work;
        let tokens = self.tokens(&encoding, text);
        let single = |((word, span, _), scores): (&Token, &Vec<f32>)| {
            let class = argmax(scores);
            Part { word: word.clone(), span: span.clone(), class, score: scores[class] }
        };
        let parts: Vec<Part> = match aggregation {
            Aggregation::None | Aggregation::Simple => tokens.iter().zip(&scores).map(single).collect(),
            strategy => self.words(&tokens, &scores, *strategy),
        };
        let entities = if *aggregation == Aggregation::None {
            let entity = |(at, part): (usize, Part)| Entity {
                label: self.label(part.class),
                score: part.score,
                index: Some(at + self.0.tokenizer().before_text(false)),
                word: part.word,
                span: part.span,
            };
            parts.into_iter().enumerate().map(entity).collect()
        } else {
            self.phrases(&parts)
        };
        Ok(entities.into_iter().filter(|e: &Entity| e.label != "O").collect())
    }
}

/// The text of a token, its bytes, and whether it continues a word.
type Token = (String, Range<usize>, bool);

impl Tagger {
    /// The tokens of a text. Like in the pipeline, a token continues a word if its length differs from that of its
    /// text, because `##` makes it longer. For tokenizers without such a mark, a token continues a word if there is no
    /// space before it or at its start.
    fn tokens(&self, encoding: &Encoding, text: &str) -> Vec<Token> {
        let tokenizer = self.0.tokenizer();
        let unknown = tokenizer.special().unk;
        let token = |(id, span): (&u32, &Range<usize>)| {
            let reference = &text[span.clone()];
            let word = tokenizer.id_to_token(*id).unwrap_or_default();
            if *id == unknown {
                return (reference.to_owned(), span.clone(), false);
            }
            let continues = match tokenizer.marks_pieces() {
                true => word.chars().count() != reference.chars().count(),
                false => {
                    let before = &text[..span.start];
                    !(before.is_empty() || before.ends_with(' ') || text[before.len()..].starts_with(' '))
                }
            };
            (word, span.clone(), continues)
        };
        encoding.ids.iter().zip(&encoding.offsets).map(token).collect()
    }

    /// Joins tokens to words, each with one class.
    fn words(&self, tokens: &[Token], scores: &[Vec<f32>], strategy: Aggregation) -> Vec<Part> {
        let mut words = Vec::new();
        let mut first = 0;
        while first < tokens.len() {
            let more = tokens[first + 1..].iter().take_while(|(_, _, continues)| *continues).count();
            let range = first..first + 1 + more;
            let (class, score) = verdict(&scores[range.clone()], strategy);
            let (parts, last) = (&tokens[range.clone()], range.end - 1);
            words.push(Part {
                word: self.0.tokenizer().join(parts.iter().map(|(word, _, _)| word.clone()).collect()),
                span: tokens[first].1.start..tokens[last].1.end,
                class,
                score,
            });
            first = range.end;
        }
        words
    }

    /// Joins neighbours of one class; a `B-` begins a new phrase.
    fn phrases(&self, parts: &[Part]) -> Vec<Entity> {
        let mut phrases = Vec::new();
        let mut first = 0;
        while first < parts.len() {
            let mut end = first + 1;
            let mut before = self.label(parts[first].class);
            while let Some(part) = parts.get(end) {
                let label = self.label(part.class);
                if label.starts_with("B-") || bare(&label) != bare(&before) {
                    break;
                }
                (before, end) = (label, end + 1);
            }
            let phrase = &parts[first..end];
            let score = phrase.iter().map(|p| f64::from(p.score)).sum::<f64>() / phrase.len() as f64;
            let label = self.label(parts[first].class);
            phrases.push(Entity {
                label: label.split_once('-').map_or(label.as_str(), |(_, rest)| rest).to_owned(),
                score: score as f32,
                index: None,
                word: self.0.tokenizer().join(phrase.iter().map(|p| p.word.clone()).collect()),
                span: parts[first].span.start..parts[end - 1].span.end,
            });
            first = end;
        }
        phrases
    }
}

/// A label without `B-` or `I-`.
fn bare(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

/// The class of a word and its probability, from those of its tokens.
fn verdict(tokens: &[Vec<f32>], strategy: Aggregation) -> (usize, f32) {
    let best = |scores: &[f32]| {
        let class = argmax(scores);
        (class, scores[class])
    };
    match strategy {
        Aggregation::Max => {
            let surest = tokens.iter().map(|t| best(t)).reduce(|a, b| if b.1 > a.1 { b } else { a });
            surest.unwrap_or((0, 0.0))
        }
        Aggregation::Average => {
            let mut mean = vec![0.0; tokens[0].len()];
            for token in tokens {
                mean.iter_mut().zip(token).for_each(|(m, p)| *m += p);
            }
            mean.iter_mut().for_each(|m| *m /= tokens.len() as f32);
            best(&mean)
        }
        _ => best(&tokens[0]),
    }
}
