//! Models by name: the cache, a normal server, one that breaks off, and a malicious one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cloze::checkpoint::Checkpoint;
use cloze::hub::Hub;
use cloze::text::Tokenizer;
use cloze::{Error, Result};

use crate::support::fixture;
use crate::support::hub::{COMMIT, REPO, Server, etag, model, part, respond};

const WEIGHTS: &str = "model.safetensors";

pub(super) fn tiny() -> BTreeMap<String, Vec<u8>> {
    model(&fixture("encoder/tiny"))
}

/// A server with a model, and an empty cache.
fn fresh() -> (Server, tempfile::TempDir) {
    (Server::start(tiny()), tempfile::tempdir().unwrap())
}

fn fetch_as(server: &Server, home: &Path, id: &str, token: Option<&str>) -> Result<PathBuf> {
    let hub = Hub::new(home.join("hub"), &server.endpoint, token.map(str::to_owned))?;
    hub.model_dir(&id.parse()?, &mut |_| {})
}

pub(super) fn fetch(server: &Server, home: &Path) -> Result<PathBuf> {
    fetch_as(server, home, REPO, None)
}

pub(super) fn offline(home: &Path, id: &str) -> Result<PathBuf> {
    // Nothing listens at this address.
    Hub::new(home.join("hub"), "http://127.0.0.1:1", None)?.offline(true).model_dir(&id.parse()?, &mut |_| {})
}

pub(super) fn code_of(result: Result<PathBuf>) -> (&'static str, String) {
    let error = result.expect_err("no error");
    (error.code(), error.to_string())
}

/// The cache's directory for the model.
fn root(home: &Path) -> PathBuf {
    home.join("hub/models--org--tiny")
}

/// A cache as another program would leave it.
fn prepare(home: &Path, files: &BTreeMap<String, Vec<u8>>) -> PathBuf {
    let snapshot = root(home).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(root(home).join("refs")).unwrap();
    fs::write(root(home).join("refs/main"), COMMIT).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(snapshot.join(name), bytes).unwrap());
    snapshot
}

/// Checks that every file with a final name is complete, and that no other files belong to a model.
fn nothing_half_written(home: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(root(home).join("snapshots").join(COMMIT)).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(fs::read(entry.path()).unwrap() == files[&name], "{name} is not what was served");
    }
    for entry in fs::read_dir(root(home).join("blobs")).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let partial = name.ends_with(".part") || name.ends_with(".lock");
        assert!(partial || etag(&fs::read(entry.path()).unwrap()) == name, "{name} is not what it says");
    }
}

pub(super) fn cloze(args: &[&str], home: &Path, endpoint: &str) -> Output {
    command(args, home, endpoint).output().unwrap()
}

fn command(args: &[&str], home: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
    for name in
        ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_CACHE_HOME", "http_proxy", "HTTP_PROXY", "ALL_PROXY"]
    {
        command.env_remove(name);
    }
    command.args(args).args(["--device", "cpu", "--json", "--quiet"]);
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).env("VK_ICD_FILENAMES", "");
    command
}

pub(super) fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const ASK: [&str; 7] = ["answer", "--model", REPO, "-q", "who sleeps", "-c", "otters sleep in kelp"];

