//! Mutated inputs through every parser and through the engine, in one process.
//!
//! `fuzz [--inputs N] [--seed S] [--only TARGET]`: each input is a seed file with a few mutations, and a function of the seed,
//! the target and its number alone: what failed is made again by `--only TARGET --seed S --first NUMBER --inputs 1`. A panic, an answer
//! that takes more than two seconds or more memory than a bound that grows with the input, or a safetensors file that the
//! `safetensors` crate judges otherwise, is a failure; the exceptions are listed in `BY_DESIGN`. One JSON line at the end is the
//! record.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cloze::batch::Batch;
use cloze::checkpoint::adapter::Adapter;
use cloze::checkpoint::{self, Checkpoint};
use cloze::config::Config;
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::Model;
use cloze::sentence::Sentence;
use cloze::tasks::squad::Squad;
use cloze::text::{Tokenizer, TokenizerFiles};
use cloze::train::data::{Format, classify, text};

/// An answer takes no longer.
const MOST_TIME: Duration = Duration::from_secs(2);

/// Bytes of memory beside a multiple of the input: regular expressions, tables of a tokenizer, a small model.
const MOST_MEMORY: usize = 256 << 20;

/// What is refused here of what the `safetensors` crate accepts, by the words of the error.
const BY_DESIGN: [(&str, &str); 5] = [
    ("at most 3 dimensions", "no tensor of BERT has more"),
    ("expected u32", "a dimension of 2^32 and more, beside one of 0"),
    ("no tensor's name", "a name or string over 1024 bytes"),
    ("nested too deeply", "keys that the format does not know, with deep values"),
    ("not a JSON object", "white space before the header"),
];

type Work = dyn Fn(&[u8]) -> Result<(), String>;

struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    /// How many of a thousand inputs are its own.
    share: u64,
    work: Box<Work>,
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn targets() -> Vec<Target> {
    let target = |name, share, seeds: Vec<Vec<u8>>, work: Box<Work>| Target { name, seeds, share, work };
    let config = fixture("encoder/tiny/config.json");
    let weights = fixture("encoder/tiny/model.safetensors");
    // Small headers are mutated where it matters.
    let small = small_safetensors();
    let vocab = fixture("tasks/moods/vocab.txt");
    let adapter = fixture("adapters/classify-i8/adapter_model.safetensors");
    let adapter_config = fixture("adapters/patterns/adapter_config.json");
    let (of_loading, of_running) = (config.clone(), config.clone());
    vec![
        target("safetensors", 300, vec![small, fixture("torch/tensors.safetensors")], Box::new(differential)),
        target("checkpoint", 60, vec![weights.clone()], Box::new(move |bytes| load(&of_loading, bytes).map(drop))),
        target(
            "pickle",
            200,
            ["zip.bin", "old.bin", "zip4.bin", "code.bin"].map(|name| fixture(&format!("torch/{name}"))).into(),
            Box::new(|bytes| checkpoint::names_in(bytes, "a.bin").map(drop).or_else(typed)),
        ),
        target("config", 120, vec![config.clone()], Box::new(|b| Config::from_json(b, "a").map(drop).or_else(typed))),
        target(
            "tokenizer",
            40,
            vec![fixture("text/json/tokenizer.json")],
            Box::new(|bytes| tokenize(TokenizerFiles { json: Some(bytes), ..TokenizerFiles::default() })),
        ),
        target(
            "vocabulary",
            60,
            vec![vocab.clone()],
            Box::new(|bytes| tokenize(TokenizerFiles { vocab: Some(bytes), ..TokenizerFiles::default() })),
        ),
        target("adapter", 60, vec![adapter.clone()], {
            let config = fixture("adapters/classify-i8/adapter_config.json");
            Box::new(move |bytes| Adapter::read(&config, bytes, ["a", "b"]).map(drop).or_else(typed))
        }),
        target("adapter_config", 60, vec![adapter_config], {
            let weights = fixture("adapters/patterns/adapter_model.safetensors");
            Box::new(move |bytes| Adapter::read(bytes, &weights, ["a", "b"]).map(drop).or_else(typed))
        }),
        target("sentence", 30, vec![fixture("tasks/mean/modules.json")], Box::new(sentence)),
        target(
            "squad",
            20,
            vec![fixture("squad2/dev.json")],
            Box::new(|b| Squad::parse("a", b).map(drop).or_else(typed)),
        ),
        target(
            "table",
            40,
            vec![b"text\tlabel\na film\tgood\nanother\tbad\n\"quoted\"\tgood\n".to_vec()],
            Box::new(|b| classify::read("a", b, Format::Tsv, None, None).map(drop).or_else(typed)),
        ),
        target(
            "text",
            9,
            vec![b"One.\nTwo.\n\nThree.\n".to_vec()],
            Box::new(|b| text::read("a", b).map(drop).or_else(typed)),
        ),
        target("engine", 1, vec![weights], Box::new(move |bytes| run(&of_running, bytes))),
    ]
}

