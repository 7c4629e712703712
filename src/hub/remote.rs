//! The requests to the Hub: the metadata of a file (`resolve` with a range of one byte), and its bytes.
//!
//! This module follows redirects itself, so that only the origin of the endpoint gets the token. A redirect to another
//! scheme, host or port, which large files have, is followed without it.
//!
//! No server can hold a request for long. Connecting, sending the request, and receiving all headers of an answer each
//! have a time limit, and a body must keep a minimum speed (`watch`).

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::address::Address;
use super::id::{ModelId, is_commit, is_plain};
use super::store::Partial;
use super::watch::{LEAST_PER_SECOND, Watch};
use crate::error::{Error, HubFault, Result, clip, clip_message};

/// The most redirects of a request. A renamed model usually redirects once, and its storage once more.
const MOST_REDIRECTS: usize = 5;

/// The largest list of a model's files, in bytes. The largest known ones have a few megabytes.
const MOST_LIST: u64 = 16 << 20;

/// A server's metadata of a file.
pub(super) struct Meta {
    pub commit: String,
    /// The identifier of its contents, which is safe as a file name.
    pub etag: String,
    pub size: u64,
    /// The SHA-256 of its contents, if the server guarantees it.
    pub sha256: Option<String>,
}

/// Whether the model has a file.
pub(super) enum Found {
    File(Meta),
    /// `for_good` means that the Hub itself says that the commit lacks the file, not another server on the way.
    Nothing {
        for_good: bool,
    },
}

/// The server of the files, and the identity for requests.
pub(super) struct Remote<'a> {
    agent: Agent,
    endpoint: &'a Address,
    authorization: Option<String>,
    id: &'a ModelId,
    patience: Duration,
}

impl<'a> Remote<'a> {
    /// `patience` is the time limit for a silent server, and the period over which the speed of a body is measured.
    pub fn new(endpoint: &'a Address, token: Option<&str>, id: &'a ModelId, patience: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .https_only(endpoint.is_secure())
            .user_agent(concat!("cloze/", env!("CARGO_PKG_VERSION")))
            // Otherwise sizes would be those of the compressed text.
            .accept_encoding("identity")
            // There is no limit on name resolution, because the client would start a thread for it and panic if it gets
            // none.
            .timeout_connect(Some(patience))
            .timeout_send_request(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_per_write(Some(patience))
            .build()
            .into();
        Self { agent, endpoint, authorization: token.map(|t| format!("Bearer {t}")), id, patience }
    }

    /// The address of the model's page for people.
    pub fn page(&self) -> String {
        self.endpoint.join(&format!("/{}", self.id.repo())).to_string()
    }

    fn address(&self, file: &str) -> Address {
        let revision = self.id.revision().replace('/', "%2F");
        self.endpoint.join(&format!("/{}/resolve/{revision}/{file}", self.id.repo()))
    }

    /// Requests the metadata of a file.
    pub fn meta(&self, file: &str) -> Result<Found> {
        let first = self.address(file);
        let mut at = first.clone();
        let mut said = Said::default();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.get(&at, true, Some("bytes=0-0"), self.patience, file)?;
            said.hear(&response);
            match self.redirect(&at, &response, file)? {
                // Within the Hub: a renamed model, or a file in the Hub's own cache.
                Some(next) if next.origin() == self.endpoint.origin() => at = next,
                // To a storage that knows neither commits nor the Hub's etags.
                Some(_) => return self.described(file, &first, said).map(Found::File),
                None => {
                    return match response.status().as_u16() {
                        200 | 206 | 416 => {
                            said.size = said.size.or_else(|| length(&response));
                            self.described(file, &first, said).map(Found::File)
                        }
                        404 => self.absent(header(&response, "x-error-code").as_deref()),
                        status => Err(self.refused(file, status)),
                    };
                }
            }
        }
        Err(self.endless(file))
    }

