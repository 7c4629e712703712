//! The arguments of every command: the model, the device, and the form of results.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use cloze::Result;
use cloze::checkpoint::Checkpoint;
use cloze::choose::{Choice, Chosen, open};
use cloze::device::{Cpu, Device};
use cloze::inputs::Inputs;
use cloze::model::Model;
use cloze::tasks::question_answering::QuestionAnswering;
use cloze::text::Tokenizer;

use super::arguments::Arguments;
use super::show;

/// More than the cores of any machine. Far more threads would take all memory for their stacks.
const MOST_THREADS: u64 = 1024;

/// Accepted by every command, before its own arguments or after.
#[derive(Debug, Args)]
pub struct Common {
    /// A Hugging Face BERT directory, or ORG/NAME[@REVISION] on the Hub [default for questions: the built-in minilm-l6-qa]
    #[arg(long, global = true, value_name = "MODEL", help_heading = "Everywhere")]
    pub model: Option<OsString>,
    /// Where the model turned out to be.
    #[arg(skip)]
    pub located: OnceCell<PathBuf>,
    /// The command and its options, by name.
    #[arg(skip)]
    pub arguments: Arguments,
    /// Do not download models: use only the Hub's cache. HF_HUB_OFFLINE=1 does the same
    #[cfg(feature = "hub")]
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub offline: bool,
    /// auto, cpu, gpu, or gpu:N with N from `cloze info`; auto uses a real GPU if one passes the self-test, and the CPU
    /// otherwise
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = "Everywhere")]
    pub device: Choice,
    /// Threads for the CPU; 0 means one for each core
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = "Everywhere",
        value_parser = RangedU64ValueParser::<usize>::new().range(0..=MOST_THREADS))]
    pub threads: usize,
    /// Write results as JSON, one object per line
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Write only errors to stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
}

impl Common {
    /// Opens the chosen device, and says on stderr which one it is and why.
    pub fn open_device(&self) -> Result<Chosen> {
        let chosen = cloze::block_on(open(self.device, || Cpu::new(self.threads), Default::default()))?;
        for error in &chosen.refused {
            self.note(&format!("not used: {}", super::show::message(error)));
        }
        self.note(&format!("device: {} ({})", chosen.device.name(), chosen.reason));
        Ok(chosen)
    }

    /// Opens the chosen question answering model on the chosen device.
    pub fn open_model(&self) -> Result<QuestionAnswering> {
        let device = self.open_device()?.device;
        match self.model_dir()? {
            Some(dir) => QuestionAnswering::open(dir, device),
            None => QuestionAnswering::new(embedded_checkpoint()?, embedded_tokenizer()?, device),
        }
    }

    /// Opens the chosen model on `device`, with any head.
    pub fn any_model(&self, device: Device) -> Result<Model> {
        let checkpoint = match self.model_dir()? {
            Some(dir) => Checkpoint::open(dir)?,
            None => embedded_checkpoint()?,
        };
        let head = checkpoint.head();
        Model::load(checkpoint, head, device)
    }

    /// The files of the model, which no output may overwrite.
    pub fn inputs(&self) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        self.model_dir()?.into_iter().for_each(|dir| inputs.add_model(dir));
        Ok(inputs)
    }

    /// Writes a line to stderr, unless --quiet is given.
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
        help: "Give --model DIR, or build with the feature embedded-model".into(),
    })
}

#[cfg(not(feature = "embedded-model"))]
pub fn embedded_tokenizer() -> Result<Tokenizer> {
    embedded_checkpoint().map(|_| unreachable!("there is none"))
}
