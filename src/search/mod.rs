//! Searches files by meaning: finds the passages whose vectors are closest to the query's. A cross-encoder, if given, ranks them again.
//!
//! Start at [`Search`].

pub mod cache;
pub mod files;
pub mod passages;

use std::path::PathBuf;

use crate::device::Cancel;
use crate::error::Result;
use crate::tasks::embed::{EmbedOptions, Embedder};
use crate::tasks::rank::{Query, RankOptions, Reranker};
use crate::tasks::run::{run, run_one};
use crate::text::Offsets;
use cache::{Cache, Vectors};
use files::Found;

/// The approximate number of passages and bytes that are embedded together.
const MOST_WAITING: usize = 256;
const MOST_WAITING_BYTES: usize = 8 << 20;

/// A passage that the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The file that contains the passage.
    pub path: PathBuf,
    /// The line in which the passage begins, counted from 1.
    pub line: usize,
    /// Its place in the file, in code points.
    pub start: usize,
    /// The end of the passage in the file, in code points.
    pub end: usize,
    /// The text of the passage.
    pub text: String,
    /// How similar the passage's vector is to the query's: their cosine, unless the model's files name another measure.
    pub similarity: f32,
    /// The cross-encoder's score, if one has read the passage.
    pub score: Option<f32>,
    /// The number of the file. Passages with equal scores are in this order.
    file: usize,
}

/// What a search reports while it runs.
#[derive(Debug)]
pub enum Event {
    /// This many files are done.
    Files(usize),
    /// A file found in a directory, or one of its passages, is left out.
    Skipped(PathBuf, crate::Error),
    /// Vectors could not be stored. This search stores no more.
    NotKept(crate::Error),
}

/// What a search has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The number of files.
    pub files: usize,
    /// The number of passages.
    pub passages: usize,
    /// The number of passages whose vectors were not in the cache.
    pub embedded: usize,
}

/// A search with a sentence encoder.
#[derive(Debug)]
pub struct Search<'a> {
    embedder: &'a Embedder,
    cache: Option<Cache>,
    query: Vec<f32>,
    /// How to embed passages, and how many tokens of each the encoder reads.
    options: EmbedOptions,
    room: usize,
    /// The maximum number of passages to return.
    most: usize,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    hits: Vec<Hit>,
    read: Read,
}

/// A file whose passages have vectors or wait for them.
#[derive(Debug)]
struct Waiting {
    file: usize,
    path: PathBuf,
    text: String,
    vectors: Vectors,
    is_new: bool,
}

impl<'a> Search<'a> {
    /// Starts a search for the `most` passages that are closest to `query`. `prompt` precedes the query; the default is the model's prompt for queries.
    ///
    /// # Errors
    /// The errors of embedding the query.
    pub async fn new(
        embedder: &'a Embedder,
        cache: Option<Cache>,
        query: &str,
        prompt: Option<String>,
        most: usize,
        cancel: &Cancel,
    ) -> Result<Self> {
        let own = options(embedder, &["query"]);
        let query =
            run_one(embedder, &query.into(), &EmbedOptions { prompt: prompt.or(own.prompt), ..own }, cancel).await?;
        let options = options(embedder, &["document", "passage", "corpus"]);
        let prompt = embedder.sentence().prompts.text(options.prompt.as_deref())?;
        let taken = 2 + embedder.text_model().tokenizer().encode(prompt)?.len();
        let room = embedder.max_len().saturating_sub(taken);
        let (waiting, hits) = (Vec::new(), Vec::new());
        Ok(Self { embedder, cache, query, options, room, most, waiting, waiting_bytes: 0, hits, read: Read::default() })
    }

    /// Reads the files and returns the best passages, best first. Equal passages keep the order of the files.
    ///
    /// # Errors
    /// The errors of [`Found::read`] for a file that the user named; the device's errors and [`Error::Cancelled`](crate::Error::Cancelled).
    pub async fn over(
        mut self,
        files: &[Found],
        tell: &mut dyn FnMut(Event),
        cancel: &Cancel,
    ) -> Result<(Vec<Hit>, Read)> {
        for (number, file) in files.iter().enumerate() {
            cancel.check()?;
            match file.read() {
                Ok(text) => self.add(number, file, text)?,
                Err(error) if file.is_named => return Err(error),
                Err(error) => tell(Event::Skipped(file.path.clone(), error)),
            }
            let passages: usize =
                self.waiting.iter().map(|w| if w.is_new { w.vectors.passages.len() } else { 0 }).sum();
            if passages >= MOST_WAITING || self.waiting_bytes >= MOST_WAITING_BYTES {
                self.embed(tell, cancel).await?;
                tell(Event::Files(number + 1));
            }
        }
        self.embed(tell, cancel).await?;
        tell(Event::Files(files.len()));
        if let Some(cache) = self.cache.as_ref().filter(|_| self.read.embedded > 0) {
            cache.prune(cache::MOST_BYTES);
        }
        self.keep_best();
        Ok((self.hits, self.read))
    }

