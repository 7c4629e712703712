//! The commands that run a text task. They make inputs of a [`Task`] from arguments or lines, and objects from its
//! results.

use clap::Args;
use cloze::checkpoint::Head;
use cloze::device::Cancel;
use cloze::fields::{Reads, Role};
use cloze::tasks::classify::Classifier;
use cloze::tasks::fill_mask::{FillMask, FillMaskOptions};
use cloze::tasks::next_sentence::NextSentence;
use cloze::tasks::run::{Task, run, run_one};
use cloze::tasks::tag::{Aggregation, Entity, Tagger};
use cloze::tasks::text_model::{TextModel, TextPair};
use cloze::tasks::zero_shot::{ZeroShot, ZeroShotOptions};
use cloze::text::Offsets;
use cloze::{Error, Result};
use serde::Serialize;

use super::batch::{self, Batch, Fields, Outcome};
use super::common::Common;

/// A text given as an argument, or many as lines.
#[derive(Debug, Args)]
pub struct Text {
    /// The text
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub text: Option<String>,
    #[command(flatten)]
    pub batch: Batch,
}

impl Common {
    /// Opens the chosen model with this head, on the chosen device.
    pub fn text_model(&self, head: Head) -> Result<TextModel> {
        let dir = self.required_model_dir()?;
        TextModel::open(dir, head, self.open_device()?.device)
    }
}

/// Runs `task` on the single input or on every line of the batch. `objects` makes the printed objects of a result.
pub fn perform<T: Task, O: Serialize>(
    task: &T,
    options: &T::Options,
    batch: &Batch,
    common: &Common,
    single: Option<T::Input>,
    input: (Reads, impl Fn(Fields) -> Result<T::Input>),
    objects: impl Fn(&T::Input, T::Output) -> Vec<O>,
) -> Result<Outcome> {
    if let Some(input) = single {
        let output = cloze::block_on(run_one(task, &input, options, &Cancel::new()))?;
        batch::single(batch, &objects(&input, output))?;
        return Ok(Outcome::AllGood);
    }
    batch::run(batch, common, task.rows(options), input, |inputs, cancel| {
        let found = cloze::block_on(run(task, inputs, options, cancel))?;
        let text = |(input, output): (&T::Input, Result<T::Output>)| as_json(&objects(input, output?));
        Ok(inputs.iter().zip(found).map(text).collect())
    })
}

/// Suggest words for each [MASK] in a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze fill-mask 'The capital of France is [MASK].' --model google-bert/bert-base-uncased
  cloze fill-mask 'She is a [MASK].' --targets doctor,nurse --model google-bert/bert-base-uncased
  cloze fill-mask --input texts.jsonl --output words.jsonl --model google-bert/bert-base-uncased

Each line is {\"mask\",\"token_id\",\"token\",\"score\",\"sequence\"}, best first for each mask.
mask counts the masks in the text from 0.")]
pub struct FillMaskArgs {
    #[command(flatten)]
    pub text: Text,
    /// Number of words for each mask
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub top_k: usize,
    /// Choose only among these words
    #[arg(long, value_name = "WORD,…", value_delimiter = ',')]
    pub targets: Vec<String>,
}

pub fn fill_mask(args: FillMaskArgs, common: &Common) -> Result<Outcome> {
    args.text.batch.check(common)?;
    let mut options = FillMaskOptions { top_k: args.top_k, targets: None };
    options.check()?;
    let task = FillMask::new(common.text_model(Head::MaskedLm)?)?;
    if !args.targets.is_empty() {
        options.targets = Some(task.targets(&args.targets)?);
    }
    let Text { text, batch } = args.text;
    let reads = Reads { options: &[("targets", "Give --targets"), ("top_k", "Give --top-k")], ..Reads::TEXT };
    perform(&task, &options, &batch, common, text, (reads, |f| Fields::need(f.text, "text")), |_, filled| filled)
}

/// Classify a text, or a pair of texts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze classify 'A warm, funny film.' --model ./sst2-bert
  cloze classify 'It rained.' --pair 'The streets are wet.' --model ./mnli-bert
  cloze classify --input reviews.jsonl --output labels.jsonl --model ./sst2-bert

Each line is {\"label\",\"score\"}. All labels are printed, best first.")]
pub struct ClassifyArgs {
    #[command(flatten)]
    pub text: Text,
    /// The second text of a pair
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub pair: Option<String>,
}

