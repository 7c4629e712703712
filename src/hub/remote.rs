//! The Hub's side: what a file is (`resolve` with a range of one byte), and its bytes.
//!
//! The token goes to the endpoint alone: a redirect to another host, as large files have, is followed without it.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use serde::Deserialize;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::id::{ModelId, is_commit, is_plain};
use super::store::Partial;
use crate::error::{Error, HubFault, Result, clip, clip_message};

/// Connecting, and each read: what is silent for longer has gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Relative redirects are those of a renamed model: one, as a rule.
const MOST_REDIRECTS: usize = 5;

/// A model's list of files; the largest seen are a few megabytes.
const MOST_LIST: u64 = 16 << 20;

/// What the server says of a file.
pub(super) struct Meta {
    pub commit: String,
    /// The name of its contents, fit for a file's.
    pub etag: String,
    pub size: u64,
    /// Of the contents, where the server vouches for it.
    pub sha256: Option<String>,
}

/// Whether the model has a file.
pub(super) enum Found {
    File(Meta),
    /// `for_good`: the Hub itself says that the commit has none, and not some server on the way.
    Nothing {
        for_good: bool,
    },
}

/// Where files come from, and as whom they are asked for.
pub(super) struct Remote<'a> {
    agent: Agent,
    endpoint: &'a str,
    authorization: Option<String>,
    id: &'a ModelId,
}

