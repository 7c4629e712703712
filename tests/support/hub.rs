//! A small server that answers like the Hub, except where a test wants other answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The commit of every file of the served model.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "org/tiny";

/// The parts of a request that tests need.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

impl Asked {
    /// Whether it asks for the bytes of this file, not for its metadata.
    pub fn wants(&self, file: &str) -> bool {
        self.path.ends_with(&format!("/{file}")) && self.range.as_deref() != Some("bytes=0-0")
    }
}

/// A function for other answers than the usual ones: it returns all bytes.
type Instead = Box<dyn Fn(&Asked) -> Option<Vec<u8>> + Send>;

pub struct Server {
    pub endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<Asked>>,
    instead: Mutex<Option<Instead>>,
}

impl Server {
    /// Serves these files as the model `REPO`, at this loopback address.
    pub fn start_at(address: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { files: Mutex::new(files), ..Shared::default() });
        let theirs = Arc::clone(&shared);
        // The thread ends with the process of the tests.
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| theirs.serve(stream)));
        Self { endpoint, shared }
    }

    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::start_at("127.0.0.1", files)
    }

    /// From now on, `answer` is tried first.
    pub fn instead(&self, answer: impl Fn(&Asked) -> Option<Vec<u8>> + Send + 'static) {
        *self.shared.instead.lock().unwrap() = Some(Box::new(answer));
    }

    pub fn as_usual(&self) {
        *self.shared.instead.lock().unwrap() = None;
    }

    pub fn put(&self, file: &str, bytes: &[u8]) {
        self.shared.files.lock().unwrap().insert(file.into(), bytes.into());
    }

    pub fn remove(&self, file: &str) {
        self.shared.files.lock().unwrap().remove(file);
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(path) = lines.next().and_then(|l| l.split(' ').nth(1).map(str::to_owned)) else { return };
        let mut asked = Asked { path, range: None, token: None };
        for line in lines.take_while(|l| !l.is_empty()) {
            match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())) {
                Some((name, value)) if name == "range" => asked.range = Some(value),
                Some((name, value)) if name == "authorization" => asked.token = Some(value),
                _ => {}
            }
        }
        self.asked.lock().unwrap().push(asked.clone());
        let instead = self.instead.lock().unwrap().as_ref().and_then(|answer| answer(&asked));
        let _ = stream.write_all(&instead.unwrap_or_else(|| self.usual(&asked)));
    }

    fn usual(&self, asked: &Asked) -> Vec<u8> {
        let files = self.files.lock().unwrap();
        if asked.path.starts_with(&format!("/api/models/{REPO}/revision/")) {
            let siblings: Vec<_> = files.keys().map(|f| serde_json::json!({ "rfilename": f })).collect();
            let info = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
            return respond("200 OK", "", info.as_bytes());
        }
        let file = asked.path.strip_prefix(&format!("/{REPO}/resolve/")).and_then(|p| p.split_once('/'));
        match file.map(|(_, file)| files.get(file)) {
            Some(Some(bytes)) => part(asked, bytes),
            Some(None) => respond("404 Not Found", "X-Error-Code: EntryNotFound\r\n", b""),
            None => respond("404 Not Found", "X-Error-Code: RepoNotFound\r\n", b""),
        }
    }
}

/// A complete answer.
pub fn respond(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The identifier of a file's contents.
pub fn etag(bytes: &[u8]) -> String {
    let mix = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// The requested range of a file.
pub fn part(asked: &Asked, bytes: &[u8]) -> Vec<u8> {
    let headers = format!("ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n", etag(bytes));
    let Some((first, last)) = asked.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.split_once('-')) else {
        return respond("200 OK", &headers, bytes);
    };
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(bytes.len(), |last: usize| last + 1).min(bytes.len());
    if first >= end {
        return respond(
            "416 Range Not Satisfiable",
            &format!("{headers}Content-Range: bytes */{}\r\n", bytes.len()),
            b"",
        );
    }
    let range = format!("{headers}Content-Range: bytes {first}-{}/{}\r\n", end - 1, bytes.len());
    respond("206 Partial Content", &range, &bytes[first..end])
}

/// The files of a model in the repository, with a vocabulary of its size.
pub fn model(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let named = |e: std::fs::DirEntry| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap());
    let mut files: BTreeMap<_, _> = std::fs::read_dir(dir).unwrap().map(|e| named(e.unwrap())).collect();
    files.remove("expected.safetensors");
    let config: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sea", "otters", "sleep", "in", "kelp"];
    let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
    let more = (0..).map(|n| format!("[unused{n}]"));
    let tokens = special.map(str::to_owned).into_iter().chain(letters).chain(more);
    let vocab: Vec<String> = tokens.take(config["vocab_size"].as_u64().unwrap() as usize).collect();
    files.insert("vocab.txt".into(), vocab.join("\n").into_bytes());
    files
}
