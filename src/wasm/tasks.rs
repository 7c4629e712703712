//! The tasks, their requests and their results as JSON.

use std::ops::Range;
use std::sync::Arc;

use js_sys::{Array, Float32Array, Uint32Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

use super::Files;
use super::error::JavaScript;
use super::json::parse;
use crate::checkpoint::Head;
use crate::device::{Cancel, Device};
use crate::error::{Error, Result, clip};
use crate::model::Model;
use crate::pooling::Pooling;
use crate::tasks::answer::{Answer, AnswerOptions, TokenScore};
use crate::tasks::classify::Classifier;
use crate::tasks::embed::{EmbedOptions, Embedder};
use crate::tasks::fill_mask::{FillMask, FillMaskOptions};
use crate::tasks::next_sentence::NextSentence;
use crate::tasks::question_answering::{Explaining, Explanation, Question, QuestionAnswering};
use crate::tasks::rank::{Query, RankOptions, Reranker};
use crate::tasks::run::{Task, run};
use crate::tasks::tag::{Aggregation, Tagger};
use crate::tasks::text_model::{TextModel, TextPair};
use crate::tasks::zero_shot::{ZeroShot, ZeroShotOptions};
use crate::text::Offsets;

/// A model with the task that it was loaded for.
#[derive(Debug)]
pub(super) enum Tasks {
    QuestionAnswering(QuestionAnswering),
    FillMask(FillMask),
    FeatureExtraction(Embedder),
    TextClassification(Classifier),
    TokenClassification(Tagger),
    NextSentence(NextSentence),
    ZeroShot(ZeroShot),
    Ranking(Reranker),
}

/// The options of loading a model.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LoadOptions {
    pooling: Option<String>,
}

/// The request of a call.
#[derive(Deserialize)]
struct Request<I, O> {
    inputs: Vec<I>,
    options: O,
}

