//! Saving files: an input is never overwritten, and an output is complete or unchanged, whatever fails and whenever a
//! process is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloze::checkpoint::adapter::Adapter;
use cloze::checkpoint::{Checkpoint, convert};
use cloze::tensor::DType;
use serde_json::Value;

use crate::support::checkpoint::{self as fixture_model, Tensor};
use crate::support::command::{command, run};
use crate::support::fixture;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Two models of the same size with different labels and weights.
fn two_models(dir: &Path) -> [PathBuf; 2] {
    let [old, new] = ["old", "new"].map(|name| dir.join(name));
    copy(&fixture("tasks/moods"), &old);
    copy(&fixture("tasks/moods"), &new);
    let mut config: Value = serde_json::from_slice(&fs::read(new.join("config.json")).unwrap()).unwrap();
    config["id2label"] = serde_json::json!({"0": "cat", "1": "dog", "2": "cow"});
    config["label2id"] = serde_json::json!({"cat": 0, "dog": 1, "cow": 2});
    fs::write(new.join("config.json"), config.to_string()).unwrap();
    let weights = new.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 0x81;
    fs::write(weights, bytes).unwrap();
    [old, new]
}

fn convert_command(model: &Path, output: &Path) -> Command {
    command(&["convert", "--model", text(model), "--dtype", "f32", "--output", text(output), "--quiet"])
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (base, adapter) = (at("base"), at("adapter"));
    copy(&fixture("tasks/moods"), &base);
    let mut lora = Adapter::open(&fixture("adapters/classify")).unwrap();
    lora.base.model = "../base".into();
    lora.save(&base, &adapter, &fs::read(base.join("config.json")).unwrap()).unwrap();
    fs::write(at("in.jsonl"), "{\"text\":\"a good film\"}\n").unwrap();
    fs::write(at("train.tsv"), "text\tlabel\na\tx\nb\ty\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&base, at("link")).unwrap();
    #[cfg(unix)]
    fs::hard_link(base.join("model.safetensors"), at("hard.jsonl")).unwrap();
    let before = files(dir.path());

    let refused = |args: &[&str]| {
        let ran = command(&[args, &["--json", "--device", "cpu"]].concat()).output().unwrap();
        let error = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("which is read") || error.contains("depends on it"), "{args:?}: {error}");
        assert_eq!(files(dir.path()), before, "{args:?}");
    };
    let mut places = vec![at("base"), at("base/"), at("base/new"), at("adapter"), at("adapter/../base")];
    if cfg!(unix) {
        places.push(at("link"));
    }
    for place in &places {
        refused(&["convert", "--model", text(&adapter), "--dtype", "f32", "--output", text(place)]);
    }
    for (model, place) in [(&base, "base/model.safetensors"), (&adapter, "base/config.json"), (&base, "base/new.jsonl")]
    {
        let (input, output) = (at("in.jsonl"), at(place));
        let batch = ["--model", text(model), "--input", text(&input), "--output", text(&output), "--overwrite"];
        refused(&[&["classify"], batch.as_slice()].concat());
        refused(&[&["embed", "--format", "npy"], batch.as_slice()].concat());
        refused(&["classify", "a film", "--model", text(model), "--output", text(&output), "--overwrite"]);
    }
    #[cfg(unix)]
    refused(&["classify", "a", "--model", text(&base), "--output", text(&at("hard.jsonl")), "--overwrite"]);
    for output in [at("base"), at("base/trained")] {
        refused(&[
            "train",
            "classify",
            "--model",
            text(&adapter),
            "--data",
            text(&at("train.tsv")),
            "--output",
            text(&output),
        ]);
    }
    let squad = fixture("squad2").join("data.json");
    let data = if squad.is_file() { squad } else { at("in.jsonl") };
    if data.ends_with("data.json") {
        refused(&[
            "eval",
            "squad",
            text(&data),
            "--model",
            text(&base),
            "--predictions",
            text(&base.join("vocab.txt")),
        ]);
    }
}

#[test]
fn spellings_and_strays_convert_to_a_model_that_loads() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tensors = fixture_model::tensors();
    let converted = |name: &str, more: Vec<Tensor>, dtype: DType| {
        let src = at(name);
        fixture_model::save(&src, &[tensors.clone(), more].concat());
        let out = at(&format!("{name}-{}", dtype.name()));
        convert(&src, &out, dtype).map(|converted| (Checkpoint::open(&out).unwrap(), converted.tensors))
    };
    let again = |name: &str| Tensor { name: name.into(), ..tensors[3].clone() };
    let scale = || Tensor::f32s("bert.encoder.layer.0.attention.self.query.weight.scale", &[8], &[1.0; 8]);
    let escaped = "zz\\u001b]0;pwned\\u0007\\nerror: fine";
    let big = || Tensor { name: escaped.into(), ..Tensor::f32s("", &[1], &[1e30]) };
    let odd = || Tensor { name: escaped.into(), dtype: "I8".into(), shape: vec![4], bytes: vec![1; 4] };
    let nan = || Tensor::f32s("a.stray", &[2], &[f32::NAN, 1.0]);
    for dtype in [DType::F32, DType::F16, DType::I8] {
        let plain = converted("plain", Vec::new(), dtype).unwrap().1;
        for (name, more, extra) in [
            ("gamma", vec![again("bert.embeddings.LayerNorm.gamma")], 0),
            ("scale", vec![scale()], 0),
            ("big", vec![big()], 1),
            ("odd", vec![odd()], 0),
            ("nan", vec![nan()], 1),
        ] {
            let (checkpoint, count) = converted(name, more, dtype).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(count, plain + extra, "{name}");
            let word = checkpoint.get("bert.embeddings.LayerNorm.weight").unwrap();
            assert_eq!(word.cols, 8);
        }
    }
    let mut other = again("bert.embeddings.LayerNorm.gamma");
    other.bytes[1] ^= 1;
    let error = converted("differs", vec![other], DType::F32).unwrap_err().to_string();
    assert!(error.contains("LayerNorm.gamma") && error.contains("they differ"), "{error}");
    assert!(!at("differs-f32").exists());
}

