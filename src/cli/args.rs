//! The commands, and the help that stands above them all; each command's own arguments are in its file.

use clap::{Parser, Subcommand};

use super::answer::AnswerArgs;
use super::bench::BenchArgs;
use super::common::Common;
use super::convert::ConvertArgs;
use super::embed::EmbedArgs;
use super::eval::EvalArgs;
use super::rerank::RerankArgs;
use super::search::SearchArgs;
use super::shell::{CompletionsArgs, ManArgs};
use super::tasks::{ClassifyArgs, FillMaskArgs, NextSentenceArgs, TagArgs, ZeroShotArgs};
use super::tokenize::TokenizeArgs;
use super::train::TrainArgs;

/// BERT on any GPU or none: questions answered, masks filled, texts classified, tagged and embedded.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Results go to stdout, everything else to stderr. Exit status: 0 all good, 1 failed or a line of a
batch has an error, 2 wrong usage, 130 stopped by Ctrl-C or SIGTERM.

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
    Rerank(RerankArgs),
    Search(SearchArgs),
    Tokenize(TokenizeArgs),
    Eval(EvalArgs),
    Train(TrainArgs),
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