/// A typed error is an answer, if it says something and fits a screen.
fn typed(error: cloze::Error) -> Result<(), String> {
    let text = error.to_string();
    let is_plain = !text.is_empty() && text.len() < 5000 && !text.chars().any(|c| c.is_control() && c != '\n');
    if is_plain { Ok(()) } else { Err(format!("an error of {} bytes: {text:.300}", text.len())) }
}

fn small_safetensors() -> Vec<u8> {
    let header = concat!(
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"#,
        r#""b":{"dtype":"F16","shape":[3],"data_offsets":[16,22]},"c":{"dtype":"I8","shape":[],"data_offsets":[22,23]},"#,
        r#""d":{"dtype":"U8","shape":[0,7],"data_offsets":[23,23]}}"#
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend([1; 23]);
    bytes
}

/// Both readers accept a file and find the same tensors, or both refuse it.
fn differential(bytes: &[u8]) -> Result<(), String> {
    let theirs = safetensors::SafeTensors::deserialize(bytes);
    match (checkpoint::names_in(bytes, "a.safetensors"), theirs) {
        (Ok(ours), Ok(theirs)) => {
            let mut names: Vec<String> = theirs.names().into_iter().map(str::to_owned).collect();
            names.sort();
            if names == ours { Ok(()) } else { Err(format!("{ours:?}, safetensors: {names:?}")) }
        }
        (Ok(_), Err(theirs)) => Err(format!("accepted; safetensors: {theirs:?}")),
        (Err(ours), Ok(_)) => {
            let text = ours.to_string();
            match BY_DESIGN.iter().any(|(words, _)| text.contains(words)) {
                true => Ok(()),
                false => Err(format!("safetensors accepts it; here: {text}")),
            }
        }
        (Err(ours), Err(_)) => typed(ours),
    }
}

fn load(config: &[u8], weights: &[u8]) -> Result<Option<Checkpoint>, String> {
    let checkpoint = match Checkpoint::from_bytes(config, weights.to_vec()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return typed(error).map(|()| None),
    };
    let head = checkpoint.head();
    for param in checkpoint::names::params(checkpoint.config(), head) {
        if let Err(error) = checkpoint.get(&param.name) {
            typed(error)?;
        }
    }
    Ok(Some(checkpoint))
}

/// A model that loads gives numbers for a batch, or an error.
fn run(config: &[u8], weights: &[u8]) -> Result<(), String> {
    let Some(checkpoint) = load(config, weights)? else { return Ok(()) };
    let head = checkpoint.head();
    let model = match Model::load(checkpoint, head, Device::Cpu(Cpu::new(1))) {
        Ok(model) => model,
        Err(error) => return typed(error),
    };
    let mut batch = Batch::default();
    batch.push(&[2, 5, 7, 1, 3], &[0; 5]);
    cloze::block_on(model.forward(&batch, &Cancel::new())).map(drop).or_else(typed)
}

fn tokenize(files: TokenizerFiles<'_>) -> Result<(), String> {
    let tokenizer = match Tokenizer::from_files(&files, 2000) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return typed(error),
    };
    let text = "She said: \u{201c}na\u{ef}ve caf\u{e9}\u{301}\u{201d}, 12\u{bd} \u{4e2d}\u{6587} \u{1f600}\u{200d} a\u{0}b [MASK]\n";
    tokenizer.encode(text).map(drop).or_else(typed)
}

fn sentence(bytes: &[u8]) -> Result<(), String> {
    let pooling = br#"{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}"#;
    let mut find = |name: &str| match name {
        "modules.json" => Ok(Some(bytes.to_vec())),
        _ if name.ends_with("config.json") => Ok(Some(pooling.to_vec())),
        _ => Ok(None),
    };
    Sentence::read(&mut find).map(drop).or_else(typed)
}

