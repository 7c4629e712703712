//! `cloze bench`

use std::time::Instant;

use clap::Args;
use cloze::batch::Batch;
use cloze::device::Cancel;
use cloze::model::memory::Footprint;
use cloze::{Error, Result, measure};
use serde::Serialize;

use super::common::Common;
use super::show;

/// Time the encoder and the fastest matmul on a device.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze bench --device cpu --threads 1
  cloze bench --seq 128,384 --batch 1,8 --json

gflops counts matmuls and attention. gemm_gflops is the fastest matmul kernel alone, at 512x768x768
in f32.")]
pub struct BenchArgs {
    /// Sequence lengths, in tokens
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_value = "128,384")]
    pub seq: Vec<usize>,
    /// Sequences per batch
    #[arg(long, value_name = "B,…", value_delimiter = ',', default_value = "1,8")]
    pub batch: Vec<usize>,
    /// Timed runs for each size
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    device: &'a str,
    adapter: &'a str,
    model: &'a str,
    batch: usize,
    seq: usize,
    median_ms: f64,
    min_ms: f64,
    tokens_per_s: f64,
    gflops: f64,
    gemm_gflops: f64,
    load_ms: f64,
    first_ms: f64,
}

pub fn run(args: &BenchArgs, common: &Common) -> Result<()> {
    // The download must not count as loading time.
    common.model_dir()?;
    let begun = Instant::now();
    let model = common.any_model(common.open_device()?.device)?;
    let load_ms = milliseconds(begun);
    let most = model.config().max_position_embeddings;
    for (name, values, limit) in [("seq", &args.seq, most), ("batch", &args.batch, 4096)] {
        if let Some(bad) = values.iter().find(|v| **v == 0 || **v > limit) {
            let (problem, help) = (format!("{bad} is out of range"), format!("Give 1 to {limit}"));
            return Err(Error::Option { name, problem, help: help.into() });
        }
    }
    for (&batch, &seq) in args.batch.iter().flat_map(|b| args.seq.iter().map(move |s| (b, s))) {
        let kept = model.checkpoint().dtype()?.uploaded();
        let needed = Footprint::predict(model.config(), model.head(), kept, batch * seq);
        needed.check(&format!("a batch of {batch}x{seq} tokens"))?;
    }
    let gemm_gflops = cloze::block_on(measure::gemm_gflops(model.device()))?;
    if !common.json {
        show::line(&format!("best matmul alone, 512x768x768 f32: {gemm_gflops:.1} GFLOP/s"))?;
        show::line("batch  seq  median ms     min ms  tokens/s  GFLOP/s  first ms")?;
    }
    for &batch in &args.batch {
        for &seq in &args.seq {
            let packed = pattern(batch, seq, model.config().vocab_size);
            let forward = || -> Result<f64> {
                let begun = Instant::now();
                cloze::block_on(model.forward(&packed, &Cancel::new()))?;
                Ok(milliseconds(begun))
            };
            let first_ms = forward()?;
            let mut times = (0..args.runs).map(|_| forward()).collect::<Result<Vec<_>>>()?;
            times.sort_by(f64::total_cmp);
            let (median_ms, min_ms) = (times[times.len() / 2], times[0]);
            let tokens_per_s = (batch * seq) as f64 / median_ms * 1e3;
            let gflops = model.matmul_flops(&packed) / median_ms / 1e6;
            if common.json {
                show::json(&Line {
                    device: model.device().kind(),
                    adapter: &model.device().name(),
                    model: &common.model_name(),
                    batch,
                    seq,
                    median_ms,
                    min_ms,
                    tokens_per_s,
                    gflops,
                    gemm_gflops,
                    load_ms,
                    first_ms,
                })?;
            } else {
                show::line(&format!(
                    "{batch:5} {seq:4} {median_ms:10.1} {min_ms:10.1} {tokens_per_s:9.0} {gflops:8.1} {first_ms:9.1}"
                ))?;
            }
        }
    }
    Ok(())
}

/// Well-spread token ids without a meaning.
pub fn pattern(batch: usize, seq: usize, vocab: usize) -> Batch {
    let mut packed = Batch::default();
    for b in 0..batch {
        let ids: Vec<u32> = (0..seq).map(|s| ((b * seq + s) * 7919 % vocab) as u32).collect();
        packed.push(&ids, &vec![0; seq]);
    }
    packed
}

pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
