//! `cloze embed`

use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use cloze::checkpoint::Head;
use cloze::device::Cancel;
use cloze::files::AtomicFile;
use cloze::pooling::Pooling;
use cloze::sentence::Sentence;
use cloze::tasks::embed::{EmbedOptions, Embedder};
use cloze::tasks::run::run;
use cloze::tasks::text_model::{TextModel, TextPair};
use cloze::{Error, Result};
use serde::Serialize;

use super::batch::{self, Batch, Outcome};
use super::common::Common;
use super::npy;

/// Turn texts into vectors, whose angle says how much alike they are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze embed 'A cat sleeps.' 'A kitten naps.' --model sentence-transformers/all-MiniLM-L6-v2
  cloze embed --input texts.jsonl --format npy --output vectors.npy --model sentence-transformers/all-MiniLM-L6-v2

Each line is {\"embedding\":[…]}, of length 1 unless --no-normalize. A text that is too long
is cut, at max_seq_length of sentence_bert_config.json where there is one.")]
pub struct EmbedArgs {
    /// The texts
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub batch: Batch,
    /// How tokens become a vector; auto: as modules.json says, else the mean
    #[arg(long, value_enum, default_value_t = PoolingArg::Auto)]
    pub pooling: PoolingArg,
    /// Keep the vectors' own lengths
    #[arg(long)]
    pub no_normalize: bool,
    /// An object a line, or a NumPy array [N, H] of f32
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PoolingArg {
    Auto,
    Mean,
    Cls,
    Max,
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

pub fn embed(args: EmbedArgs, common: &Common) -> Result<Outcome> {
    args.batch.check()?;
    if args.format == Format::Npy && args.batch.resume {
        return Err(Error::Option {
            name: "resume",
            problem: "an array is written as a whole".into(),
            mend: "Give --format jsonl".into(),
        });
    }
    if args.format == Format::Npy && args.batch.input.is_some() && args.batch.output == Path::new("-") {
        return Err(Error::Option {
            name: "output",
            problem: "the number of rows stands at the beginning of an array, and is known at the end".into(),
            mend: "Give --output FILE".into(),
        });
    }
    let dir = common.required_model_dir()?;
    let sentence = Sentence::open(dir)?;
    let pooling = match args.pooling {
        PoolingArg::Auto => sentence.pooling.unwrap_or(Pooling::Mean),
        PoolingArg::Mean => Pooling::Mean,
        PoolingArg::Cls => Pooling::Cls,
        PoolingArg::Max => Pooling::Max,
    };
    let encoder = sentence.encoder.as_ref().map_or_else(|| dir.to_owned(), |path| dir.join(path));
    let model = TextModel::open(&encoder, Head::Embedding(pooling), common.open_device()?.device)?;
    let task = Embedder::new(model, &sentence);
    let options = EmbedOptions { normalize: !args.no_normalize };
    let texts: Vec<TextPair> = args.texts.iter().map(|text| text.as_str().into()).collect();
    match (args.format, args.batch.input.is_some()) {
        (Format::Npy, _) => array(&task, &options, &args.batch, common, &texts),
        (Format::Jsonl, true) => {
            let objects = |_: &TextPair, embedding| vec![Line { embedding }];
            super::tasks::perform(&task, &options, &args.batch, common, None, super::tasks::text_pair, objects)
        }
        (Format::Jsonl, false) => {
            let found = cloze::block_on(run(&task, &texts, &options, &Cancel::new()))?;
            let lines = found.into_iter().map(|e| Ok(Line { embedding: e? })).collect::<Result<Vec<_>>>()?;
            batch::single(&args.batch, &lines)?;
            Ok(Outcome::AllGood)
        }
    }
}

/// Writes an array of a row an input; the row of an input that cannot be embedded is NaN, and stderr says why.
fn array(
    task: &Embedder,
    options: &EmbedOptions,
    batch: &Batch,
    common: &Common,
    texts: &[TextPair],
) -> Result<Outcome> {
    let cols = task.text_model().model().config().hidden_size;
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
    batch::each_chunk(batch, common, 0, 1, |lines, cancel| {
        for (place, row) in batch::results(lines, super::tasks::text_pair, |inputs| run(inputs, cancel))? {
            let row = row.unwrap_or_else(|error| {
                bad = true;
                super::show::note(&format!("line {}: {error}", place.number));
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
