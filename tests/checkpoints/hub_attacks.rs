//! The Hub as an attacker: which servers get the token, and servers that hold a connection or send without end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use cloze::hub::Hub;
use cloze::{Error, Result};

use crate::support::fixture;
use crate::support::hub::{COMMIT, REPO, Server, etag, model, part, respond};

const WEIGHTS: &str = "model.safetensors";

fn tiny() -> BTreeMap<String, Vec<u8>> {
    model(&fixture("encoder/tiny"))
}

fn fetch(endpoint: &str, home: &Path, token: Option<&str>) -> Result<PathBuf> {
    let hub = Hub::new(home.join("hub"), endpoint, token.map(str::to_owned))?.patience(Duration::from_secs(1));
    hub.model_dir(&REPO.parse()?, &mut |_| {})
}

fn blobs(home: &Path) -> PathBuf {
    home.join("hub/models--org--tiny/blobs")
}

/// The number of bytes of all files below a directory.
fn bytes_in(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => bytes_in(&entry.path()),
            kind if kind.is_file() => entry.metadata().unwrap().len(),
            _ => 0,
        })
        .sum()
}

/// A server whose answers a test writes byte by byte.
fn raw_server(answer: impl Fn(&str, bool, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    // The thread ends with the process of the tests.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let path = lines.next().and_then(|l| l.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
                let head: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
                let asks_what = head.iter().any(|l| l.ends_with("bytes=0-0"));
                // An error means that the client has closed the connection.
                let _ = answer(&path, asks_what, &mut stream);
            });
        }
    });
    endpoint
}

/// A redirect to another port, or to another name of the host, is followed without the token. A redirect back from
/// there does not get it either.
#[test]
fn a_token_is_its_origins_alone() {
    let weights = tiny()[WEIGHTS].clone();
    for host in ["127.0.0.1", "localhost"] {
        let (server, home) = (Server::start(tiny()), tempfile::tempdir().unwrap());
        let storage = Server::start(BTreeMap::new());
        let port = storage.endpoint.rsplit(':').next().unwrap();
        let location = format!("http://{host}:{port}/blob?signature=1");
        let tag = etag(&weights);
        let headers = format!("Location: {location}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{tag}\"\r\n");
        let bytes = weights.clone();
        server.instead(move |asked| match asked.path.as_str() {
            "/back" => Some(part(asked, &bytes)),
            path => path.ends_with(WEIGHTS).then(|| respond("302 Found", &headers, b"")),
        });
        let back = format!("Location: {}/back\r\n", server.endpoint);
        storage.instead(move |_| Some(respond("302 Found", &back, b"")));
        fetch(&server.endpoint, home.path(), Some("hf_secret")).unwrap();
        let asked = storage.asked();
        assert!(!asked.is_empty() && asked.iter().all(|a| a.token.is_none()), "{asked:?}");
        let (back, direct): (Vec<_>, Vec<_>) = server.asked().into_iter().partition(|a| a.path == "/back");
        assert!(!back.is_empty() && back.iter().all(|a| a.token.is_none()), "{back:?}");
        assert!(direct.iter().all(|a| a.token.as_deref() == Some("Bearer hf_secret")), "{direct:?}");
    }
}

/// A redirect within the endpoint gets the token. A renamed model needs this.
#[test]
fn a_renamed_model_is_found() {
    let (server, home) = (Server::start(tiny()), tempfile::tempdir().unwrap());
    let endpoint = server.endpoint.clone();
    let files = tiny();
    server.instead(move |asked| {
        if let Some(file) = asked.path.strip_prefix("/new/name/") {
            return files.get(file).map(|bytes| part(asked, bytes));
        }
        let file = asked.path.rsplit('/').next().filter(|file| files.contains_key(*file))?;
        // Both forms mean the same address.
        let base = if file == WEIGHTS { endpoint.as_str() } else { "" };
        Some(respond("307 Moved", &format!("Location: {base}/new/name/{file}\r\n"), b""))
    });
    fetch(&server.endpoint, home.path(), Some("hf_secret")).unwrap();
    let asked = server.asked();
    assert!(asked.iter().any(|a| a.path.starts_with("/new/")), "{asked:?}");
    assert!(asked.iter().all(|a| a.token.as_deref() == Some("Bearer hf_secret")), "{asked:?}");
}