impl<'a> Remote<'a> {
    pub fn new(endpoint: &'a str, token: Option<&str>, id: &'a ModelId) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .https_only(endpoint.starts_with("https://"))
            .user_agent(concat!("cloze/", env!("CARGO_PKG_VERSION")))
            // Or sizes would be those of the compressed text.
            .accept_encoding("identity")
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE))
            .build()
            .into();
        Self { agent, endpoint, authorization: token.map(|t| format!("Bearer {t}")), id }
    }

    /// Where the model is looked at by people.
    pub fn page(&self) -> String {
        format!("{}/{}", self.endpoint, self.id.repo())
    }

    fn url(&self, file: &str) -> String {
        format!("{}/resolve/{}/{file}", self.page(), self.id.revision().replace('/', "%2F"))
    }

    /// What the server says of a file.
    pub fn meta(&self, file: &str) -> Result<Found> {
        let url = self.url(file);
        let mut at = url.clone();
        let mut said = Said::default();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.get(&at, Some("bytes=0-0"), false, file)?;
            said.hear(&response);
            let status = response.status().as_u16();
            match (status, header(&response, "location")) {
                // Within the Hub: a model that was renamed, or a file of its own cache.
                (301 | 302 | 303 | 307 | 308, Some(to)) if to.starts_with('/') && !to.starts_with("//") => {
                    at = format!("{}{to}", self.origin());
                }
                // To a storage that knows neither commits nor the Hub's etags.
                (301 | 302 | 303 | 307 | 308, Some(_)) => return self.described(file, &url, said).map(Found::File),
                (200 | 206 | 416, _) => {
                    said.size = said.size.or_else(|| length(&response));
                    return self.described(file, &url, said).map(Found::File);
                }
                (404, _) => return self.absent(header(&response, "x-error-code").as_deref()),
                _ => return Err(self.refused(file, status)),
            }
        }
        Err(self.nonsense(file, "it redirects without end"))
    }

    fn described(&self, file: &str, url: &str, said: Said) -> Result<Meta> {
        let Said { commit, etag, linked, size } = said;
        let sha256 = linked.as_deref().map(bare).filter(|e| e.len() == 64).map(str::to_ascii_lowercase);
        let (Some(commit), Some(etag)) = (commit, linked.or(etag)) else {
            return Err(self.nonsense(file, "the answer has no commit or no etag: this is no Hub"));
        };
        let size = match size {
            Some(size) => Some(size),
            // Only the storage knows it.
            None => length(&self.get(url, Some("bytes=0-0"), true, file)?),
        };
        let Some(size) = size.and_then(|s| s.parse().ok()) else {
            return Err(self.nonsense(file, "the answer does not say how long it is"));
        };
        let etag = bare(&etag);
        // Both become names of files.
        if !is_commit(&commit) {
            return Err(self.nonsense(file, &format!("{:?} is no commit", clip(&commit))));
        }
        // A name beside which `store` can put its own.
        if !is_plain(etag) || etag.len() > 128 || etag.ends_with(".part") || etag.ends_with(".lock") {
            return Err(self.nonsense(file, &format!("{:?} is no etag", clip(etag))));
        }
        Ok(Meta { commit, etag: etag.into(), size, sha256 })
    }

    /// Appends to `partial` what it lacks of a file; `report` hears of every piece.
    pub fn download(&self, file: &str, meta: &Meta, partial: &mut Partial, report: &mut dyn FnMut(u64)) -> Result<()> {
        let mut have = partial.len()?;
        if have > meta.size {
            partial.clear()?;
            have = 0;
        }
        report(have);
        if have == meta.size {
            return Ok(());
        }
        let range = (have > 0).then(|| format!("bytes={have}-"));
        let response = self.get(&self.url(file), range.as_deref(), true, file)?;
        let status = response.status().as_u16();
        if let Some(total) = length(&response).filter(|total| total.parse() != Ok(meta.size)) {
            // What is another file must not be mistaken for the beginning of this one.
            let problem = format!("{} bytes were announced, now {}", meta.size, clip(&total));
            return Err(self.nonsense(file, &problem));
        }
        match status {
            200 => {
                partial.clear()?;
                have = 0;
            }
            206 if starts_at(&response, have) => {}
            206 => return Err(self.nonsense(file, "the answer is another part than the one asked for")),
            _ => return Err(self.refused(file, status)),
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.broken_off(file, have, meta.size, &clip_message(&e))),
            };
            have += read as u64;
            if have > meta.size {
                partial.clear()?;
                return Err(self.nonsense(file, &format!("more than the {} bytes that were announced", meta.size)));
            }
            let piece = buffer.get(..read).unwrap_or_default();
            partial.file.write_all(piece).map_err(|e| Error::io("write", partial.path(), e))?;
            report(have);
        }
        if have < meta.size {
            return Err(self.broken_off(file, have, meta.size, "the server closed the connection"));
        }
        Ok(())
    }

    /// The names of all the model's files, as far as the server tells.
    pub fn list(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Info {
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let revision = self.id.revision().replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}", self.endpoint, self.id.repo());
        let Ok(response) = self.get(&url, None, true, "its list of files") else { return Vec::new() };
        let mut text = Vec::new();
        let read = response.into_body().into_reader().take(MOST_LIST).read_to_end(&mut text);
        let info = read.ok().and_then(|_| serde_json::from_slice::<Info>(&text).ok());
        info.map(|i| i.siblings.into_iter().map(|s| s.rfilename).collect()).unwrap_or_default()
    }

    fn get(&self, url: &str, range: Option<&str>, follow: bool, file: &str) -> Result<Response<Body>> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.authorization {
            request = request.header("authorization", token);
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let redirects = if follow { 10 } else { 0 };
        let request = request.config().max_redirects(redirects).max_redirects_will_error(follow).build();
        request.call().map_err(|e| match e {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed => {
                let problem = format!("{} cannot be reached: {}", self.endpoint, clip_message(&e));
                self.fault(HubFault::Network, file, problem, "Check the network, or give a model's directory instead")
            }
            e => self.nonsense(file, &clip_message(&e)),
        })
    }

    /// The endpoint without its path.
    fn origin(&self) -> &str {
        let host = self.endpoint.find("://").map_or(0, |at| at + 3);
        let end = self.endpoint.get(host..).and_then(|rest| rest.find('/')).map_or(self.endpoint.len(), |n| host + n);
        self.endpoint.get(..end).unwrap_or(self.endpoint)
    }

    /// A file that is not there, or a model that is not.
    fn absent(&self, code: Option<&str>) -> Result<Found> {
        match code {
            Some("RepoNotFound") => Err(self.missing(format!("there is no such model at {}", self.endpoint))),
            Some("RevisionNotFound") => Err(self.missing(format!("the model has no revision {}", self.id.revision()))),
            code => Ok(Found::Nothing { for_good: code == Some("EntryNotFound") }),
        }
    }

    pub fn missing(&self, problem: String) -> Error {
        let mend = format!("Check the name at {}; a private model needs HF_TOKEN", self.page());
        Error::Hub { fault: HubFault::NotFound, what: self.id.to_string(), problem, mend }
    }

    fn refused(&self, file: &str, status: u16) -> Error {
        let page = self.page();
        match (status, &self.authorization) {
            (401 | 403, None) => {
                let problem = format!("there is no such model, or it is not for everyone (status {status})");
                let mend = format!("Check the name at {page}; for a private or gated model set HF_TOKEN");
                self.fault(HubFault::NoAccess, file, problem, &mend)
            }
            (401 | 403, Some(_)) => {
                let problem = format!("the token in use may not read it (status {status})");
                let mend = format!("Accept the model's terms at {page}, or set HF_TOKEN to another token");
                self.fault(HubFault::NoAccess, file, problem, &mend)
            }
            (404 | 410, _) => self.missing(format!("it has no {file} any more")),
            (408 | 429 | 500..=599, _) => {
                let problem = format!("{} is busy or out of order (status {status})", self.endpoint);
                self.fault(HubFault::Network, file, problem, "Try again later")
            }
            _ => self.nonsense(file, &format!("unexpected status {status}")),
        }
    }

    fn broken_off(&self, file: &str, have: u64, size: u64, why: &str) -> Error {
        let problem = format!("the download broke off after {have} of {size} bytes: {why}");
        self.fault(HubFault::Network, file, problem, "Run it again: what is there is kept and continued")
    }

    /// What no Hub answers.
    pub fn nonsense(&self, file: &str, problem: &str) -> Error {
        let problem = format!("{} gave an answer that cannot be used: {problem}", self.endpoint);
        self.fault(HubFault::Answer, file, problem, "Try again; if HF_ENDPOINT is set, check it")
    }

    fn fault(&self, fault: HubFault, file: &str, problem: String, mend: &str) -> Error {
        Error::Hub { fault, what: format!("{}, {file}", self.id), problem, mend: mend.into() }
    }
}