/// A library that makes system calls fail; `None` if there is no C compiler.
#[cfg(target_os = "linux")]
fn faults(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
    let library = dir.join("faults.so");
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", text(&library), text(&source), "-ldl"]).output();
    match made {
        Ok(made) if made.status.success() => Some(library),
        Ok(made) => panic!("{}", String::from_utf8_lossy(&made.stderr)),
        Err(_) => {
            eprintln!("skipped: there is no C compiler");
            None
        }
    }
}

/// Makes the 1st, 2nd, … call fail until no call is left, each time on a fresh copy of the old model. Afterwards the
/// directory has the old model or the new one, never a mix, and after a success the new one.
#[cfg(target_os = "linux")]
fn at_every_call(name: &str, step: usize) {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = faults(dir.path()) else { return };
    let [old, new] = two_models(dir.path());
    let place = dir.path().join("place");
    let out = place.join("out");
    let mine = |out: &Path| assert_eq!(fs::read(out.join("mine/notes.txt")).unwrap(), b"kept", "{name}");
    let fresh = || {
        let _ = fs::remove_dir_all(&place);
        copy(&old, &out);
        fs::create_dir(out.join("mine")).unwrap();
        fs::write(out.join("mine/notes.txt"), "kept").unwrap();
    };
    fresh();
    let before = files(&out);
    assert!(convert_command(&new, &out).output().unwrap().status.success());
    let after = files(&out);
    assert_ne!(before, after);
    let (mut kept, mut replaced) = (0, 0);
    for call in (1..).step_by(step) {
        fresh();
        let ran = convert_command(&new, &out).env("LD_PRELOAD", &library).env(name, call.to_string()).output().unwrap();
        let found = files(&out);
        mine(&out);
        assert!(found == before || found == after, "{name}={call}: {:?}", names(&out));
        if found == before {
            kept += 1
        } else {
            replaced += 1
        }
        assert!(!ran.status.success() || found == after, "{name}={call}: it says that it is done");
        if !String::from_utf8_lossy(&ran.stderr).contains("a fault") {
            assert!(ran.status.success());
            break;
        }
        assert!(call < 200_000, "{name}: no end");
    }
    assert!(kept > 5 && replaced > 0, "{name}: {kept} kept, {replaced} replaced");
    // The next process removes what the killed ones left.
    fresh();
    let killed = convert_command(&new, &out).env("LD_PRELOAD", &library).env("KILL_AT", "12").output().unwrap();
    assert_eq!(killed.status.code(), None);
    assert!(names(&place).len() > 1, "{:?}", names(&place));
    assert!(convert_command(&new, &out).output().unwrap().status.success());
    assert_eq!(names(&place), ["out"]);
    assert!(names(&out).iter().all(|name| !name.ends_with(".partial")), "{:?}", names(&out));
    assert_eq!(files(&out), after);
}

#[cfg(target_os = "linux")]
#[test]
fn a_conversion_killed_at_any_call_leaves_one_model() {
    at_every_call("KILL_AT", 1);
}

/// A full disk at every call gives an error. The old model stays, unless only its removal failed.
#[cfg(target_os = "linux")]
#[test]
fn a_conversion_that_fails_at_any_call_leaves_one_model() {
    at_every_call("FAIL_AT", 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_conversion_without_memory_leaves_one_model() {
    at_every_call("OUT_OF_MEMORY_AT", 97);
}

#[test]
fn conversions_at_once_give_one_of_their_models() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = two_models(dir.path());
    let wanted = [&old, &new].map(|model| {
        let out = dir.path().join("wanted");
        assert!(convert_command(model, &out).output().unwrap().status.success());
        let found = ["config.json", "model.safetensors"].map(|file| fs::read(out.join(file)).unwrap());
        fs::remove_dir_all(out).unwrap();
        found
    });
    let out = dir.path().join("out");
    for round in 0..8 {
        if round % 2 == 0 {
            let _ = fs::remove_dir_all(&out);
        }
        let started: Vec<_> =
            [&old, &new, &old, &new].map(|model| convert_command(model, &out).spawn().unwrap()).into();
        let mut done = 0;
        for child in started {
            let ran = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&ran.stderr);
            assert!(
                ran.status.success() || error.contains("another process") || error.contains("not empty"),
                "{error}"
            );
            done += usize::from(ran.status.success());
        }
        let found = ["config.json", "model.safetensors"].map(|file| fs::read(out.join(file)).unwrap());
        assert!(done > 0 && wanted.contains(&found), "{done} of round {round}");
    }
    assert_eq!(names(dir.path()), ["new", "old", "out"]);
}

#[test]
fn weights_can_be_read_into_memory() {
    let model = fixture("tasks/moods");
    let args = ["classify", "a good film", "--model", text(&model), "--device", "cpu", "--json"];
    let read = command(&args).env("CLOZE_NO_MMAP", "1").output().unwrap();
    assert!(read.status.success());
    assert_eq!(String::from_utf8(read.stdout).unwrap(), run(&args).out);
}