    /// The address that an answer redirects to, if it does.
    fn redirect(&self, at: &Address, response: &Response<Body>, file: &str) -> Result<Option<Address>> {
        match (response.status().as_u16(), header(response, "location")) {
            (301 | 302 | 303 | 307 | 308, Some(to)) => {
                let next = at.follow(&to);
                next.map(Some).map_err(|why| self.nonsense(file, &format!("it redirects to an address that {why}")))
            }
            _ => Ok(None),
        }
    }

    fn endless(&self, file: &str) -> Error {
        self.nonsense(file, "it redirects without end")
    }

    fn described(&self, file: &str, at: &Address, said: Said) -> Result<Meta> {
        let Said { commit, etag, linked, size } = said;
        let sha256 = linked.as_deref().map(bare).filter(|e| e.len() == 64).map(str::to_ascii_lowercase);
        let (Some(commit), Some(etag)) = (commit, linked.or(etag)) else {
            return Err(self.nonsense(file, "the answer has no commit or no etag: this is no Hub"));
        };
        let size = match size {
            Some(size) => Some(size),
            // Only the storage knows the size.
            None => length(&self.open(at, Some("bytes=0-0"), self.patience, file)?),
        };
        let Some(size) = size.and_then(|s| s.parse().ok()) else {
            return Err(self.nonsense(file, "the answer does not say how long it is"));
        };
        let etag = bare(&etag);
        // Both become names of files.
        if !is_commit(&commit) {
            return Err(self.nonsense(file, &format!("{:?} is not a commit", clip(&commit))));
        }
        // `store` must be able to use this name, and to add its own endings.
        if !is_plain(etag) || etag.len() > 128 || etag.ends_with(".part") || etag.ends_with(".lock") {
            return Err(self.nonsense(file, &format!("{:?} is not a valid ETag", clip(etag))));
        }
        Ok(Meta { commit, etag: etag.into(), size, sha256 })
    }

