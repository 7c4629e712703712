//! `cloze rerank`

use clap::Args;
use cloze::fields::Reads;
use cloze::tasks::rank::{Query, RankOptions, Ranked, Reranker};
use cloze::tasks::run::run;
use cloze::{Error, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use super::batch::{self, Batch, Fields, Outcome, Start};
use super::common::Common;
use super::show;
use super::tasks::perform;

/// Rank texts by how well they answer a query, with a cross-encoder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze rerank 'How many people live in Berlin?' 'Berlin is well known for its museums.' \\
    'Berlin had 3.7 million inhabitants in 2019.' --model cross-encoder/ms-marco-MiniLM-L6-v2
  cloze rerank 'How many people live in Berlin?' --input texts.jsonl --top-k 3 --model ./cross-encoder
  cloze rerank --input queries.jsonl --output rankings.jsonl --model ./cross-encoder

Each line is {\"index\",\"score\",\"text\"}, best first. index counts the texts from 0. If you give QUERY, each
line of --input has one text for it. Otherwise each line has a query and its texts, and gets its own ranking.")]
pub struct RerankArgs {
    /// The query that the texts should answer
    #[arg(value_name = "QUERY", required_unless_present = "input")]
    pub query: Option<String>,
    /// The texts
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub texts: Vec<String>,
    /// Print only the N best texts
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Text to put before the query: the name of one of the model's prompts, or your own text
    #[arg(long, value_name = "NAME|TEXT")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub batch: Batch,
}

/// A line of a ranking.
#[derive(Serialize)]
struct Line {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    score: f32,
    text: String,
}

/// A query and its texts.
const QUERY: Reads = Reads {
    options: &[("top_k", "Give --top-k"), ("prompt", "Give --prompt"), ("prompt_name", "Give --prompt")],
    ..Reads::QUERY
};

pub fn rerank(args: RerankArgs, common: &Common) -> Result<Outcome> {
    args.batch.check(common)?;
    let options = RankOptions { top_k: args.top_k, prompt: args.prompt };
    options.check()?;
    if args.query.is_some() && args.batch.resume {
        return Err(Error::Option {
            name: "resume",
            problem: "a ranking is written as a whole".into(),
            help: "Leave it out, or give queries as lines of --input".into(),
        });
    }
    let dir = common.required_model_dir()?;
    let task = Reranker::open(dir, common.open_device()?.device)?;
    task.check(&options)?;
    if let Some(name) = task.cross_encoder().prompts.default_name().filter(|_| options.prompt.is_none()) {
        common.note(&format!("prompt: {name}, the model's default"));
    }
    match (args.query, args.batch.input.is_some()) {
        (Some(query), true) => one_ranking(&task, query, &options, &args.batch, common),
        (query, _) => {
            let single = query.map(|query| Query { query, texts: args.texts });
            perform(&task, &options, &args.batch, common, single, (QUERY, query_of), lines)
        }
    }
}

fn query_of(fields: Fields) -> Result<Query> {
    let missing = || Error::Input {
        problem: "the line has no \"texts\"".into(),
        help: "Give an object with \"query\" and \"texts\", an array of strings; or the query as an argument".into(),
    };
    Ok(Query { query: Fields::need(fields.query, "query")?, texts: fields.texts.ok_or_else(missing)? })
}

fn lines(query: &Query, ranking: Vec<Ranked>) -> Vec<Line> {
    let text = |index: usize| query.texts.get(index).cloned().unwrap_or_default();
    let line = |Ranked { index, score }: Ranked| Line { index, id: None, score, text: text(index) };
    ranking.into_iter().map(line).collect()
}

/// Ranks the texts of the input for one query. A line without a text is reported on stderr and omitted.
fn one_ranking(
    task: &Reranker,
    query: String,
    options: &RankOptions,
    batch: &Batch,
    common: &Common,
) -> Result<Outcome> {
    let most = options.top_k.unwrap_or(usize::MAX);
    let ranked = |line: &Line| Ranked { index: line.index, score: line.score };
    let best = |all: &mut Vec<Line>| {
        all.sort_by(|a, b| Ranked::order(&ranked(a), &ranked(b)));
        all.truncate(most);
    };
    let (mut all, mut bad): (Vec<Line>, _) = (Vec::new(), false);
    let one = |fields: Fields| Ok(Query { query: query.clone(), texts: vec![Fields::need(fields.text, "text")?] });
    batch::each_chunk(batch, common, (Start::default(), Reads::TEXT), 1, |chunk, cancel| {
        let score = |inputs: &[Query]| {
            let found = cloze::block_on(run(task, inputs, options, cancel))?;
            Ok(inputs.iter().zip(found).map(|(input, ranking)| Ok(lines(input, ranking?))).collect())
        };
        for (place, result) in batch::results(chunk, one, score)? {
            match result {
                Ok(ranking) => {
                    let of_file = |line| Line { index: place.number as usize - 1, id: place.id.clone(), ..line };
                    all.extend(ranking.into_iter().map(of_file));
                }
                Err(error) => {
                    bad = true;
                    show::note(&format!("line {}: {}", place.number, super::show::message(&error)));
                }
            }
        }
        // Texts that can no longer be among the best are dropped.
        if all.len() / 2 > most {
            best(&mut all);
        }
        Ok(())
    })?;
    best(&mut all);
    batch::single(batch, &all)?;
    Ok(if bad { Outcome::BadLines } else { Outcome::AllGood })
}