#[test]
fn a_model_is_downloaded_once_and_answers() {
    let (server, home) = fresh();
    let home = home.path();
    let first = good(&cloze(&ASK, home, &server.endpoint));
    assert!(first.starts_with(r#"{"answer":""#), "{first}");
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|a| a.wants(WEIGHTS)).count(), 1);
    assert!(asked.iter().all(|a| a.path.starts_with("/org/tiny/resolve/main/") && a.token.is_none()), "{asked:?}");

    // A branch may have moved. So there is one request, and no download.
    assert_eq!(good(&cloze(&ASK, home, &server.endpoint)), first);
    assert_eq!(server.asked().len(), 1);
    // There is no request for a fixed commit, or without the network.
    let pinned = format!("{REPO}@{COMMIT}");
    let no_network = [&ASK[..], &["--offline"]].concat();
    assert_eq!(good(&cloze(&no_network, home, &server.endpoint)), first);
    assert_eq!(
        good(&cloze(&["answer", "--model", &pinned, ASK[3], ASK[4], ASK[5], ASK[6]], home, &server.endpoint)),
        first
    );
    // The other commands accept names, too.
    let info = good(&cloze(&["info", "--model", REPO, "--offline"], home, &server.endpoint));
    assert!(info.contains(REPO), "{info}");
    good(&cloze(
        &["bench", "--model", REPO, "--offline", "--seq", "4", "--batch", "1", "--runs", "1"],
        home,
        &server.endpoint,
    ));
    let out = home.join("half");
    let convert = ["convert", "--model", REPO, "--offline", "--dtype", "f16", "--output", out.to_str().unwrap()];
    good(&cloze(&convert, home, &server.endpoint));
    assert!(out.join("vocab.txt").is_file());
    assert_eq!(server.asked().len(), 0);

    // The layout is that of the Hub's own programs.
    nothing_half_written(home, &tiny());
    assert_eq!(fs::read_to_string(root(home).join("refs/main")).unwrap(), COMMIT);
    assert!(root(home).join(".no_exist").join(COMMIT).join("modules.json").is_file());
    if cfg!(unix) {
        let link = fs::read_link(root(home).join("snapshots").join(COMMIT).join(WEIGHTS)).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(etag(&tiny()[WEIGHTS])));
    }
}

#[test]
fn a_prepared_cache_needs_no_network() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let snapshot = prepare(home, &tiny());
    for id in [REPO.to_owned(), format!("{REPO}@main"), format!("{REPO}@{COMMIT}")] {
        assert_eq!(offline(home, &id).unwrap(), snapshot);
    }
    let checkpoint = Checkpoint::open(&snapshot).unwrap();
    Tokenizer::load(&snapshot, checkpoint.config().vocab_size).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
    command.args(ASK).args(["--device", "cpu", "--quiet"]).env("HF_HUB_OFFLINE", "1").env("HF_HOME", home);
    good(&command.env_remove("HF_HUB_CACHE").output().unwrap());

    // The error names what is missing, and how to get it.
    for file in ["config.json", "vocab.txt", WEIGHTS] {
        fs::rename(snapshot.join(file), home.join(file)).unwrap();
        let (code, message) = code_of(offline(home, REPO));
        assert!(code == "hub_not_cached" && message.contains(file) && message.contains("without offline"), "{message}");
        fs::rename(home.join(file), snapshot.join(file)).unwrap();
    }
    for id in ["org/other", "org/tiny@v2", &format!("{REPO}@{}", "f".repeat(40))] {
        let (code, message) = code_of(offline(home, id));
        assert!(code == "hub_not_cached" && message.starts_with(id), "{message}");
    }
    // A reference with invalid contents is ignored.
    for bad in ["../../../../etc", "", "main", &"0".repeat(1 << 16)] {
        fs::write(root(home).join("refs/main"), bad).unwrap();
        assert_eq!(code_of(offline(home, REPO)).0, "hub_not_cached");
    }
}

#[test]
fn a_download_that_broke_off_is_continued() {
    let (server, home) = fresh();
    let home = home.path();
    let weights = tiny()[WEIGHTS].clone();
    let (all, cut) = (weights.len(), weights.len() / 2);
    server.instead(move |asked| {
        let mut answer = asked.wants(WEIGHTS).then(|| part(asked, &weights))?;
        answer.truncate(answer.len() - (all - cut));
        Some(answer)
    });
    let (code, message) = code_of(fetch(&server, home));
    assert!(code == "hub_network" && message.contains(&format!("after {cut} of {all} bytes")), "{message}");
    nothing_half_written(home, &tiny());
    assert!(!root(home).join("snapshots").join(COMMIT).join(WEIGHTS).exists());
    assert!(!root(home).join("refs/main").exists());
    assert_eq!(code_of(offline(home, REPO)).0, "hub_not_cached");
    // The command line gives the same error.
    let failed = cloze(&ASK, home, &server.endpoint);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("hub_network"));

    server.as_usual();
    server.asked();
    let mut heard = Vec::new();
    let hub = Hub::new(home.join("hub"), &server.endpoint, None).unwrap();
    let dir =
        hub.model_dir(&REPO.parse().unwrap(), &mut |p| heard.push((p.file.to_owned(), p.loaded, p.total))).unwrap();
    let ranges: Vec<_> = server.asked().into_iter().filter(|a| a.wants(WEIGHTS)).map(|a| a.range).collect();
    assert!(matches!(&ranges[..], [Some(range)] if range.ends_with('-') && range != "bytes=0-"), "{ranges:?}");
    let total = all as u64;
    assert!(heard[0].1 >= cut as u64 && heard.iter().all(|h| h.0 == WEIGHTS && h.2 == total), "{heard:?}");
    assert_eq!(heard.last().unwrap().1, total);
    nothing_half_written(home, &tiny());
    Checkpoint::open(&dir).unwrap();
}

