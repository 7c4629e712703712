//! `cloze search`

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cloze::checkpoint::{Checkpoint, TOKENIZERS};
use cloze::device::Device;
use cloze::search::cache::{Cache, fingerprint};
use cloze::search::files::Files;
use cloze::search::{Event, Hit, Read, Search, reranked};
use cloze::tasks::embed::Embedder;
use cloze::tasks::rank::{RankOptions, Reranker};
use cloze::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::batch::{Outcome, interruptible};
use super::common::Common;
use super::show;

/// Find the passages of text and Markdown files that are closest in meaning to a query.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze search 'how do I undo a commit' notes/ --model sentence-transformers/all-MiniLM-L6-v2
  cloze search 'undo a commit' notes/ README.md --top-k 3 --json --model ./encoder
  cloze search 'undo a commit' notes/ --model ./encoder --rerank cross-encoder/ms-marco-MiniLM-L6-v2

In directories and the directories below them, Cloze reads files that end in .md, .markdown, .txt, .rst, .adoc,
.org, .tex or .log, and files without an extension. It ignores hidden files and links. It always reads a file that
you name yourself.

With --json, each line is {\"file\",\"line\",\"start\",\"end\",\"score\",\"text\"}. start and end count code points. With
--rerank, \"score\" comes from the cross-encoder and \"similarity\" from the sentence encoder.

Cloze stores vectors in your cache directory, and computes them again when a text changes.")]
pub struct SearchArgs {
    /// What to look for
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Files and directories to search
    #[arg(value_name = "FILE|DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// Text to put before the query: the name of one of the model's prompts, or your own text [default: the prompt
    /// named query, if the model has one]
    #[arg(long, value_name = "NAME|TEXT")]
    pub prompt: Option<String>,
    /// Number of passages to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top_k: usize,
    /// Rank the best passages again with this cross-encoder
    #[arg(long, value_name = "MODEL")]
    pub rerank: Option<OsString>,
    /// Number of passages that the cross-encoder reads
    #[arg(long, value_name = "N", default_value_t = 50, requires = "rerank")]
    pub candidates: usize,
    /// Store vectors in this directory [default: cloze/search in your cache directory]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub cache: Option<PathBuf>,
    /// Do not store vectors, and do not use stored ones
    #[arg(long)]
    pub no_cache: bool,
}

/// A passage, as an object.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    line: usize,
    start: usize,
    end: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    text: &'a str,
}

pub fn search(args: SearchArgs, common: &Common) -> Result<Outcome> {
    for (name, number) in [("top_k", args.top_k), ("candidates", args.candidates)] {
        if number == 0 {
            return Err(Error::Option { name, problem: "it is 0".into(), help: "Give at least 1".into() });
        }
    }
    // Wrong paths are reported before a model is loaded or downloaded.
    let files = Files::find(&args.paths)?;
    let cancel = interruptible()?;
    let device: Arc<Device> = common.open_device()?.device.into();
    let (embedder, sum) = encoder(common, &device)?;
    let reranker =
        args.rerank.as_ref().map(|model| Reranker::open(&common.dir_of(model)?, device.clone())).transpose()?;
    let cache = cache(&args, common, &sum);
    let most = if reranker.is_some() { args.candidates.max(args.top_k) } else { args.top_k };

    let bar = bar(files.found.len(), common);
    let mut skipped: Vec<String> = Vec::new();
    let mut tell = |event| match event {
        Event::Files(done) => bar.set_position(done as u64),
        Event::Skipped(path, error) => {
            let (path, error) = (path.display().to_string(), show::message(&error));
            skipped.push(if error.contains(&path) { error } else { format!("{path}: {error}") });
        }
        Event::NotKept(error) => common.note(&format!("vectors are not stored: {}", show::message(&error))),
    };
    let (mut hits, read) = cloze::block_on(async {
        let search = Search::new(&embedder, cache, &args.query, args.prompt.clone(), most, &cancel).await?;
        search.over(&files.found, &mut tell, &cancel).await
    })?;
    bar.finish_and_clear();
    if let Some(reranker) = &reranker {
        hits = cloze::block_on(reranked(reranker, &args.query, hits, &RankOptions::default(), &cancel))?;
    }
    hits.truncate(args.top_k);
    say(common, &files, skipped, &read);
    for (number, hit) in hits.iter().enumerate() {
        match common.json {
            true => show::json(&line(hit))?,
            false => show_hit(number, hit)?,
        }
    }
    Ok(Outcome::AllGood)
}