#[test]
fn redirects_that_no_server_needs_are_not_followed() {
    let elsewhere = Server::start(tiny());
    let with_password = elsewhere.endpoint.replace("//", "//user:s3cret@");
    for location in [
        "file:///etc/passwd",
        "/\\evil.example/x",
        "/a%0d%0aX: 1\u{1}",
        "javascript:1",
        "http://h:99999/",
        "",
        &with_password,
    ] {
        let (server, home) = (Server::start(tiny()), tempfile::tempdir().unwrap());
        let headers =
            format!("Location: {location}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"t\"\r\nX-Linked-Size: 9\r\n");
        server.instead(move |_| Some(respond("302 Found", &headers, b"")));
        let error = fetch(&server.endpoint, home.path(), Some("hf_secret")).unwrap_err();
        assert_eq!(error.code(), "hub_answer", "{location}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

/// Whatever a server does, the client gives up after a while with a clear error, and fills neither memory nor disk.
#[test]
fn no_server_holds_a_download() {
    type Answer = fn(&str, bool, &mut TcpStream) -> std::io::Result<()>;

    /// Answers with the file's metadata, then with `rest` instead of its bytes.
    fn described(what: bool, to: &mut TcpStream, headers: &str, rest: Answer) -> std::io::Result<()> {
        let known = format!("etag: \"t1\"\r\nx-repo-commit: {COMMIT}\r\n");
        if what {
            let range = "content-range: bytes 0-0/100000\r\ncontent-length: 1\r\nconnection: close\r\n";
            return write!(to, "HTTP/1.1 206 x\r\n{known}{range}\r\n{{");
        }
        write!(to, "HTTP/1.1 200 OK\r\n{known}{headers}\r\n")?;
        rest("", false, to)
    }
    fn drip(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        for byte in bytes.iter().cycle() {
            to.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
    fn flood(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        let many = bytes.repeat((1 << 16) / bytes.len() + 1);
        loop {
            to.write_all(&many)?;
        }
    }
    const CHUNKED: &str = "transfer-encoding: chunked\r\n";
    const SIZED: &str = "content-length: 100000\r\n";
    let cases: [(&str, &str, Answer); 14] = [
        ("silence", "hub_network", |_, _, _| {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }),
        ("a status line byte by byte", "hub_network", |_, _, to| {
            drip(to, b"HTTP/1.1 200 OK\r\nx: yyyyyyyyyyyyyyyyyyyyyy")
        }),
        ("headers without end", "hub_answer", |_, _, to| {
            to.write_all(b"HTTP/1.1 200 OK\r\n")?;
            flood(to, b"x-a: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
        }),
        ("one header without end", "hub_answer", |_, _, to| {
            to.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
            flood(to, b"y")
        }),
        ("continue without end", "hub_", |_, _, to| flood(to, b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("hints without end", "hub_", |_, _, to| flood(to, b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")),
        ("a body byte by byte", "hub_network", |_, what, to| described(what, to, SIZED, |_, _, to| drip(to, b"{"))),
        ("a silent body", "hub_network", |_, what, to| {
            described(what, to, SIZED, |_, _, _| {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            })
        }),
        ("chunks of a byte, slowly", "hub_network", |_, what, to| {
            described(what, to, CHUNKED, |_, _, to| drip(to, b"1\r\n{\r\n"))
        }),
        ("a chunk's extension without end", "hub_network", |_, what, to| {
            described(what, to, CHUNKED, |_, _, to| {
                to.write_all(b"1;")?;
                flood(to, b"a")
            })
        }),
        ("a chunk's extension byte by byte", "hub_network", |_, what, to| {
            described(what, to, CHUNKED, |_, _, to| {
                to.write_all(b"1;")?;
                drip(to, b"a")
            })
        }),
        ("trailers without end", "hub_network", |_, what, to| {
            described(what, to, CHUNKED, |_, _, to| {
                to.write_all(b"0\r\n")?;
                flood(to, b"x: y\r\n")
            })
        }),
        ("redirects without end", "hub_answer", |path, _, to| {
            write!(to, "HTTP/1.1 302 Found\r\nlocation: {path}x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }),
        ("a petabyte", "hub_answer", |_, _, to| {
            let known = format!("etag: \"t1\"\r\nx-repo-commit: {COMMIT}\r\n");
            let range = "content-range: bytes 0-0/1000000000000000\r\ncontent-length: 1\r\n";
            write!(to, "HTTP/1.1 206 x\r\n{known}{range}\r\n{{")
        }),
    ];
    std::thread::scope(|scope| {
        for (name, code, answer) in cases {
            scope.spawn(move || {
                let home = tempfile::tempdir().unwrap();
                let endpoint = raw_server(answer);
                let begun = Instant::now();
                let error = fetch(&endpoint, home.path(), None).expect_err(name);
                // In a flood, either the buffers or the time may run out first.
                assert!(error.code().starts_with(code), "{name}: {error}");
                assert!(error.to_string().len() < 1000, "{name}: {error}");
                // A busy machine may be slow. Without a limit, none of these would ever end.
                assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {:?}", begun.elapsed());
                assert!(bytes_in(home.path()) <= 100_000, "{name}: {} bytes", bytes_in(home.path()));
            });
        }
    });
}

#[test]
fn passwords_and_bad_ports_of_an_endpoint() {
    let home = tempfile::tempdir().unwrap();
    for (endpoint, code) in [
        ("http://user:s3cret@127.0.0.1:1", "hub_network"),
        ("http://user:s3cret@127.0.0.1:99999", "option"),
        ("http://127.0.0.1:99999", "option"),
        ("http://127.0.0.1:0", "option"),
        ("http://127.0.0.1:", "option"),
        ("http://user:s3cret@[::1", "option"),
        ("user:s3cret@host", "option"),
        ("http://user:s3cret@h/?q", "option"),
    ] {
        for (args, quiet) in [(&["info", "--model", REPO][..], false), (&["classify", "x", "--model", REPO], true)] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
            command.args(args).args(["--device", "cpu", "--json"]).args(quiet.then_some("--quiet"));
            for name in ["HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
                command.env_remove(name);
            }
            command.env("HF_HOME", home.path()).env("HF_ENDPOINT", endpoint).env("VK_ICD_FILENAMES", "");
            let output = command.output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(said.contains(&format!("\"code\":\"{code}\"")), "{endpoint}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
    let hub = Hub::new(home.path().into(), "http://user:s3cret@h:1/p", Some("hf_secret".into())).unwrap();
    let shown = format!("{hub:?}");
    assert!(shown.contains("http://***@h:1/p") && !shown.contains("secret"), "{shown}");
    // The user and password of the endpoint are sent if there is no token.
    let server = Server::start(tiny());
    let with_password = server.endpoint.replace("//", "//user:s3cret@");
    fetch(&with_password, home.path(), None).unwrap();
    let asked = server.asked();
    assert!(asked.iter().all(|a| a.token.as_deref() == Some("Basic dXNlcjpzM2NyZXQ=")), "{asked:?}");
}

#[test]
fn the_time_to_wait_is_the_environments() {
    for (seconds, is_right) in
        [("1", true), ("3600", true), ("0", false), ("x", false), ("-1", false), ("99999", false)]
    {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
        command.args(["info", "--model", REPO, "--device", "cpu", "--json", "--quiet", "--offline"]);
        command.env("HF_HOME", home.path()).env("HF_HUB_DOWNLOAD_TIMEOUT", seconds).env_remove("HF_ENDPOINT");
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert_eq!(said.contains("HF_HUB_DOWNLOAD_TIMEOUT"), !is_right, "{said}");
    }
}

/// The beginnings of files are kept for a while, and longer if another process works on them.
#[test]
fn what_broken_downloads_left_is_swept() {
    let (server, home) = (Server::start(tiny()), tempfile::tempdir().unwrap());
    let blobs = blobs(home.path());
    fs::create_dir_all(&blobs).unwrap();
    let week_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    let leave = |name: &str, old: bool| {
        let file = File::create(blobs.join(name)).unwrap();
        if old {
            file.set_modified(week_ago).unwrap();
        }
        file
    };
    leave("old.part", true);
    leave("new.part", false);
    leave("held.part", true);
    let lock = leave("held.lock", true);
    lock.lock().unwrap();
    fetch(&server.endpoint, home.path(), None).unwrap();
    assert!(!blobs.join("old.part").exists());
    assert!(blobs.join("new.part").exists() && blobs.join("held.part").exists());
}

/// A link in the place of a partial file is not followed.
#[cfg(unix)]
#[test]
fn links_in_the_cache_are_not_written_through() {
    let (server, home) = (Server::start(tiny()), tempfile::tempdir().unwrap());
    let victim = home.path().join("victim");
    fs::write(&victim, "victim").unwrap();
    fs::create_dir_all(blobs(home.path())).unwrap();
    let absent = home.path().join("hub/models--org--tiny/.no_exist").join(COMMIT);
    fs::create_dir_all(&absent).unwrap();
    let tag = etag(&tiny()[WEIGHTS]);
    for link in [blobs(home.path()).join(format!("{tag}.part")), blobs(home.path()).join(format!("{tag}.lock"))] {
        std::os::unix::fs::symlink(&victim, link).unwrap();
    }
    std::os::unix::fs::symlink(home.path().join("none"), absent.join("modules.json")).unwrap();
    fetch(&server.endpoint, home.path(), None).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"victim");
    assert!(!home.path().join("none").exists());
}

#[test]
fn an_endpoint_is_a_server_and_perhaps_a_path() {
    let server = Server::start(tiny());
    let files = tiny();
    server.instead(move |asked| {
        let file = asked.path.strip_prefix("/mirror/hub/org/tiny/resolve/main/")?;
        let absent = || respond("404 Not Found", "X-Error-Code: EntryNotFound\r\n", b"");
        Some(files.get(file).map_or_else(absent, |bytes| part(asked, bytes)))
    });
    let home = tempfile::tempdir().unwrap();
    fetch(&format!("{}/mirror/hub/", server.endpoint), home.path(), None).unwrap();
    let bad = Hub::new(home.path().into(), "https://h/?x", None).unwrap_err();
    assert!(matches!(bad, Error::Option { name: "HF_ENDPOINT", .. }), "{bad}");
}