#[test]
fn what_a_broken_run_left_is_no_trap() {
    let weights = &tiny()[WEIGHTS];
    let longer = [&weights[..], b"more"].concat();
    for left in [&weights[..], &longer, b""] {
        let (server, home) = fresh();
        let blobs = root(home.path()).join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.part", etag(weights))), left).unwrap();
        // A shorter blob of that name does not count as the whole file, and neither does a broken link.
        fs::write(blobs.join(etag(weights)), b"short").unwrap();
        fetch(&server, home.path()).unwrap();
        nothing_half_written(home.path(), &tiny());
    }
    // A server without ranges sends the whole file again.
    let (server, home) = fresh();
    let (bytes, tag) = (weights.clone(), etag(weights));
    let blobs = root(home.path()).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{tag}.part")), b"half").unwrap();
    server.instead(move |asked| asked.wants(WEIGHTS).then(|| respond("200 OK", "", &bytes)));
    fetch(&server, home.path()).unwrap();
    nothing_half_written(home.path(), &tiny());
}

#[test]
fn what_is_not_there_or_not_allowed() {
    let (server, home) = fresh();
    let home = home.path();
    let (code, message) = code_of(fetch_as(&server, home, "org/other", None));
    assert!(code == "hub_not_found" && message.starts_with("org/other: there is no such model"), "{message}");
    for (status, token, words) in [
        ("401 Unauthorized", None, "set HF_TOKEN"),
        ("403 Forbidden", None, "set HF_TOKEN"),
        ("403 Forbidden", Some("hf_x"), "Accept the model's terms"),
    ] {
        server.instead(move |_| Some(respond(status, "", b"Invalid username or password.")));
        let (code, message) = code_of(fetch_as(&server, home, REPO, token));
        assert!(code == "hub_no_access" && message.contains(words), "{message}");
        assert!(!message.contains("hf_x"));
    }
    assert!(server.asked().iter().any(|a| a.token.as_deref() == Some("Bearer hf_x")));
    for status in ["500 Oops", "503 Busy", "429 Slow down"] {
        server.instead(move |_| Some(respond(status, "", b"")));
        assert_eq!(code_of(fetch(&server, home)).0, "hub_network", "{status}");
    }
    server.as_usual();
    server.remove(WEIGHTS);
    server.put("tf_model.h5", b"weights");
    let (code, message) = code_of(fetch(&server, home));
    assert!(code == "checkpoint" && message.contains("there is tf_model.h5"), "{message}");
    assert!(message.contains("from_pretrained(\"org/tiny\", from_tf=True)"), "{message}");
    // A PyTorch file is downloaded if there is nothing better.
    server.put("pytorch_model.bin", b"pickle");
    let fresh = tempfile::tempdir().unwrap();
    let dir = fetch(&server, fresh.path()).unwrap();
    assert_eq!(std::fs::read(dir.join("pytorch_model.bin")).unwrap(), b"pickle");
    server.remove("config.json");
    assert_eq!(code_of(fetch(&server, tempfile::tempdir().unwrap().path())).0, "hub_not_found");

    // On the command line, the name may also have been meant as a path.
    let output = cloze(&["info", "--model", "no/such"], home, &server.endpoint);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("hub_not_found") && said.contains("directory no/such"),
        "{said}"
    );
    let output = cloze(&["info", "--model", "no/such/thing"], home, &server.endpoint);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no directory") && said.contains("ORG/NAME"), "{said}");
}

