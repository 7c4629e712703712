//! The list of commands, and the general help. Each command's own arguments are in its file.

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

/// Run BERT on any GPU or on the CPU: answer questions, fill masks, and classify, tag, embed, rank and search texts.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Results go to stdout, everything else to stderr.

Exit status: 0 everything succeeded; 1 the command failed, or a line of a batch has an error; 2 wrong
usage; 130 stopped by Ctrl-C or SIGTERM.

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
    /// Show the GPU adapters and their limits, the device that `auto` selects and why, and the model's memory.
    #[command(after_help = "\
Examples:
  cloze info
  cloze info --model google-bert/bert-base-uncased --device cpu --json")]
    Info,
    /// Test and time every device. The report contains nothing personal; paste it into a bug report.
    #[command(after_help = "\
Each device runs a tiny BERT with weights in f32, f16 and i8. Cloze compares the logits with PyTorch's.
If a device is wrong, the report names it and the first kernel that differs. `auto` runs the same test
on a GPU before it uses it. A device that you name with --device is used without a test.

Examples:
  cloze doctor > report.txt
  cloze doctor --device gpu:0 --json

Exit status: 0 every device is correct; 1 a device fails or computes wrong values.")]
    Doctor,
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}
