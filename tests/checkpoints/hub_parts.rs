//! Models of several files on the Hub: shards, modules, and an encoder in a directory of its own.

use std::collections::BTreeMap;
use std::fs;

use cloze::checkpoint::Checkpoint;

use super::hub::{cloze, code_of, fetch, good, offline, tiny};
use crate::support::fixture;
use crate::support::hub::{REPO, Server, model};

#[test]
fn shards_and_modules_come_with_their_lists() {
    let files = model(&fixture("encoder/sharded"));
    let server = Server::start(files.clone());
    let modules = r#"[{"path":"","type":"x.Transformer"},{"path":"1_Pooling","type":"x.Pooling"},{"path":"n","type":"x.Normalize"}]"#;
    server.put("modules.json", modules.as_bytes());
    server.put("1_Pooling/config.json", b"{}");
    let home = tempfile::tempdir().unwrap();
    let dir = fetch(&server, home.path()).unwrap();
    Checkpoint::open(&dir).unwrap();
    assert_eq!(fs::read(dir.join("1_Pooling/config.json")).unwrap(), b"{}");
    assert_eq!(fs::read_to_string(dir.join("modules.json")).unwrap(), modules);
    server.asked();
    fetch(&server, home.path()).unwrap();
    assert_eq!(server.asked().len(), 1, "what is known to be absent is not asked for again");
    server.remove("model-00002-of-00002.safetensors");
    let (code, message) = code_of(fetch(&server, tempfile::tempdir().unwrap().path()));
    assert!(code == "hub_not_found" && message.contains("model-00002-of-00002.safetensors"), "{message}");
}

/// As sentence-transformers saved models until 2021: nothing but lists at the root.
#[test]
fn an_encoder_in_a_directory_of_its_own_comes_with_its_files() {
    let own = tiny().into_iter().map(|(name, bytes)| (format!("0_Transformer/{name}"), bytes));
    let mut files: BTreeMap<String, Vec<u8>> = own.collect();
    let modules = r#"[{"path":"0_Transformer","type":"sentence_transformers.models.Transformer"},
        {"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#;
    let pooling = r#"{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}"#;
    files.insert("modules.json".into(), modules.into());
    files.insert("1_Pooling/config.json".into(), pooling.into());
    let server = Server::start(files.clone());
    let home = tempfile::tempdir().unwrap();
    let dir = fetch(&server, home.path()).unwrap();
    for (name, bytes) in &files {
        assert!(fs::read(dir.join(name)).is_ok_and(|got| got == *bytes), "{name}");
    }
    server.asked();
    fetch(&server, home.path()).unwrap();
    assert_eq!(server.asked().len(), 2, "config.json, which it has not, and modules.json");
    assert_eq!(offline(home.path(), REPO).unwrap(), dir);
    let embed = ["embed", "a cat sleeps", "--model", REPO, "--offline"];
    assert!(good(&cloze(&embed, home.path(), &server.endpoint)).starts_with(r#"{"embedding":["#));
    // Without the weights it is named as any model.
    server.remove("0_Transformer/model.safetensors");
    let (code, message) = code_of(fetch(&server, tempfile::tempdir().unwrap().path()));
    assert!(code == "checkpoint" && message.contains("model.safetensors"), "{code}: {message}");
}

#[test]
fn no_list_leads_out_of_the_directory() {
    let files = model(&fixture("encoder/sharded"));
    for bad in [
        "../../../escape.safetensors",
        "/tmp/escape.safetensors",
        "a/b.safetensors",
        "a\\\\b.safetensors",
        "x?y=.safetensors",
    ] {
        let server = Server::start(files.clone());
        server.put("model.safetensors.index.json", format!(r#"{{"weight_map": {{"a": "{bad}"}}}}"#).as_bytes());
        let home = tempfile::tempdir().unwrap();
        let (code, message) = code_of(fetch(&server, home.path()));
        assert!(code == "checkpoint" && message.contains(".safetensors file beside it"), "{message}");
        assert!(!server.asked().iter().any(|a| a.path.contains("escape") || a.path.contains("b.safe")), "{bad}");
    }
    let pooling = |path: &str| format!(r#"[{{"type":"Transformer"}},{{"path":{path},"type":"Pooling"}}]"#);
    let paths = [r#""../..""#, r#""/etc""#, r#"".git""#, r#""a?b""#, "1"].map(pooling);
    for bad in paths.iter().map(String::as_str).chain(["{}", "["]) {
        let server = Server::start(files.clone());
        server.put("modules.json", bad.as_bytes());
        let (code, message) = code_of(fetch(&server, tempfile::tempdir().unwrap().path()));
        assert!(code == "config" && message.contains("modules.json"), "{bad}: {code}: {message}");
    }
}