/// Numbers that are a function of where they begin.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// Bytes that break things.
const PIECES: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"9",
    b"99999999999999999999",
    b"1e308",
    b"null",
    b"true",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b"\\u0000",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xed\xa0\x80",
    b"[[[[[[[[",
    b"\"__metadata__\":",
    b"NaN",
    b"\n",
];

/// A seed with a few mutations; most are near the beginning, where a header is.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(4) {
        let whole = bytes.len();
        let near = if random.below(4) == 0 { whole } else { whole.min(700) };
        let at = random.below(near);
        match random.below(9) {
            0 if whole > 0 => bytes[at] = random.next() as u8,
            1 if whole > 0 => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            4 => {
                let end = (at + random.below(16)).min(whole);
                drop(bytes.drain(at..end));
            }
            5 => {
                // A piece of itself elsewhere.
                let from = random.below(whole);
                let piece = bytes[from..(from + random.below(64)).min(whole)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            6 if bytes.len() >= at + 8 => {
                let value = random.next() >> random.below(64);
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            7 => {
                // A number in a text.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    bytes[at + digit] = b'0' + random.below(10) as u8;
                }
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (at + piece.len()).min(whole);
                drop(bytes.splice(at..end, piece.iter().copied()));
            }
        }
    }
    bytes
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn changed(bytes: isize) {
    let _ = LIVE.try_with(|sizes| {
        sizes.set(sizes.get() + bytes);
        PEAK.set(PEAK.get().max(sizes.get()));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        changed(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        changed(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

struct Options {
    inputs: u64,
    first: u64,
    seed: u64,
    only: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { inputs: 100_000, first: 0, seed: 15, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        // What cargo gives every benchmark.
        if name == "--bench" {
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} {value}: not a number"));
        match name.as_str() {
            "--inputs" => options.inputs = number()?,
            "--first" => options.first = number()?,
            "--seed" => options.seed = number()?,
            "--only" => options.only = Some(value),
            _ => return Err(format!("{name} is unknown: give --inputs, --first, --seed or --only")),
        }
    }
    Ok(options)
}

fn main() {
    let options = options().unwrap_or_else(|problem| {
        eprintln!("{problem}");
        std::process::exit(2);
    });
    let mut targets = targets();
    targets.retain(|target| options.only.as_ref().is_none_or(|only| only == target.name));
    assert!(!targets.is_empty(), "no such target");
    let shares: u64 = targets.iter().map(|target| target.share).sum();
    // What panics is told once, with how to make it again.
    std::panic::set_hook(Box::new(|_| {}));
    let (begun, mut failures) = (Instant::now(), 0u64);
    let (mut slowest, mut largest, mut counts) = (Duration::ZERO, 0, Vec::new());
    for target in &targets {
        let count = options.inputs * target.share / shares;
        for number in options.first..options.first + count {
            let name = target.name.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            let mut random = Random(options.seed ^ name.rotate_left(32) ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
            let input = mutated(&target.seeds, &mut random);
            let before = LIVE.get();
            PEAK.set(before);
            let start = Instant::now();
            let found = catch_unwind(AssertUnwindSafe(|| (target.work)(&input)));
            let (time, memory) = (start.elapsed(), (PEAK.get() - before) as usize);
            slowest = slowest.max(time);
            largest = largest.max(memory);
            let problem = match found {
                Err(_) => Some("panicked".into()),
                Ok(Err(problem)) => Some(problem),
                Ok(Ok(())) if time > MOST_TIME => Some(format!("took {time:?}")),
                Ok(Ok(())) if memory > MOST_MEMORY + 64 * input.len() => Some(format!("took {memory} bytes")),
                Ok(Ok(())) => None,
            };
            if let Some(problem) = problem {
                failures += 1;
                if failures <= 50 {
                    println!("{} --first {number}: {}", target.name, problem.escape_debug());
                }
            }
        }
        counts.push(format!(r#""{}": {count}"#, target.name));
    }
    let total: u64 = targets.iter().map(|target| options.inputs * target.share / shares).sum();
    println!(
        r#"{{"what": "fuzz", "seed": {}, "inputs": {total}, "failures": {failures}, "seconds": {:.0}, "slowest_ms": {:.1}, "most_bytes": {largest}, "targets": {{{}}}}}"#,
        options.seed,
        begun.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
        counts.join(", ")
    );
    std::process::exit(i32::from(failures > 0));
}
