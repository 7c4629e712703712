//! Arguments and their help.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use cloze::Result;
use cloze::checkpoint::Checkpoint;
use cloze::choose::{Choice, Chosen, open};
use cloze::device::Device;
use cloze::model::Model;
use cloze::tasks::question_answering::QuestionAnswering;
use cloze::text::Tokenizer;

use super::batch::Batch;
use super::embed::EmbedArgs;
use super::shell::{CompletionsArgs, ManArgs};
use super::show;
use super::tasks::{ClassifyArgs, FillMaskArgs, NextSentenceArgs, TagArgs, ZeroShotArgs};
use super::tokenize::TokenizeArgs;

/// BERT on any GPU or none: questions answered, masks filled, texts classified, tagged and embedded.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Results go to stdout, everything else to stderr. Exit status: 0 all good, 1 failed or a line of a
batch has an error, 2 wrong usage, 130 stopped by Ctrl-C.

Examples:
  cloze answer -q 'Who wrote it?' -c 'It was written by Ada Lovelace in 1843.'
  cloze answer -q 'Who wrote it?' --json --top-k 3 < book.txt
  cloze fill-mask 'The capital of France is [MASK].' --model google-bert/bert-base-uncased
  cloze classify --input reviews.jsonl --output labels.jsonl --model ./sst2-bert")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Answer(AnswerArgs),
    FillMask(FillMaskArgs),
    Classify(ClassifyArgs),
    Tag(TagArgs),
    Embed(EmbedArgs),
    NextSentence(NextSentenceArgs),
    ZeroShot(ZeroShotArgs),
    Tokenize(TokenizeArgs),
    Eval(EvalArgs),
    Convert(ConvertArgs),
    /// Show the adapters, their limits, which device `auto` takes and why, and the model's memory.
    #[command(after_help = "\
Examples:
  cloze info
  cloze info --model google-bert/bert-base-uncased --device cpu --json")]
    Info,
    /// Test and time every device, as a report that can be pasted into an issue: nothing in it is personal.
    #[command(after_help = "\
Each device computes a tiny BERT with weights in f32, f16 and i8, and the logits are compared with
PyTorch's. A device that is wrong is named, with the first kernel that differs. `auto` runs the same
test on a GPU before it takes it; a device that --device names is taken untested.

Examples:
  cloze doctor > report.txt
  cloze doctor --device gpu:0 --json

Exit status: 0 all is well, 1 a device fails or computes wrong.")]
    Doctor,
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// More than any machine has cores; far more would take all memory for their stacks.
const MOST_THREADS: u64 = 1024;

/// Accepted by every command, before its own arguments or after.
#[derive(Debug, Args)]
pub struct Common {
    /// A Hugging Face BERT directory, or ORG/NAME[@REVISION] on the Hub [default, for questions: the embedded minilm-l6-qa]
    #[arg(long, global = true, value_name = "MODEL", help_heading = "Everywhere")]
    pub model: Option<OsString>,
    /// Where the model turned out to be.
    #[arg(skip)]
    pub located: OnceCell<PathBuf>,
    /// Take models of the Hub from the cache alone; HF_HUB_OFFLINE=1 does the same
    #[cfg(feature = "hub")]
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub offline: bool,
    /// auto, cpu, gpu, or gpu:N with N from `cloze info`; auto takes a real GPU if there is one that passes
    /// the self-test
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = "Everywhere")]
    pub device: Choice,
    /// Threads of the CPU device; 0 takes as many as there are cores
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = "Everywhere",
        value_parser = RangedU64ValueParser::<usize>::new().range(0..=MOST_THREADS))]
    pub threads: usize,
    /// Write results as JSON, one object a line
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Write nothing to stderr but errors
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
}

impl Common {
    /// The device asked for; says on stderr which it is and why.
    pub fn open_device(&self) -> Result<Chosen> {
        let chosen = cloze::block_on(open(self.device, self.threads, Default::default()))?;
        for error in &chosen.refused {
            self.note(&format!("not used: {error}"));
        }
        self.note(&format!("device: {} ({})", chosen.device.name(), chosen.reason));
        Ok(chosen)
    }

    /// The question answering model asked for, on the device asked for.
    pub fn open_model(&self) -> Result<QuestionAnswering> {
        self.load_model(self.open_device()?.device)
    }

    /// The question answering model asked for, on `device`.
    pub fn load_model(&self, device: Device) -> Result<QuestionAnswering> {
        match self.model_dir()? {
            Some(dir) => QuestionAnswering::open(dir, device),
            None => embedded(device),
        }
    }

    /// The model asked for with whatever head it has, on `device`.
    pub fn any_model(&self, device: Device) -> Result<Model> {
        let checkpoint = match self.model_dir()? {
            Some(dir) => Checkpoint::open(dir)?,
            None => embedded_checkpoint()?,
        };
        let head = checkpoint.head();
        Model::load(checkpoint, head, device)
    }

    /// A line on stderr, unless --quiet.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            show::note(line);
        }
    }
}

#[cfg(feature = "embedded-model")]
fn embedded_checkpoint() -> Result<Checkpoint> {
    cloze::embedded::checkpoint()
}