#[derive(Deserialize)]
struct QuestionJson {
    question: String,
    context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct AnswerJson {
    top_k: usize,
    max_answer_tokens: usize,
    max_seq_len: Option<usize>,
    doc_stride: Option<usize>,
    no_answer: bool,
    align_to_words: bool,
    /// Whether to return the scores of tokens, too.
    explain: bool,
}

impl Default for AnswerJson {
    fn default() -> Self {
        let AnswerOptions { top_k, max_answer_tokens, max_seq_len, doc_stride, no_answer, align_to_words } =
            AnswerOptions::default();
        Self { top_k, max_answer_tokens, max_seq_len, doc_stride, no_answer, align_to_words, explain: false }
    }
}

#[derive(Deserialize)]
struct TextJson {
    text: String,
    #[serde(default)]
    pair: Option<String>,
}

impl From<TextJson> for TextPair {
    fn from(TextJson { text, pair }: TextJson) -> Self {
        Self { text, pair }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct FillJson {
    top_k: Option<usize>,
    targets: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EmbedJson {
    pooling: Option<String>,
    normalize: Option<bool>,
    prompt: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TagJson {
    aggregation: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ZeroShotJson {
    labels: Vec<String>,
    template: Option<String>,
    multi_label: bool,
}

#[derive(Deserialize)]
struct QueryJson {
    query: String,
    texts: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RankJson {
    top_k: Option<usize>,
    prompt: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NoOptions {}

/// A place in the input's text, in UTF-16 units. The caller has the text and cuts it out.
#[derive(Serialize)]
struct SpanJson {
    score: f64,
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct EntityJson {
    entity: String,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    word: String,
    start: usize,
    end: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResultJson<T> {
    Good(T),
    Bad { error: ErrorJson },
}

#[derive(Serialize)]
struct ErrorJson {
    code: &'static str,
    message: String,
}

impl From<&Error> for ErrorJson {
    fn from(error: &Error) -> Self {
        Self { code: error.code(), message: error.render(&JavaScript) }
    }
}

/// The error of an input, among results that are not JSON.
fn bad(error: &Error) -> JsValue {
    let text = serde_json::to_string(&ResultJson::<()>::Bad { error: error.into() }).expect("an error is JSON");
    js_sys::JSON::parse(&text).unwrap_or(JsValue::NULL)
}

impl Tasks {
    pub fn load(task: &str, mut files: Files, device: Arc<Device>, options: &str) -> Result<Self> {
        let LoadOptions { pooling } = parse(options)?;
        if pooling.is_some() && task != "feature-extraction" {
            return Err(Error::Option {
                name: "pooling",
                problem: format!("{} pools nothing", clip(task)),
                help: "Leave it out".into(),
            });
        }
        let open_in = |mut files: Files, dir: Option<&str>, head: Head| {
            let (checkpoint, tokenizer) = files.open(dir)?;
            TextModel::new(checkpoint, tokenizer, head, device.clone())
        };
        let open = |files: Files, head: Head| open_in(files, None, head);
        Ok(match task {
            "question-answering" => {
                let (checkpoint, tokenizer) = files.open(None)?;
                Tasks::QuestionAnswering(QuestionAnswering::new(checkpoint, tokenizer, device.clone())?)
            }
            "fill-mask" => Tasks::FillMask(FillMask::new(open(files, Head::MaskedLm)?)?),
            "feature-extraction" => {
                let mut sentence = files.sentence()?;
                match pooling.as_deref() {
                    None | Some("auto") => {}
                    Some("none") => sentence.without_pooling(),
                    Some(word) => sentence.pool_by(vec![pooling_of(word)?]),
                }
                Tasks::FeatureExtraction(files.embedder(sentence, device)?)
            }
            "text-classification" => {
                Tasks::TextClassification(Classifier::new(open(files, Head::SequenceClassification)?))
            }
            "token-classification" => Tasks::TokenClassification(Tagger::new(open(files, Head::TokenClassification)?)),
            "next-sentence" => Tasks::NextSentence(NextSentence::new(open(files, Head::NextSentence)?)),
            "text-ranking" => {
                let cross_encoder = files.cross_encoder()?;
                let dir = cross_encoder.encoder.clone();
                let model = open_in(files, dir.as_deref(), Head::SequenceClassification)?;
                Tasks::Ranking(Reranker::new(model, cross_encoder)?)
            }
            "zero-shot" => Tasks::ZeroShot(ZeroShot::new(open(files, Head::SequenceClassification)?)?),
            _ => {
                return Err(Error::Option {
                    name: "task",
                    problem: format!("unknown task '{}'", clip(task)),
                    help: "Use one that the documentation lists".into(),
                });
            }
        })
    }

    pub fn model(&self) -> &Model {
        match self {
            Tasks::QuestionAnswering(task) => task.model(),
            Tasks::FillMask(task) => task.model(),
            Tasks::FeatureExtraction(task) => task.model(),
            Tasks::TextClassification(task) => task.model(),
            Tasks::TokenClassification(task) => task.model(),
            Tasks::NextSentence(task) => task.model(),
            Tasks::ZeroShot(task) => task.model(),
            Tasks::Ranking(task) => task.model(),
        }
    }

    pub async fn run(&self, request: &str, cancel: &Cancel) -> Result<JsValue> {
        Ok(match self {
            Tasks::QuestionAnswering(task) => {
                let Request { inputs, options } = parse::<Request<QuestionJson, AnswerJson>>(request)?;
                let question = |q: QuestionJson| Question { question: q.question, context: q.context };
                let inputs: Vec<_> = inputs.into_iter().map(question).collect();
                let AnswerJson {
                    top_k,
                    max_answer_tokens,
                    max_seq_len,
                    doc_stride,
                    no_answer,
                    align_to_words,
                    explain,
                } = options;
                let options =
                    AnswerOptions { top_k, max_answer_tokens, no_answer, align_to_words, max_seq_len, doc_stride };
                options.check()?;
                // This always runs the task with token scores, because a second task would double the code.
                let results = run(&Explaining(task), &inputs, &options, cancel).await?;
                match explain {
                    true => values(&inputs, results, explained),
                    false => json(&inputs, results, |input, found| spans(&input.context, found.answers)),
                }
            }
            Tasks::FillMask(task) => {
                let Request { inputs, options } = parse::<Request<String, FillJson>>(request)?;
                let FillJson { top_k, targets } = options;
                let targets = targets.map(|words| task.targets(&words)).transpose()?;
                let top_k = top_k.unwrap_or(FillMaskOptions::default().top_k);
                let options = FillMaskOptions { top_k, targets };
                options.check()?;
                json(&inputs, run(task, &inputs, &options, cancel).await?, |_, filled| filled)
            }
            Tasks::FeatureExtraction(task) => {
                let Request { inputs, options } = parse::<Request<TextJson, EmbedJson>>(request)?;
                let EmbedJson { pooling, normalize, prompt, dimensions } = options;
                if let Some(word) = pooling.filter(|word| word != "auto") {
                    loaded_with(task, &word)?;
                }
                let options = EmbedOptions { normalize, prompt, dimensions };
                task.check(&options)?;
                let inputs: Vec<TextPair> = inputs.into_iter().map(Into::into).collect();
                let width = task.width(&options)?;
                values(&inputs, run(task, &inputs, &options, cancel).await?, |_, values| {
                    let rows = || values.chunks_exact(width).map(|row| JsValue::from(Float32Array::from(row)));
                    match task.is_pooled() {
                        true => Float32Array::from(values.as_slice()).into(),
                        false => rows().collect::<Array>().into(),
                    }
                })
            }
            Tasks::TextClassification(task) => {
                let Request { inputs, options: NoOptions {} } = parse::<Request<TextJson, NoOptions>>(request)?;
                let inputs: Vec<TextPair> = inputs.into_iter().map(Into::into).collect();
                json(&inputs, run(task, &inputs, &(), cancel).await?, |_, scored| scored)
            }
            Tasks::TokenClassification(task) => {
                let Request { inputs, options } = parse::<Request<String, TagJson>>(request)?;
                let aggregation = options.aggregation.map(|name| name.parse()).transpose()?;
                let aggregation: Aggregation = aggregation.unwrap_or_default();
                json(&inputs, run(task, &inputs, &aggregation, cancel).await?, |text, entities| {
                    let units = Offsets::in_utf16(text);
                    let entity = |e: crate::tasks::tag::Entity| {
                        let (start, end) = (units.at(e.span.start), units.at(e.span.end));
                        EntityJson { entity: e.label, score: e.score, index: e.index, word: e.word, start, end }
                    };
                    entities.into_iter().map(entity).collect::<Vec<_>>()
                })
            }
            Tasks::NextSentence(task) => {
                let Request { inputs, options: NoOptions {} } = parse::<Request<TextJson, NoOptions>>(request)?;
                let inputs: Vec<TextPair> = inputs.into_iter().map(Into::into).collect();
                json(&inputs, run(task, &inputs, &(), cancel).await?, |_, is_next| is_next)
            }
            Tasks::Ranking(task) => {
                let Request { inputs, options } = parse::<Request<QueryJson, RankJson>>(request)?;
                let query = |QueryJson { query, texts }: QueryJson| Query { query, texts };
                let inputs: Vec<_> = inputs.into_iter().map(query).collect();
                let options = RankOptions { top_k: options.top_k, prompt: options.prompt };
                task.check(&options)?;
                json(&inputs, run(task, &inputs, &options, cancel).await?, |_, ranking| ranking)
            }
            Tasks::ZeroShot(task) => {
                let Request { inputs, options } = parse::<Request<String, ZeroShotJson>>(request)?;
                let ZeroShotJson { labels, template, multi_label } = options;
                let template = template.unwrap_or(ZeroShotOptions::default().template);
                let options = ZeroShotOptions { labels, template, multi_label };
                options.check()?;
                json(&inputs, run(task, &inputs, &options, cancel).await?, |_, scored| scored)
            }
        })
    }
}

fn pooling_of(word: &str) -> Result<Pooling> {
    Pooling::from_word(word).ok_or_else(|| Error::Option {
        name: "pooling",
        problem: format!("unknown pooling '{}'", clip(word)),
        help: format!("Use auto, none, {}", Pooling::WORDS.map(|(word, _)| word).join(", ")).into(),
    })
}

/// # Errors
/// [`Error::Option`] if a call requests another pooling than the one with which its model was loaded.
fn loaded_with(task: &Embedder, word: &str) -> Result<()> {
    let asked = if word == "none" { None } else { Some(pooling_of(word)?) };
    match task.sentence().poolings() == asked.as_slice() && task.is_pooled() == asked.is_some() {
        true => Ok(()),
        false => Err(Error::Option {
            name: "pooling",
            problem: format!("the pipeline was loaded with another than '{}'", clip(word)),
            help: "Give it when the pipeline is made".into(),
        }),
    }
}

fn spans(context: &str, answers: Vec<Answer>) -> Vec<SpanJson> {
    let units = Offsets::in_utf16(context);
    let span = |a: Answer| SpanJson { score: a.score, start: units.at(a.start), end: units.at(a.end) };
    answers.into_iter().map(span).collect()
}

/// `[answers as JSON, tokens read, starts, ends, start scores, end scores]`, with a number for each token of the
/// context.
fn explained(input: &Question, Explanation { answers, context, tokens }: Explanation) -> JsValue {
    let units = Offsets::in_utf16(&input.context);
    let answers = serde_json::to_string(&spans(&input.context, answers)).expect("answers are JSON");
    let places = |place: fn(&Range<usize>) -> usize| -> JsValue {
        let places: Vec<u32> = context.iter().map(|token| units.at(place(&token.bytes)) as u32).collect();
        Uint32Array::from(places.as_slice()).into()
    };
    let scores = |score: fn(&TokenScore) -> f32| -> JsValue {
        Float32Array::from(context.iter().map(score).collect::<Vec<_>>().as_slice()).into()
    };
    let parts = [places(|b| b.start), places(|b| b.end), scores(|t| t.start), scores(|t| t.end)];
    [answers.into(), JsValue::from(tokens)].into_iter().chain(parts).collect::<Array>().into()
}

/// Results as values that are not JSON.
fn values<I, R>(inputs: &[I], results: Vec<Result<R>>, value: impl Fn(&I, R) -> JsValue) -> JsValue {
    let either = |(input, result): (&I, Result<R>)| match result {
        Ok(output) => value(input, output),
        Err(e) => bad(&e),
    };
    inputs.iter().zip(results).map(either).collect::<Array>().into()
}

/// Results as JSON.
fn json<I, R, O: Serialize>(inputs: &[I], results: Vec<Result<R>>, object: impl Fn(&I, R) -> O) -> JsValue {
    let result = |(input, result): (&I, Result<R>)| match result {
        Ok(output) => ResultJson::Good(object(input, output)),
        Err(e) => ResultJson::Bad { error: (&e).into() },
    };
    let results: Vec<_> = inputs.iter().zip(results).map(result).collect();
    // The results have only numbers, names and texts, so writing them cannot fail.
    serde_json::to_string(&results).expect("results are JSON").into()
}