    /// Takes a file's text: with vectors from the cache, or cut into passages that wait for their vectors.
    fn add(&mut self, file: usize, found: &Found, text: String) -> Result<()> {
        let kept = self.cache.as_ref().and_then(|cache| cache.get(&text, self.query.len()));
        let is_new = kept.is_none();
        let vectors = match kept {
            Some(vectors) => vectors,
            None => {
                let tokenizer = self.embedder.text_model().tokenizer();
                let passages = passages::passages(&text, found.form(), tokenizer, self.room)?;
                Vectors { passages, values: Vec::new() }
            }
        };
        self.read.files += 1;
        self.waiting_bytes += text.len();
        self.waiting.push(Waiting { file, path: found.path.clone(), text, vectors, is_new });
        Ok(())
    }

    /// Embeds the waiting passages and keeps the best ones.
    async fn embed(&mut self, tell: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<()> {
        self.waiting_bytes = 0;
        let mut waiting = std::mem::take(&mut self.waiting);
        self.fill(&mut waiting, tell, cancel).await?;
        for one in &waiting {
            self.score(one);
        }
        Ok(())
    }

    /// Embeds the new passages of these files. A passage that cannot be embedded is dropped, and its file is not cached.
    async fn fill(&mut self, files: &mut [Waiting], tell: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<()> {
        let new = files.iter().filter(|file| file.is_new);
        let texts = new.flat_map(|f| f.vectors.passages.iter().map(|p| f.text[p.bytes.clone()].into()));
        let texts: Vec<_> = texts.collect();
        let found = run(self.embedder, &texts, &self.options, cancel).await?;
        self.read.embedded += found.len();
        let mut found = found.into_iter();
        for file in files.iter_mut().filter(|file| file.is_new) {
            let Vectors { passages, values } = &mut file.vectors;
            let mut whole = true;
            passages.retain(|_| match found.next() {
                Some(Ok(vector)) => {
                    values.extend(vector);
                    true
                }
                Some(Err(error)) => {
                    tell(Event::Skipped(file.path.clone(), error));
                    whole = false;
                    false
                }
                None => false,
            });
            if let Some(cache) = self.cache.as_ref().filter(|_| whole)
                && let Err(error) = cache.put(&file.text, &file.vectors)
            {
                tell(Event::NotKept(error));
                self.cache = None;
            }
        }
        Ok(())
    }

    fn score(&mut self, Waiting { file, path, text, vectors, .. }: &Waiting) {
        self.read.passages += vectors.passages.len();
        let mut points = None;
        for (passage, vector) in vectors.passages.iter().zip(vectors.values.chunks_exact(self.query.len().max(1))) {
            let similarity = self.embedder.sentence().similarity.of(&self.query, vector);
            let points = points.get_or_insert_with(|| Offsets::in_code_points(text));
            self.hits.push(Hit {
                path: path.clone(),
                line: passage.line,
                start: points.at(passage.bytes.start),
                end: points.at(passage.bytes.end),
                text: text[passage.bytes.clone()].to_owned(),
                similarity,
                score: None,
                file: *file,
            });
            // Hits that can no longer be among the best are dropped.
            if self.hits.len() / 2 > self.most.max(MOST_WAITING) {
                self.keep_best();
            }
        }
    }

    fn keep_best(&mut self) {
        let order = |a: &Hit, b: &Hit| {
            b.similarity.total_cmp(&a.similarity).then(a.file.cmp(&b.file)).then(a.start.cmp(&b.start))
        };
        self.hits.sort_by(order);
        self.hits.truncate(self.most);
    }
}

/// The options for embedding with the first of these prompts that the model has. Like `encode_query` and `encode_document` of sentence-transformers, it ignores
/// the model's default prompt, which may be meant for the other side.
fn options(embedder: &Embedder, names: &[&str]) -> EmbedOptions {
    let prompts = &embedder.sentence().prompts;
    let has = |wanted: &&&str| prompts.named().any(|(name, text)| name == **wanted && !text.is_empty());
    let name = names.iter().find(has).copied().unwrap_or_default();
    EmbedOptions { prompt: Some(name.into()), ..EmbedOptions::default() }
}

/// Ranks the hits by a cross-encoder that reads each with the query, and adds its scores. At equal scores the closer hit comes first.
///
/// # Errors
/// The errors of the task.
pub async fn reranked(
    reranker: &Reranker,
    query: &str,
    mut hits: Vec<Hit>,
    options: &RankOptions,
    cancel: &Cancel,
) -> Result<Vec<Hit>> {
    let texts = hits.iter().map(|hit| hit.text.clone()).collect();
    let ranking = run_one(reranker, &Query { query: query.into(), texts }, options, cancel).await?;
    let mut taken: Vec<Option<Hit>> = hits.drain(..).map(Some).collect();
    let hit = |ranked: &crate::tasks::rank::Ranked| {
        let hit = taken.get_mut(ranked.index)?.take()?;
        Some(Hit { score: Some(ranked.score), ..hit })
    };
    Ok(ranking.iter().filter_map(hit).collect())
}