#[test]
fn the_token_is_the_environments_or_the_logins() {
    let (server, home) = fresh();
    fs::write(home.path().join("token"), "hf_file\n").unwrap();
    for (set, sent) in [(Some("hf_env"), "Bearer hf_env"), (None, "Bearer hf_file"), (Some(""), "Bearer hf_file")] {
        let mut command = command(&["info", "--model", REPO], home.path(), &server.endpoint);
        good(&command.envs(set.map(|token| ("HF_TOKEN", token))).output().unwrap());
        let asked = server.asked();
        assert!(!asked.is_empty() && asked.iter().all(|a| a.token.as_deref() == Some(sent)), "{asked:?}");
    }
}

#[test]
fn several_may_fetch_at_once() {
    let (server, home) = fresh();
    std::thread::scope(|scope| {
        let fetched: Vec<_> =
            (0..6).map(|_| scope.spawn(|| fetch(&server, home.path()).map(|d| Checkpoint::open(&d)))).collect();
        for dir in fetched {
            dir.join().unwrap().unwrap().unwrap();
        }
    });
    nothing_half_written(home.path(), &tiny());
    assert_eq!(server.asked().iter().filter(|a| a.wants(WEIGHTS)).count(), 1, "the others wait for the first");
}

#[test]
fn without_a_network_what_was_fetched_will_do() {
    let (server, home) = fresh();
    let dead = |home: &Path| {
        Hub::new(home.join("hub"), "http://127.0.0.1:1", None).unwrap().model_dir(&REPO.parse().unwrap(), &mut |_| {})
    };
    let (code, message) = code_of(dead(home.path()));
    assert!(code == "hub_network" && message.contains("http://127.0.0.1:1 cannot be reached"), "{message}");
    let dir = fetch(&server, home.path()).unwrap();
    assert_eq!(dead(home.path()).unwrap(), dir);
}

#[test]
fn a_server_that_talks_nonsense_writes_nothing() {
    let tag = etag(&tiny()["config.json"]);
    let head = |etag: &str, commit: &str, range: &str| {
        let headers = format!("ETag: {etag}\r\nX-Repo-Commit: {commit}\r\nContent-Range: {range}\r\n");
        respond("206 Partial Content", &headers, b"{")
    };
    let up = "../../../../escape";
    let answers = vec![
        b"nonsense\r\n\r\n".to_vec(),
        b"".to_vec(),
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        respond("200 OK", "", b"<html>welcome</html>"),
        respond("204 No Content", "", b""),
        respond("302 Found", "", b""),
        respond("302 Found", "Location: /org/tiny/resolve/main/config.json\r\n", b""),
        respond("302 Found", "Location: \r\n", b""),
        respond("302 Found", "Location: //[\r\n", b""),
        respond("304 Not Modified", "", b""),
        respond("418 Teapot", "", b""),
        head(&format!("\"{up}\""), COMMIT, "bytes 0-0/1"),
        head("\"\"", COMMIT, "bytes 0-0/1"),
        head("\"tag.part\"", COMMIT, "bytes 0-0/1"),
        head("\".\"", COMMIT, "bytes 0-0/1"),
        head(&format!("\"{}\"", "e".repeat(5000)), COMMIT, "bytes 0-0/1"),
        head(&tag, up, "bytes 0-0/1"),
        head(&tag, "main", "bytes 0-0/1"),
        head(&tag, COMMIT, "bytes 0-0/*"),
        head(&tag, COMMIT, "bytes 0-0/-1"),
        head(&tag, COMMIT, "bytes 0-0/99999999999999999999999"),
        head(&tag, COMMIT, "nonsense"),
    ];
    for answer in answers {
        let (server, home) = fresh();
        let shown = String::from_utf8_lossy(&answer).chars().take(200).collect::<String>();
        server.instead(move |asked| asked.path.ends_with("/config.json").then(|| answer.clone()));
        let (code, message) = code_of(fetch(&server, home.path()));
        assert!(matches!(code, "hub_answer" | "hub_network"), "{shown:?}: {code}: {message}");
        assert!(message.len() < 2000);
        nothing_half_written(home.path(), &BTreeMap::new());
        assert!(!fs::exists(root(home.path()).join("refs/main")).unwrap(), "{shown:?}");
    }
}

