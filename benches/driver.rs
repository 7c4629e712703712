//! Runs a model for the measuring commands beside this file, which alternate it with other implementations.
//!
//! `driver DIR DEVICE THREADS` loads the model and reads one JSON request a line from stdin; it answers each, and first
//! of all without being asked, with one JSON line on stdout. An error ends it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use cloze::batch::Batch;
use cloze::choose::open;
use cloze::device::{Cancel, Cpu, Device};
use cloze::tasks::answer::AnswerOptions;
use cloze::tasks::question_answering::QuestionAnswering;
use cloze::text::Offsets;
use serde::{Deserialize, Serialize};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    /// Runs these sequences as one packed batch, `runs` times.
    Forward {
        ids: Vec<Vec<u32>>,
        types: Vec<Vec<u32>>,
        runs: usize,
    },
    Answer {
        question: String,
        context: String,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Ready {
        device: &'static str,
        name: String,
        load_ms: f64,
    },
    /// Each run's time, and start and end logits of each token, `[T, 2]`.
    Forward {
        ms: Vec<f64>,
        logits: Vec<f32>,
    },
    /// Offsets in code points.
    Answer {
        ms: f64,
        answer: String,
        score: f64,
        start: usize,
        end: usize,
    },
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, device, threads] = args.as_slice() else {
        // `cargo bench` starts it with nothing to do.
        eprintln!("usage: driver DIR DEVICE THREADS; benches/README.md has the commands that start it");
        return Ok(());
    };
    let threads = threads.parse()?;
    let device = cloze::block_on(open(device.parse()?, || Cpu::new(threads), Default::default()))?.device;
    serve(Path::new(dir), device)
}

fn serve(dir: &Path, device: Device) -> Result<()> {
    let begun = Instant::now();
    let qa = QuestionAnswering::open(dir, device)?;
    let device = qa.model().device();
    let mut out = std::io::stdout().lock();
    send(&mut out, &Reply::Ready { device: device.kind(), name: device.name(), load_ms: milliseconds(begun) })?;
    for line in std::io::stdin().lock().lines() {
        let reply = match serde_json::from_str(&line?)? {
            Request::Forward { ids, types, runs } => forward(&qa, &ids, &types, runs)?,
            Request::Answer { question, context } => answer(&qa, &question, &context)?,
        };
        send(&mut out, &reply)?;
    }
    Ok(())
}

fn forward(qa: &QuestionAnswering, ids: &[Vec<u32>], types: &[Vec<u32>], runs: usize) -> Result<Reply> {
    let mut batch = Batch::default();
    for (ids, types) in ids.iter().zip(types) {
        batch.push(ids, types);
    }
    let (mut ms, mut logits) = (Vec::with_capacity(runs), Vec::new());
    for _ in 0..runs {
        let begun = Instant::now();
        logits = cloze::block_on(qa.model().forward(&batch, &Cancel::new()))?;
        ms.push(milliseconds(begun));
    }
    Ok(Reply::Forward { ms, logits })
}

fn answer(qa: &QuestionAnswering, question: &str, context: &str) -> Result<Reply> {
    let begun = Instant::now();
    let answers = cloze::block_on(qa.answer(question, context, &AnswerOptions::default(), &Cancel::new()))?;
    let ms = milliseconds(begun);
    let best = answers.into_iter().next().ok_or("no answer at all")?;
    let points = Offsets::in_code_points(context);
    let (start, end) = (points.at(best.start), points.at(best.end));
    Ok(Reply::Answer { ms, answer: best.text, score: best.score, start, end })
}

fn send(out: &mut impl Write, reply: &Reply) -> Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
