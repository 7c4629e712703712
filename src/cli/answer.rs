//! `cloze answer`

use std::io::IsTerminal;
use std::path::Path;

use cloze::device::Cancel;
use cloze::files::read_at_most;
use cloze::tasks::answer::{Answer, AnswerOptions};
use cloze::tasks::question_answering::Question;
use cloze::text::CodePoints;
use cloze::{Error, Result};
use serde::Serialize;

use super::args::{AnswerArgs, Common};
use super::batch::{Fields, Outcome};
use super::show;

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
    args.batch.check()?;
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
        if answer.text.is_empty() {
            show::line(&format!("(the text has no answer)  {0}{1:.3}{0:#}", show::DIM, answer.score))?;
        } else {
            let text = show::highlighted(&context, answer.start, answer.end);
            show::line(&format!("{text}  {0}{1:.3}{0:#}", show::DIM, answer.score))?;
        }
    }
    Ok(Outcome::AllGood)
}

/// Answers with offsets in code points.
fn lines(context: &str, answers: Vec<Answer>) -> Vec<Line> {
    let points = CodePoints::new(context);
    let line = |a: Answer| Line { score: a.score, start: points.at(a.start), end: points.at(a.end), answer: a.text };
    answers.into_iter().map(line).collect()
}

/// A batch; what a line lacks the arguments give.
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
    super::tasks::perform(&qa, options, &args.batch, common, None, question, objects)
}

/// Bytes of a text: more than the largest encyclopedia's longest article by far.
const MOST: u64 = 64 << 20;

fn context(args: &AnswerArgs, common: &Common) -> Result<String> {
    let utf8 = |name: &str, bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|e| Error::Input {
            problem: format!("{name} is not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
            mend: "Convert it, for example with iconv".into(),
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
