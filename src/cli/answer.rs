//! `cloze answer`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use cloze::device::Cancel;
use cloze::fields::Reads;
use cloze::files::read_at_most;
use cloze::tasks::answer::{Answer, AnswerOptions};
use cloze::tasks::question_answering::Question;
use cloze::text::Offsets;
use cloze::{Error, Result};
use serde::Serialize;

use super::batch::{Batch, Fields, Outcome};
use super::common::Common;
use super::show;

/// Find the parts of a text that answer a question.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze answer -q 'Where do otters sleep?' -c 'Sea otters sleep on their backs in kelp forests.'
  cloze answer -q 'Who signed it?' --context-file treaty.txt --top-k 3
  pdftotext report.pdf - | cloze answer --json -q 'What was the revenue in 2024?'
  cloze answer --input questions.jsonl --output answers.jsonl

With --json, each line is {\"answer\",\"score\",\"start\",\"end\"}, best first. start and end count
code points.")]
pub struct AnswerArgs {
    /// The question; in a batch, the question for lines that have none
    #[arg(short, long, value_name = "TEXT", required_unless_present = "input")]
    pub question: Option<String>,
    /// The text that contains the answer [default: stdin]; in a batch, the text for lines that have none
    #[arg(short, long, value_name = "TEXT", conflicts_with = "context_file")]
    pub context: Option<String>,
    /// Read the text from this UTF-8 file
    #[arg(long, value_name = "FILE")]
    pub context_file: Option<PathBuf>,
    #[command(flatten)]
    pub batch: Batch,
    /// Maximum number of answers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub top_k: usize,
    /// Maximum length of an answer in tokens, before it is extended to whole words
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub max_answer_tokens: usize,
    /// Tokens in a window [default: 384, or the model's limit if that is smaller]
    #[arg(long, value_name = "N")]
    pub max_seq_len: Option<usize>,
    /// Tokens that neighboring windows share [default: 128, or half a window if that is smaller; fewer with a very long
    /// question]
    #[arg(long, value_name = "N")]
    pub doc_stride: Option<usize>,
    /// Let "the text has no answer" compete with the answers, as an empty answer
    #[arg(long)]
    pub no_answer: bool,
}

/// An object of `--json` and of batches; offsets in code points.
#[derive(Serialize)]
struct Line {
    answer: String,
    score: f64,
    start: usize,
    end: usize,
}

pub fn run(args: AnswerArgs, common: &Common) -> Result<Outcome> {
    let options = AnswerOptions {
        top_k: args.top_k,
        max_answer_tokens: args.max_answer_tokens,
        no_answer: args.no_answer,
        max_seq_len: args.max_seq_len,
        doc_stride: args.doc_stride,
        ..AnswerOptions::default()
    };
    options.check()?;
    args.batch.check(common)?;
    if args.batch.input.is_some() {
        return many(&args, &options, common);
    }
    let question = args.question.clone().unwrap_or_default();
    let context = context(&args, common)?;
    let qa = common.open_model()?;
    let answers = cloze::block_on(qa.answer(&question, &context, &options, &Cancel::new()))?;
    if common.json || args.batch.output != Path::new("-") {
        super::batch::single(&args.batch, &lines(&context, answers))?;
        return Ok(Outcome::AllGood);
    }
    for answer in &answers {
        let score = format!("{:.3}", answer.score);
        let score = [(show::PLAIN, "  "), (show::DIM, score.as_str())];
        if answer.text.is_empty() {
            show::spans(&[&[(show::PLAIN, "(the text has no answer)")], &score[..]].concat())?;
        } else {
            let text = show::highlighted(&context, answer.start, answer.end);
            let text = text.each_ref().map(|(style, part)| (*style, part.as_str()));
            show::spans(&[&text[..], &score].concat())?;
        }
    }
    Ok(Outcome::AllGood)
}

/// Answers with offsets in code points.
fn lines(context: &str, answers: Vec<Answer>) -> Vec<Line> {
    let points = Offsets::in_code_points(context);
    let line = |a: Answer| Line { score: a.score, start: points.at(a.start), end: points.at(a.end), answer: a.text };
    answers.into_iter().map(line).collect()
}

/// Runs a batch. The arguments replace fields that a line lacks.
fn many(args: &AnswerArgs, options: &AnswerOptions, common: &Common) -> Result<Outcome> {
    let given = match &args.context_file {
        Some(_) => Some(context(args, common)?),
        None => args.context.clone(),
    };
    let qa = common.open_model()?;
    let question = |fields: Fields| {
        Ok(Question {
            question: Fields::need(fields.question.or_else(|| args.question.clone()), "question")?,
            context: Fields::need(fields.context.or_else(|| given.clone()), "context")?,
        })
    };
    let objects = |input: &Question, answers| lines(&input.context, answers);
    super::tasks::perform(&qa, options, &args.batch, common, None, (ANSWER, question), objects)
}

/// A question and its context.
const ANSWER: Reads = Reads {
    options: &[
        ("top_k", "Give --top-k"),
        ("doc_stride", "Give --doc-stride"),
        ("max_seq_len", "Give --max-seq-len"),
        ("max_answer_len", "Give --max-answer-tokens"),
        ("handle_impossible_answer", "Give --no-answer"),
    ],
    ..Reads::QUESTION
};

/// The most bytes of a text: far more than the longest article of any encyclopedia.
const MOST: u64 = 64 << 20;

fn context(args: &AnswerArgs, common: &Common) -> Result<String> {
    let utf8 = |name: &str, bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|e| Error::Input {
            problem: format!("{name} is not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
            help: "Convert it, for example with iconv".into(),
        })
    };
    match (&args.context, &args.context_file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(path)) => {
            let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
            utf8(&path.display().to_string(), read_at_most(file, path, MOST)?)
        }
        (None, None) => {
            if std::io::stdin().is_terminal() {
                common.note("reading the text from the terminal; end it with Ctrl-D");
            }
            utf8("stdin", read_at_most(std::io::stdin(), Path::new("stdin"), MOST)?)
        }
    }
}