    /// Appends the missing bytes of a file to `partial`. It calls `report` for every piece.
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
        // The watch enforces the speed. This limit is for a server that sends endlessly besides the body's bytes.
        let slowest = Duration::from_secs((meta.size - have) / LEAST_PER_SECOND);
        let response = self.open(&self.address(file), range.as_deref(), self.patience + slowest, file)?;
        let status = response.status().as_u16();
        if let Some(total) = length(&response).filter(|total| total.parse() != Ok(meta.size)) {
            // Another file must not be taken for the beginning of this one.
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
        let watch = Watch::start(&self.agent, self.patience).map_err(|e| Error::io("start", "a thread", e))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) if watch.has_ended() => break,
                Err(e) => return Err(self.broken_off(file, have, meta.size, &clip_message(&e))),
            };
            watch.count(read);
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
            let why = match watch.has_ended() {
                true => format!("less than {LEAST_PER_SECOND} bytes a second came for {} s", self.patience.as_secs()),
                false => "the server closed the connection".into(),
            };
            return Err(self.broken_off(file, have, meta.size, &why));
        }
        Ok(())
    }

    /// The names of all the model's files that the server lists.
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
        let at = self.endpoint.join(&format!("/api/models/{}/revision/{revision}", self.id.repo()));
        let Ok(response) = self.open(&at, None, self.patience, "its list of files") else { return Vec::new() };
        let mut text = Vec::new();
        let read = response.into_body().into_reader().take(MOST_LIST).read_to_end(&mut text);
        let info = read.ok().and_then(|_| serde_json::from_slice::<Info>(&text).ok());
        info.map(|i| i.siblings.into_iter().map(|s| s.rfilename).collect()).unwrap_or_default()
    }

    /// Sends a request and follows redirects.
    fn open(&self, at: &Address, range: Option<&str>, most: Duration, file: &str) -> Result<Response<Body>> {
        let mut at = at.clone();
        let mut is_ours = true;
        for _ in 0..=MOST_REDIRECTS {
            // A redirect back from another server does not get the token either.
            is_ours &= at.origin() == self.endpoint.origin();
            let response = self.get(&at, is_ours, range, most, file)?;
            match self.redirect(&at, &response, file)? {
                Some(next) => at = next,
                None => return Ok(response),
            }
        }
        Err(self.endless(file))
    }

    /// Sends one request, with the token if it goes to the endpoint itself. The body must arrive within `most`.
    fn get(
        &self,
        at: &Address,
        is_ours: bool,
        range: Option<&str>,
        most: Duration,
        file: &str,
    ) -> Result<Response<Body>> {
        let mut request = self.agent.get(at.url());
        if let Some(token) = self.authorization.as_ref().filter(|_| is_ours) {
            request = request.header("authorization", token);
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.config().timeout_recv_body(Some(most)).build().call().map_err(|e| {
            let said = at.redact(&clip_message(&e));
            match e {
                ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed => {
                    let problem = format!("{} cannot be reached: {said}", self.endpoint);
                    let help = "Check the network, or give a model's directory instead";
                    self.fault(HubFault::Network, file, problem, help)
                }
                _ => self.nonsense(file, &said),
            }
        })
    }

    /// Decides whether the file or the whole model is missing.
    fn absent(&self, code: Option<&str>) -> Result<Found> {
        match code {
            Some("RepoNotFound") => Err(self.missing(format!("there is no such model at {}", self.endpoint))),
            Some("RevisionNotFound") => Err(self.missing(format!("the model has no revision {}", self.id.revision()))),
            code => Ok(Found::Nothing { for_good: code == Some("EntryNotFound") }),
        }
    }

    pub fn missing(&self, problem: String) -> Error {
        let help = format!("Check the name at {}; a private model needs HF_TOKEN", self.page());
        Error::Hub { fault: HubFault::NotFound, what: self.id.to_string(), problem, help: help.into() }
    }

    fn refused(&self, file: &str, status: u16) -> Error {
        let page = self.page();
        match (status, &self.authorization) {
            (401 | 403, None) => {
                let problem = format!("there is no such model, or it is private or gated (status {status})");
                let help = format!("Check the name at {page}; for a private or gated model set HF_TOKEN");
                self.fault(HubFault::NoAccess, file, problem, &help)
            }
            (401 | 403, Some(_)) => {
                let problem = format!("the token in use may not read it (status {status})");
                let help = format!("Accept the model's terms at {page}, or set HF_TOKEN to another token");
                self.fault(HubFault::NoAccess, file, problem, &help)
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
        self.fault(HubFault::Network, file, problem, "Run it again: the download continues where it stopped")
    }

    /// The error for an answer that no Hub gives.
    pub fn nonsense(&self, file: &str, problem: &str) -> Error {
        let problem = format!("{} gave an answer that cannot be used: {problem}", self.endpoint);
        self.fault(HubFault::Answer, file, problem, "Try again; if HF_ENDPOINT is set, check it")
    }

    fn fault(&self, fault: HubFault, file: &str, problem: String, help: &str) -> Error {
        Error::Hub { fault, what: format!("{}, {file}", self.id), problem, help: help.into() }
    }
}

/// The information in the answers on the way to a file. Later answers override earlier ones, except for the commit.
#[derive(Default)]
struct Said {
    commit: Option<String>,
    etag: Option<String>,
    /// The etag of contents that are stored elsewhere, which is their SHA-256, and their size.
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

/// The length of the whole file, from the range of the answer or from its own length.
fn length(response: &Response<Body>) -> Option<String> {
    let of_range =
        header(response, "content-range").and_then(|r| r.rsplit_once('/').map(|(_, total)| total.to_owned()));
    of_range.or_else(|| header(response, "content-length").filter(|_| response.status() == 200))
}

/// Whether the answer is the part of a file from `start` on.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = header(response, "content-range").unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|r| r.split_once('-'));
    first.and_then(|(first, _)| first.trim().parse().ok()) == Some(start)
}

/// An etag without its quotes and without the mark of a weak one.
fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}