pub fn classify(args: ClassifyArgs, common: &Common) -> Result<Outcome> {
    args.text.batch.check(common)?;
    let task = Classifier::new(common.text_model(Head::SequenceClassification)?);
    let Text { text, batch } = args.text;
    let single = text.map(|text| TextPair { text, pair: args.pair });
    perform(&task, &(), &batch, common, single, TEXT_PAIR, |_, scored| scored)
}

/// Reads a text and perhaps its pair from a line.
pub const TEXT_PAIR: (Reads, fn(Fields) -> Result<TextPair>) = (Reads::TEXT_PAIR, text_pair);

/// The text of a line, and the second text if it has one.
pub fn text_pair(fields: Fields) -> Result<TextPair> {
    Ok(TextPair { text: Fields::need(fields.text, "text")?, pair: fields.pair })
}

/// Find names and other classes of tokens in a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze tag 'Ada Lovelace lived in London.' --model ./ner-bert --aggregation simple
  cloze tag --input texts.jsonl --output entities.jsonl --model ./ner-bert

Each line is {\"entity\",\"score\",\"index\",\"word\",\"start\",\"end\"}. With an aggregation, it is
{\"entity_group\",\"score\",\"word\",\"start\",\"end\"}. start and end count code points. Tokens of the class O
are not printed.")]
pub struct TagArgs {
    #[command(flatten)]
    pub text: Text,
    /// How to join tokens into phrases: none, simple, first, average or max
    #[arg(long, value_name = "HOW", default_value = "none")]
    pub aggregation: Aggregation,
}

/// An object of `cloze tag`; offsets in code points.
#[derive(Serialize)]
struct Tagged {
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_group: Option<String>,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    word: String,
    start: usize,
    end: usize,
}

pub fn tag(args: TagArgs, common: &Common) -> Result<Outcome> {
    args.text.batch.check(common)?;
    let task = Tagger::new(common.text_model(Head::TokenClassification)?);
    let Text { text, batch } = args.text;
    let aggregation = args.aggregation;
    let objects = |text: &String, entities: Vec<Entity>| {
        let points = Offsets::in_code_points(text);
        let object = |e: Entity| {
            let (entity, entity_group) =
                if aggregation == Aggregation::None { (Some(e.label), None) } else { (None, Some(e.label)) };
            let (start, end) = (points.at(e.span.start), points.at(e.span.end));
            Tagged { entity, entity_group, score: e.score, index: e.index, word: e.word, start, end }
        };
        entities.into_iter().map(object).collect()
    };
    let reads = Reads { options: &[("aggregation_strategy", "Give --aggregation")], ..Reads::TEXT };
    perform(&task, &aggregation, &batch, common, text, (reads, |f| Fields::need(f.text, "text")), objects)
}

/// Say how likely it is that one text follows another.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze next-sentence 'He went to the shop.' 'He bought bread.' --model google-bert/bert-base-uncased
  cloze next-sentence --input pairs.jsonl --model google-bert/bert-base-uncased

The result is {\"is_next\"}, a probability. In a batch, each line has text and pair.")]
pub struct NextSentenceArgs {
    /// The first text
    #[arg(value_name = "A", required_unless_present = "input", conflicts_with = "input", requires = "pair")]
    pub text: Option<String>,
    /// The text that may follow it
    #[arg(value_name = "B")]
    pub pair: Option<String>,
    #[command(flatten)]
    pub batch: Batch,
}

pub fn next_sentence(args: NextSentenceArgs, common: &Common) -> Result<Outcome> {
    args.batch.check(common)?;
    let task = NextSentence::new(common.text_model(Head::NextSentence)?);
    let single = args.text.map(|text| TextPair { text, pair: args.pair });
    let objects = |_: &TextPair, is_next: f32| vec![serde_json::json!({ "is_next": is_next })];
    let input = |fields: Fields| {
        let pair = text_pair(fields)?;
        Fields::need(pair.pair.as_ref(), "pair")?;
        Ok(pair)
    };
    perform(&task, &(), &args.batch, common, single, (Reads::TEXT_PAIR, input), objects)
}

/// Classify a text by your own labels, with a natural language inference model.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze zero-shot 'The match went to penalties.' --labels sport,politics,music --model ./mnli-bert
  cloze zero-shot --input news.jsonl --labels sport,arts --template 'About {}.' --model ./mnli-bert

Each line is {\"label\",\"score\"}. All labels are printed, best first. A line of a batch may have its own
labels: the array candidate_labels.")]
pub struct ZeroShotArgs {
    #[command(flatten)]
    pub text: Text,
    /// The labels; in a batch, the labels for lines without candidate_labels
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', required_unless_present = "input")]
    pub labels: Vec<String>,
    /// The sentence to test; each label replaces {}
    #[arg(long, value_name = "TEXT", default_value = "This example is {}.")]
    pub template: String,
    /// Allow several labels to be true: each score is a separate probability
    #[arg(long)]
    pub multi_label: bool,
}

pub fn zero_shot(args: ZeroShotArgs, common: &Common) -> Result<Outcome> {
    args.text.batch.check(common)?;
    let labels: Vec<String> =
        args.labels.iter().map(|l| l.trim().to_owned()).filter(|label| !label.is_empty()).collect();
    let options = ZeroShotOptions { labels, template: args.template, multi_label: args.multi_label };
    if !args.labels.is_empty() {
        options.check()?;
    }
    let task = ZeroShot::new(common.text_model(Head::SequenceClassification)?)?;
    let Text { text, batch } = args.text;
    if text.is_some() {
        let input = (Reads::TEXT, |f: Fields| Fields::need(f.text, "text"));
        return perform(&task, &options, &batch, common, text, input, |_, scored| scored);
    }
    let input = |fields: Fields| {
        let labels = fields.labels.or_else(|| Some(options.labels.clone()).filter(|labels| !labels.is_empty()));
        Ok((Fields::need(fields.text, "text")?, Fields::need(labels, "candidate_labels")?))
    };
    batch::run(&batch, common, task.rows(&options), (ZERO_SHOT, input), |inputs: &[(String, Vec<String>)], cancel| {
        let mut all = Vec::with_capacity(inputs.len());
        // Neighbouring lines with the same labels are packed together.
        for group in inputs.chunk_by(|a, b| a.1 == b.1) {
            let labels = group.first().map(|(_, labels)| labels.clone()).unwrap_or_default();
            let options = ZeroShotOptions { labels, ..options.clone() };
            let texts: Vec<String> = group.iter().map(|(text, _)| text.clone()).collect();
            let found = cloze::block_on(run(&task, &texts, &options, cancel))?;
            all.extend(found.into_iter().map(|scored| as_json(&scored?)));
        }
        Ok(all)
    })
}

/// A text, perhaps with labels of its own.
const ZERO_SHOT: Reads = Reads {
    roles: &[Role::Text, Role::Labels],
    options: &[
        ("labels", "Write \"candidate_labels\" for labels of the line's own, or give --labels for all"),
        ("hypothesis_template", "Give --template"),
        ("multi_label", "Give --multi-label"),
    ],
};

/// The result of a line.
fn as_json(objects: &impl Serialize) -> Result<String> {
    serde_json::to_string(objects).map_err(|e| Error::io("write", "a result", e.into()))
}