/// What the answers on the way to a file said so far; the later word counts, but for the commit.
#[derive(Default)]
struct Said {
    commit: Option<String>,
    etag: Option<String>,
    /// The etag of what is stored elsewhere, which is its SHA-256, and its size.
    linked: Option<String>,
    size: Option<String>,
}

impl Said {
    fn hear(&mut self, response: &Response<Body>) {
        let or = |name, before: &mut Option<String>| header(response, name).or(before.take());
        self.commit = self.commit.take().or(header(response, "x-repo-commit"));
        self.etag = or("etag", &mut self.etag);
        self.linked = or("x-linked-etag", &mut self.linked);
        self.size = or("x-linked-size", &mut self.size);
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// How long the whole file is, by the range that was sent or by the length of the whole.
fn length(response: &Response<Body>) -> Option<String> {
    let of_range =
        header(response, "content-range").and_then(|r| r.rsplit_once('/').map(|(_, total)| total.to_owned()));
    of_range.or_else(|| header(response, "content-length").filter(|_| response.status() == 200))
}

/// Whether a part of a file is that from `start` on.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = header(response, "content-range").unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|r| r.split_once('-'));
    first.and_then(|(first, _)| first.trim().parse().ok()) == Some(start)
}

/// An etag without its quotes and its mark of weakness.
fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}
