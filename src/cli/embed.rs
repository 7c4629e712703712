//! `cloze embed`

use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use cloze::device::Cancel;
use cloze::fields::Reads;
use cloze::files::AtomicFile;
use cloze::pooling::Pooling;
use cloze::sentence::Sentence;
use cloze::tasks::embed::{EmbedOptions, Embedder};
use cloze::tasks::run::run;
use cloze::tasks::text_model::TextPair;
use cloze::{Error, Result};
use serde::Serialize;

use super::batch::{self, Batch, Fields, Outcome, Start};
use super::common::Common;
use super::npy;

/// Turn texts into vectors. The angle between two vectors says how similar the texts are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze embed 'A cat sleeps.' 'A kitten naps.' --model sentence-transformers/all-MiniLM-L6-v2
  cloze embed --input texts.jsonl --format npy --output vectors.npy --model sentence-transformers/all-MiniLM-L6-v2
  cloze embed 'where do kittens sleep' --prompt query --dimensions 256 --model ./my-matryoshka-model

Each line is {\"embedding\":[…]}. Vectors have length 1, unless you give --no-normalize or the model's
files say that vectors are not compared by their angle. Texts that are too long are truncated.")]
pub struct EmbedArgs {
    /// The texts
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub batch: Batch,
    /// Text to put before every text: the name of one of the model's prompts, such as query or document, or your own
    /// text; '' for none [default: the model's default prompt]
    #[arg(long, value_name = "NAME|TEXT")]
    pub prompt: Option<String>,
    /// Keep the first N numbers of each vector and scale them to length 1 (for Matryoshka models)
    #[arg(long, value_name = "N")]
    pub dimensions: Option<usize>,
    /// How to combine tokens into a vector; auto uses modules.json if there is one, and the mean otherwise
    #[arg(long, value_enum, default_value_t = PoolingArg::Auto)]
    pub pooling: PoolingArg,
    /// Do not scale vectors to length 1
    #[arg(long)]
    pub no_normalize: bool,
    /// Output format: one JSON object per line, or a NumPy array of f32 with one row per text
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PoolingArg {
    Auto,
    Mean,
    Cls,
    Max,
    #[value(name = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    #[value(name = "weightedmean")]
    WeightedMean,
    #[value(name = "lasttoken")]
    LastToken,
}

impl PoolingArg {
    fn pooling(self) -> Option<Pooling> {
        Some(match self {
            PoolingArg::Auto => return None,
            PoolingArg::Mean => Pooling::Mean,
            PoolingArg::Cls => Pooling::Cls,
            PoolingArg::Max => Pooling::Max,
            PoolingArg::MeanSqrtLen => Pooling::MeanSqrtLen,
            PoolingArg::WeightedMean => Pooling::WeightedMean,
            PoolingArg::LastToken => Pooling::LastToken,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Jsonl,
    Npy,
}

#[derive(Serialize)]
struct Line {
    embedding: Vec<f32>,
}

/// A line's text, and optionally a second one.
const INPUT: (Reads, fn(Fields) -> Result<TextPair>) = (
    Reads {
        options: &[
            ("prompt", "Give --prompt"),
            ("prompt_name", "Give --prompt"),
            ("dimensions", "Give --dimensions"),
            ("truncate_dim", "Give --dimensions"),
            ("pooling", "Give --pooling"),
            ("normalize", "Give --no-normalize"),
            ("normalize_embeddings", "Give --no-normalize"),
        ],
        ..Reads::TEXT_PAIR
    },
    super::tasks::text_pair,
);

pub fn embed(args: EmbedArgs, common: &Common) -> Result<Outcome> {
    args.batch.check(common)?;
    if args.format == Format::Npy && args.batch.resume {
        return Err(Error::Option {
            name: "resume",
            problem: "an array is written as a whole".into(),
            help: "Give --format jsonl".into(),
        });
    }
    if args.format == Format::Npy && args.batch.input.is_some() && args.batch.output == Path::new("-") {
        return Err(Error::Option {
            name: "output",
            problem: "the number of rows stands at the beginning of an array, and is known at the end".into(),
            help: "Give --output FILE".into(),
        });
    }
    let dir = common.required_model_dir()?;
    let mut sentence = Sentence::open(dir)?;
    if let Some(pooling) = args.pooling.pooling() {
        sentence.pool_by(vec![pooling]);
    }
    let task = Embedder::open_with(dir, sentence, common.open_device()?.device)?;
    let normalize = args.no_normalize.then_some(false);
    let options = EmbedOptions { normalize, prompt: args.prompt, dimensions: args.dimensions };
    task.check(&options)?;
    if let Some(name) = task.sentence().prompts.default_name().filter(|_| options.prompt.is_none()) {
        common.note(&format!("prompt: {name}, the model's default"));
    }
    let texts: Vec<TextPair> = args.texts.iter().map(|text| text.as_str().into()).collect();
    match (args.format, args.batch.input.is_some()) {
        (Format::Npy, _) => array(&task, &options, &args.batch, common, &texts),
        (Format::Jsonl, true) => {
            let objects = |_: &TextPair, embedding| vec![Line { embedding }];
            super::tasks::perform(&task, &options, &args.batch, common, None, INPUT, objects)
        }
        (Format::Jsonl, false) => {
            let found = cloze::block_on(run(&task, &texts, &options, &Cancel::new()))?;
            let lines = found.into_iter().map(|e| Ok(Line { embedding: e? })).collect::<Result<Vec<_>>>()?;
            batch::single(&args.batch, &lines)?;
            Ok(Outcome::AllGood)
        }
    }
}

/// Writes an array with one row for each input. If an input cannot be embedded, its row is NaN, and stderr has the
/// reason.
fn array(
    task: &Embedder,
    options: &EmbedOptions,
    batch: &Batch,
    common: &Common,
    texts: &[TextPair],
) -> Result<Outcome> {
    let cols = task.width(options)?;
    let run = |inputs: &[TextPair], cancel: &Cancel| cloze::block_on(run(task, inputs, options, cancel));
    if batch.input.is_none() {
        let found = run(texts, &Cancel::new())?.into_iter().collect::<Result<Vec<_>>>()?;
        let mut bytes = npy::header(found.len() as u64, cols);
        found.iter().for_each(|row| bytes.extend(npy::elements(row)));
        match batch.output == Path::new("-") {
            true => std::io::stdout().write_all(&bytes).map_err(|e| Error::io("write", "stdout", e))?,
            false => cloze::files::write_atomically(&batch.output, &bytes)?,
        }
        return Ok(Outcome::AllGood);
    }
    let mut file = AtomicFile::create(&batch.output)?;
    file.write(&npy::header(0, cols))?;
    let (mut rows, mut bad) = (0, false);
    let (reads, text_pair) = INPUT;
    batch::each_chunk(batch, common, (Start::default(), reads), 1, |lines, cancel| {
        for (place, row) in batch::results(lines, text_pair, |inputs| run(inputs, cancel))? {
            let row = row.unwrap_or_else(|error| {
                bad = true;
                super::show::note(&format!("line {}: {}", place.number, super::show::message(&error)));
                vec![f32::NAN; cols]
            });
            file.write(&npy::elements(&row))?;
            rows += 1;
        }
        Ok(())
    })?;
    file.write_at_start(&npy::header(rows, cols))?;
    file.commit()?;
    Ok(if bad { Outcome::BadLines } else { Outcome::AllGood })
}