/// The chosen sentence encoder, and the fingerprint of its vectors.
fn encoder(common: &Common, device: &Arc<Device>) -> Result<(Embedder, String)> {
    let dir = common.required_model_dir()?;
    let embedder = Embedder::open(dir, device.clone())?;
    let inner = embedder.sentence().encoder.as_ref().map_or_else(|| dir.to_owned(), |path| dir.join(path));
    // The vectors of an adapter also depend on its base.
    let base = Checkpoint::place_of(&["model.safetensors", "model.safetensors.index.json"], &inner)?;
    let tokenizer = Checkpoint::place_of(&TOKENIZERS, &inner)?;
    let mut dirs = vec![dir, &inner, &base, &tokenizer];
    dirs.dedup();
    let sum = fingerprint(&dirs, &[device.kind()])?;
    Ok((embedder, sum))
}

/// The cache for vectors. If it cannot be used, the search works without it.
fn cache(args: &SearchArgs, common: &Common, sum: &str) -> Option<Cache> {
    if args.no_cache {
        return None;
    }
    let root = args.cache.clone().or_else(|| Some(user_cache()?.join("cloze").join("search")));
    let Some(root) = root else {
        common.note("vectors are not stored: there is no cache directory. Give --cache");
        return None;
    };
    Cache::open(&root, sum)
        .inspect_err(|error| common.note(&format!("vectors are not stored: {}", show::message(error))))
        .ok()
}

/// The directory for the caches of this user's programs.
fn user_cache() -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return directory("LOCALAPPDATA");
    }
    directory("XDG_CACHE_HOME").or_else(|| {
        let own = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        Some(directory("HOME")?.join(own))
    })
}

fn bar(files: usize, common: &Common) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Reports on stderr what was read and what was not.
fn say(common: &Common, files: &Files, mut skipped: Vec<String>, read: &Read) {
    const SHOWN: usize = 10;
    skipped.extend(files.skipped.iter().map(|(path, why)| format!("{}: {why}", path.display())));
    for line in skipped.iter().take(SHOWN) {
        common.note(&show::flat(&format!("skipped {line}"), 300));
    }
    if skipped.len() > SHOWN {
        common.note(&format!("skipped {} more", skipped.len() - SHOWN));
    }
    let left_out = [(files.hidden, "hidden"), (files.links, "links"), (files.others, "not text")];
    let left_out: Vec<String> =
        left_out.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let left_out = if left_out.is_empty() { String::new() } else { format!("; left out: {}", left_out.join(", ")) };
    let Read { files, passages, embedded } = *read;
    common.note(&format!("{passages} passages in {files} files, {embedded} embedded now{left_out}"));
}

fn line(hit: &Hit) -> Line<'_> {
    let (score, similarity) = match hit.score {
        Some(score) => (score, Some(hit.similarity)),
        None => (hit.similarity, None),
    };
    let file = hit.path.to_string_lossy().into_owned();
    Line { file, line: hit.line, start: hit.start, end: hit.end, score, similarity, text: &hit.text }
}

/// Prints a passage for people: its place, its score and its beginning.
fn show_hit(number: usize, hit: &Hit) -> Result<()> {
    const MOST: usize = 400;
    let place = format!("{}:{}", show::flat(&hit.path.to_string_lossy(), 1000), hit.line);
    if number > 0 {
        show::line("")?;
    }
    let score = hit.score.unwrap_or(hit.similarity);
    show::spans(&[(show::BOLD, &place), (show::PLAIN, "  "), (show::DIM, &format!("{score:.4}"))])?;
    show::line(&show::flat(&hit.text, MOST))
}