#[cfg(feature = "embedded-model")]
fn embedded(device: Device) -> Result<QuestionAnswering> {
    QuestionAnswering::embedded(device)
}

/// The embedded model's tokenizer.
#[cfg(feature = "embedded-model")]
pub fn embedded_tokenizer() -> Result<Tokenizer> {
    cloze::embedded::tokenizer(embedded_checkpoint()?.config().vocab_size)
}

#[cfg(not(feature = "embedded-model"))]
fn embedded_checkpoint() -> Result<Checkpoint> {
    Err(cloze::Error::Option {
        name: "model",
        problem: "this build has no embedded model".into(),
        mend: "Give --model DIR, or build with the feature embedded-model".into(),
    })
}

#[cfg(not(feature = "embedded-model"))]
fn embedded(_: Device) -> Result<QuestionAnswering> {
    embedded_checkpoint().map(|_| unreachable!("there is none"))
}

#[cfg(not(feature = "embedded-model"))]
pub fn embedded_tokenizer() -> Result<Tokenizer> {
    embedded_checkpoint().map(|_| unreachable!("there is none"))
}

/// Answer a question from a text: the spans of the text that answer it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze answer -q 'Where do otters sleep?' -c 'Sea otters sleep on their backs in kelp forests.'
  cloze answer -q 'Who signed it?' --context-file treaty.txt --top-k 3
  pdftotext report.pdf - | cloze answer --json -q 'What was the revenue in 2024?'
  cloze answer --input questions.jsonl --output answers.jsonl

With --json each line is {\"answer\",\"score\",\"start\",\"end\"}, best first; start and end count
code points.")]
pub struct AnswerArgs {
    /// The question; of a batch, that of lines without one
    #[arg(short, long, value_name = "TEXT", required_unless_present = "input")]
    pub question: Option<String>,
    /// The text that holds the answer [default: stdin]; of a batch, that of lines without one
    #[arg(short, long, value_name = "TEXT", conflicts_with = "context_file")]
    pub context: Option<String>,
    /// A UTF-8 file with the text
    #[arg(long, value_name = "FILE")]
    pub context_file: Option<PathBuf>,
    #[command(flatten)]
    pub batch: Batch,
    /// How many answers at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub top_k: usize,
    /// The longest answer, in tokens, before it is widened to whole words
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub max_answer_tokens: usize,
    /// Tokens of a window [default: 384, or what the model takes if that is less]
    #[arg(long, value_name = "N")]
    pub max_seq_len: Option<usize>,
    /// Tokens that neighbouring windows share [default: 128, or half a window if that is less]
    #[arg(long, value_name = "N")]
    pub doc_stride: Option<usize>,
    /// Let "the text has no answer" compete, as an empty answer
    #[arg(long)]
    pub no_answer: bool,
}

/// Measure a model on a data set.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze eval squad --data dev-v1.1.json")]
pub struct EvalArgs {
    #[command(subcommand)]
    pub set: EvalSet,
}

#[derive(Debug, Subcommand)]
pub enum EvalSet {
    Squad(SquadArgs),
}

/// SQuAD 1.1 or 2.0: exact match and F1, 0 to 100, as the official scripts count them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze eval squad --data dev-v1.1.json
  cloze eval squad --data dev-v1.1.json --predictions predictions.json --json
  cloze eval squad --data dev-v2.0.json --null-score-diff-threshold -1.5 --output-dir out

With --json the last line is {\"exact_match\",\"f1\",\"total\"}; for 2.0 it has the official script's
names: \"exact\", \"f1\", \"total\", \"HasAns_exact\" and so on, \"best_exact\", \"best_exact_thresh\",
\"best_f1\", \"best_f1_thresh\".")]
pub struct SquadArgs {
    /// The data, in SQuAD's JSON
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Write {id: answer} here, for the official script
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Write predictions.json, nbest_predictions.json and, for 2.0, null_odds.json into this directory, as run_squad.py
    /// does
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Let "there is no answer" compete, as in SQuAD 2.0 [default: if the data has an unanswerable question]
    #[arg(long = "version-2")]
    pub version_2: bool,
    /// There is no answer where its score exceeds the best answer's by more than this; for 2.0 [default: 0.0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub null_score_diff_threshold: Option<f64>,
}

/// Write a model in another type: i8 is a quarter of f32's size.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze convert --model bert-base-qa --dtype i8 --output bert-base-qa-i8")]
pub struct ConvertArgs {
    /// The type of the matrices; i8 is symmetric with one scale a row, the rest stays f32
    #[arg(long, value_enum)]
    pub dtype: Dtype,
    /// The new model's directory
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Dtype {
    F32,
    F16,
    I8,
}

/// Time the encoder and the best matmul on a device.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze bench --device cpu --threads 1
  cloze bench --seq 128,384 --batch 1,8 --json

gflops counts the matmuls and attention; gemm_gflops is the best matmul kernel alone at 512x768x768
in f32.")]
pub struct BenchArgs {
    /// Sequence lengths, in tokens
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_value = "128,384")]
    pub seq: Vec<usize>,
    /// Sequences in a batch
    #[arg(long, value_name = "B,…", value_delimiter = ',', default_value = "1,8")]
    pub batch: Vec<usize>,
    /// Timed runs of each
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
}