#[test]
fn contents_are_what_was_announced() {
    let weights = tiny()[WEIGHTS].clone();
    let sha = |bytes: &[u8]| -> String {
        ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
    };
    let unframed = |body: &[u8]| [&b"HTTP/1.0 200 OK\r\n\r\n"[..], body].concat();
    let longer = [&weights[..], b"!"].concat();
    let other = respond("206 Partial Content", "Content-Range: bytes 5-9/10\r\n", b"other");
    for (code, body) in [
        // Without a length, only the announced size shows that the body is too short or too long.
        ("hub_network", unframed(&weights[..100])),
        ("hub_answer", unframed(&longer)),
        ("hub_answer", respond("200 OK", "", &longer)),
        ("hub_answer", respond("200 OK", "", &weights[1..])),
        ("hub_answer", other),
        ("hub_not_found", respond("404 Not Found", "", b"")),
    ] {
        let (server, home) = fresh();
        server.instead(move |asked| asked.wants(WEIGHTS).then(|| body.clone()));
        let (found, message) = code_of(fetch(&server, home.path()));
        assert_eq!(found, code, "{message}");
        nothing_half_written(home.path(), &tiny());
        // None of this affects the next run.
        server.as_usual();
        Checkpoint::open(&fetch(&server, home.path()).unwrap()).unwrap();
    }
    // If the server guarantees a digest, every byte counts.
    for (announced, right) in [(sha(&weights), true), (sha(b"other"), false)] {
        let (server, home) = fresh();
        let bytes = weights.clone();
        server.instead(move |asked| {
            let answer = asked.path.ends_with(WEIGHTS).then(|| part(asked, &bytes))?;
            let (status, rest) = answer.split_at(answer.iter().position(|b| *b == b'\r')?);
            Some([status, format!("\r\nX-Linked-Etag: \"{announced}\"").as_bytes(), rest].concat())
        });
        let fetched = fetch(&server, home.path());
        assert_eq!(fetched.is_ok(), right, "{fetched:?}");
        assert!(right || fetched.is_err_and(|e| e.code() == "hub_answer" && e.to_string().contains("SHA-256")));
    }
}

/// Large files are on another host, which must not get the token.
#[cfg(target_os = "linux")]
#[test]
fn the_token_goes_to_the_endpoint_alone() {
    let (server, home) = fresh();
    let weights = tiny()[WEIGHTS].clone();
    let storage = Server::start_at("127.0.0.2", BTreeMap::new());
    let bytes = weights.clone();
    storage.instead(move |asked| Some(part(asked, &bytes)));
    let location = format!("{}/blob?signature=1", storage.endpoint);
    let headers =
        format!("Location: {location}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{}\"\r\n", etag(&weights));
    server.instead(move |asked| asked.path.ends_with(WEIGHTS).then(|| respond("302 Found", &headers, b"")));
    // A download that an earlier run began is continued there, too.
    let blobs = root(home.path()).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.part", etag(&weights))), &weights[..1000]).unwrap();
    fetch_as(&server, home.path(), REPO, Some("hf_secret")).unwrap();
    nothing_half_written(home.path(), &tiny());
    assert!(server.asked().iter().all(|a| a.token.as_deref() == Some("Bearer hf_secret")));
    let asked = storage.asked();
    let ranges: Vec<_> = asked.iter().map(|a| a.range.as_deref().unwrap_or("all")).collect();
    assert_eq!(ranges, ["bytes=0-0", "bytes=1000-"], "how long it is, then what is missing");
    assert!(asked.iter().all(|a| a.token.is_none()), "{asked:?}");
    for bad in ["two words", "line\nbreak", "", "ümlaut"] {
        let hub = Hub::new(home.path().into(), "http://127.0.0.1:1", Some(bad.into()));
        assert!(matches!(hub, Err(Error::Option { name: "HF_TOKEN", .. })), "{bad:?}");
    }
    for bad in ["", "huggingface.co", "ftp://x", "http://", "http://a b", "file:///etc"] {
        assert!(
            matches!(Hub::new(home.path().into(), bad, None), Err(Error::Option { name: "HF_ENDPOINT", .. })),
            "{bad:?}"
        );
    }
}
