//! Trains a model for the measuring commands beside this file, which train another implementation's on the same batches.
//!
//! `trainer DIR DEVICE THREADS OPTIONS` loads the model in DIR; OPTIONS is a JSON object, see [`Options`]. It reads one JSON
//! request a line from stdin and answers each, and first of all without being asked, with one JSON line on stdout. An
//! error ends it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cloze::batch::Batch;
use cloze::checkpoint::Checkpoint;
use cloze::checkpoint::adapter::Lora;
use cloze::choose::open;
use cloze::device::{Cancel, Cpu, Device};
use cloze::measure::gemm_gflops;
use cloze::ops::adamw::AdamW;
use cloze::train::{Labels, Method, TrainOptions, Trainer};
use serde::{Deserialize, Serialize};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    seed: u64,
    dropout: bool,
    freeze_embeddings: bool,
    /// Trains adapters as PEFT has them by default, and the head.
    lora: bool,
    decay: f32,
    max_norm: f32,
    checkpoint_activations: bool,
}

impl Default for Options {
    fn default() -> Self {
        let TrainOptions { seed, dropout, freeze_embeddings, optimizer, checkpoint_activations, .. } =
            TrainOptions::default();
        let AdamW { decay, max_norm, .. } = optimizer;
        Self { seed, dropout, freeze_embeddings, lora: false, decay, max_norm, checkpoint_activations }
    }
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    /// Takes a step on these sequences as one packed batch.
    Step {
        ids: Vec<Vec<u32>>,
        types: Vec<Vec<u32>>,
        labels: Given,
        rate: f64,
    },
    Logits {
        ids: Vec<Vec<u32>>,
        types: Vec<Vec<u32>>,
    },
    /// Measures the device's best matmul.
    Gemm,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Given {
    /// Of each sequence or token; -1 is none.
    Classes(Vec<i64>),
    Targets(Vec<f32>),
    Spans(Vec<[u32; 2]>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Ready { device: &'static str, name: String },
    Step { ms: f64, loss: f64 },
    Logits { logits: Vec<f32> },
    Gemm { gflops: f64 },
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, device, threads, options] = args.as_slice() else {
        // `cargo bench` starts it with nothing to do.
        eprintln!("usage: trainer DIR DEVICE THREADS OPTIONS; benches/README.md has the commands that start it");
        return Ok(());
    };
    let threads = threads.parse()?;
    let device = cloze::block_on(open(device.parse()?, || Cpu::new(threads), Default::default()))?.device;
    serve(Path::new(dir), device, &serde_json::from_str(options)?)
}

fn serve(dir: &Path, device: Device, options: &Options) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let ready = Reply::Ready { device: device.kind(), name: device.name() };
    let checkpoint = Checkpoint::open(dir)?;
    let head = checkpoint.head();
    let mut train = TrainOptions { seed: options.seed, dropout: options.dropout, ..TrainOptions::default() };
    train.freeze_embeddings = options.freeze_embeddings;
    if options.lora {
        train.method = Method::Lora(Lora::default());
    }
    train.checkpoint_activations = options.checkpoint_activations;
    train.optimizer.decay = options.decay;
    train.optimizer.max_norm = options.max_norm;
    let device = Arc::new(device);
    let mut trainer = Trainer::new(checkpoint, head, device.clone(), train)?;
    send(&mut out, &ready)?;
    for line in std::io::stdin().lock().lines() {
        let reply = match serde_json::from_str(&line?)? {
            Request::Step { ids, types, labels, rate } => step(&mut trainer, &batch(&ids, &types), &labels, rate)?,
            Request::Logits { ids, types } => {
                let logits = cloze::block_on(trainer.logits(&batch(&ids, &types), &Cancel::new()))?;
                Reply::Logits { logits: logits.concat() }
            }
            Request::Gemm => Reply::Gemm { gflops: cloze::block_on(gemm_gflops(&device))? },
        };
        send(&mut out, &reply)?;
    }
    Ok(())
}

fn batch(ids: &[Vec<u32>], types: &[Vec<u32>]) -> Batch {
    let mut batch = Batch::default();
    for (ids, types) in ids.iter().zip(types) {
        batch.push(ids, types);
    }
    batch
}

fn step(trainer: &mut Trainer, batch: &Batch, labels: &Given, rate: f64) -> Result<Reply> {
    let classes: Vec<u32>;
    let labels = match labels {
        Given::Classes(given) => {
            classes = given.iter().map(|label| u32::try_from(*label).unwrap_or(Labels::NONE)).collect();
            Labels::Classes(&classes)
        }
        Given::Targets(targets) => Labels::Targets(targets),
        Given::Spans(spans) => Labels::Spans(spans),
    };
    let begun = Instant::now();
    let loss = cloze::block_on(trainer.step(batch, &labels, 1.0, rate, &Cancel::new()))?;
    Ok(Reply::Step { ms: begun.elapsed().as_secs_f64() * 1e3, loss })
}

fn send(out: &mut impl Write, reply: &Reply) -> Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
