//! `cloze answer`

use std::io::IsTerminal;
use std::path::Path;

use cloze::device::Cancel;
use cloze::files::read_at_most;
use cloze::tasks::answer::AnswerOptions;
use cloze::text::CodePoints;
use cloze::{Error, Result};
use serde::Serialize;

use super::args::{AnswerArgs, Common};
use super::show;

/// A line of `--json`; offsets in code points.
#[derive(Serialize)]
struct Line<'a> {
    answer: &'a str,
    score: f64,
    start: usize,
    end: usize,
}

pub fn run(args: &AnswerArgs, common: &Common) -> Result<()> {
    let options = AnswerOptions {
        top_k: args.top_k,
        max_answer_tokens: args.max_answer_tokens,
        no_answer: args.no_answer,
        max_seq_len: args.max_seq_len,
        doc_stride: args.doc_stride,
        ..AnswerOptions::default()
    };
    options.check()?;
    let context = context(args, common)?;
    let qa = common.open_model()?;
    let answers = cloze::block_on(qa.answer(&args.question, &context, &options, &Cancel::new()))?;
    let points = CodePoints::new(&context);
    for answer in &answers {
        let (start, end) = (points.at(answer.start), points.at(answer.end));
        if common.json {
            show::json(&Line { answer: &answer.text, score: answer.score, start, end })?;
        } else if answer.text.is_empty() {
            show::line(&format!("(the text has no answer)  {0}{1:.3}{0:#}", show::DIM, answer.score))?;
        } else {
            let text = show::highlighted(&context, answer.start, answer.end);
            show::line(&format!("{text}  {0}{1:.3}{0:#}", show::DIM, answer.score))?;
        }
    }
    Ok(())
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
