//! The program's outputs: old results are not lost without need, no failure is silent, and a refused thread does not
//! crash it.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use crate::support::command::{command, run, run_with};
use crate::support::fixture;

fn model(name: &str) -> String {
    fixture("tasks").join(name).to_str().unwrap().to_owned()
}

/// If a run stops before its first result, the old results stay.
#[cfg(unix)]
#[test]
fn old_results_are_there_until_the_first_of_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.jsonl");
    let old = "{\"line\":1,\"result\":[]}\n";
    let input = dir.path().join("in.jsonl");
    fs::write(&input, json!({"text": "she was happy"}).to_string()).unwrap();
    let args = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap(), "--overwrite"];
    fs::write(&output, old).unwrap();
    let no_model = dir.path().join("none");
    let ran = run(&[&["classify", "--device", "cpu", "--model", no_model.to_str().unwrap()], &args[..]].concat());
    assert_ne!(ran.code, Some(0));
    assert_eq!(fs::read_to_string(&output).unwrap(), old);

    // Stopped while it waits for the first line.
    let model = model("moods");
    let waiting = ["classify", "--model", &model, "--device", "cpu", "--quiet", "--input", "-"];
    let mut child = command(&[&waiting, &args[2..]].concat()).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let locked = || fs::File::open(&output).unwrap().try_lock().is_err();
    while !locked() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let id = child.id().to_string();
    // If it does not handle the signal yet, it ends anyway.
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    child.wait().unwrap();
    drop(stdin);
    assert_eq!(fs::read_to_string(&output).unwrap(), old);

    // No lines give no results, and one line gives one.
    let empty = dir.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let quick = ["classify", "--model", &model, "--device", "cpu", "--quiet"];
    let ran = run(&[&quick[..], &["--input", empty.to_str().unwrap()], &args[2..]].concat());
    assert_eq!((ran.code, fs::read_to_string(&output).unwrap().as_str()), (Some(0), ""));
    fs::write(&output, old.repeat(1000)).unwrap();
    assert_eq!(run(&[&quick[..], &args[..]].concat()).code, Some(0));
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1);
}

/// With a limit on processes that allows no second thread, there is an error before anything is written, or one thread
/// less.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_are_not_granted_are_an_error() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (input, output) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
    fs::write(&input, "{\"text\":\"happy\"}\n").unwrap();
    fs::write(&output, "old").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o666)).unwrap();
    // The limit does not apply to root.
    let is_root = fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t");
    let limited = |args: &[&str]| {
        let user: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let user = if is_root { user } else { &[] };
        let words = [user, &["prlimit", "--nproc=1", env!("CARGO_BIN_EXE_cloze")], args].concat();
        let mut child = std::process::Command::new(words[0]);
        child.args(&words[1..]).env("VK_ICD_FILENAMES", "").stdin(Stdio::null());
        child.output().ok().filter(|output| !matches!(output.status.code(), Some(126 | 127)))
    };
    let lines = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap(), "--overwrite"];
    let Some(ran) = limited(&[&["tokenize", "--quiet", "--json"], &lines[..]].concat()) else {
        eprintln!("SKIPPED: another user cannot run the program here");
        return;
    };
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains(r#""code":"io""#) && said.contains("cannot start the thread that reads the input"), "{said}");
    assert_eq!(fs::read_to_string(&output).unwrap(), "old");
    // The kernels run on the calling thread alone.
    let ran = limited(&["answer", "-q", "who", "-c", "Ada", "--device", "cpu", "--threads", "8"]).unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!((ran.status.code(), said.as_str()), (Some(0), "device: CPU, 1 thread (asked for)\n"));
}

/// Output that cannot be written is a failure, for every command.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_noticed() {
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let model = model("mean");
    for args in [
        &["--help"] as &[&str],
        &["--version"],
        &["answer", "--help"],
        &["help", "answer"],
        &["man"],
        &["completions", "bash"],
        &["info", "--device", "cpu"],
        &["info", "--device", "cpu", "--json"],
        &["answer", "-q", "who", "-c", "Ada", "--device", "cpu", "--quiet"],
        &["answer", "-q", "who", "-c", "Ada", "--device", "cpu", "--quiet", "--json"],
        &["tokenize", "Ada", "--quiet"],
        &["embed", "Ada", "--format", "npy", "--model", &model, "--device", "cpu", "--quiet"],
    ] {
        let output = command(args).stdout(full()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("cannot write stdout"), "{args:?}: {said}");
    }
    let mut batch =
        command(&["tokenize", "--input", "-", "--quiet"]).stdin(Stdio::piped()).stdout(full()).spawn().unwrap();
    std::io::Write::write_all(&mut batch.stdin.take().unwrap(), b"{\"text\": \"Ada\"}\n").unwrap();
    assert_eq!(batch.wait_with_output().unwrap().status.code(), Some(1));

    // A reader that has seen enough is not a failure.
    for args in [&["--help"] as &[&str], &["man"], &["tokenize", "Ada", "--quiet"]] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let output = command(args).stdout(Stdio::from(write)).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
    }
    // Wrong usage is still reported on stderr.
    let wrong = run_with(&["answer", "--nonsense"], b"");
    assert!(wrong.code == Some(2) && wrong.err.contains("Usage"), "{}", wrong.err);
}

/// A replaced file keeps its permissions, with every command that replaces one.
#[cfg(unix)]
#[test]
fn what_is_replaced_stays_private() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let model = model("mean");
    let (jsonl, npy) = (dir.path().join("o.jsonl"), dir.path().join("o.npy"));
    let runs: [(&std::path::Path, Vec<&str>); 2] = [
        (&jsonl, vec!["answer", "-q", "who", "-c", "Ada", "--output", jsonl.to_str().unwrap()]),
        (&npy, vec!["embed", "Ada", "--format", "npy", "--model", &model, "--output", npy.to_str().unwrap()]),
    ];
    for (path, args) in runs {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let ran = run(&[&args[..], &["--device", "cpu", "--quiet"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.permissions().mode() & 0o777, found.len() > 0), (0o600, true), "{args:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
}

/// Names from files cannot control the terminal, and no file can fill the screen.
#[test]
fn files_do_not_command_the_terminal() {
    let evil = "\u{1b}]0;pwned\u{7}\u{1b}[2J\nerror: everything is fine\u{202e}\u{9b}1A\u{200b}";
    let long = format!("{evil}{}", "x".repeat(900_000));
    let dir = tempfile::tempdir().unwrap();
    let tagged = |name: &str, config: serde_json::Value, tokens: serde_json::Value| {
        let to = dir.path().join(name);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(fixture("tasks/nli")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        for (file, changes) in [("config.json", config), ("tokenizer_config.json", tokens)] {
            let read = fs::read(to.join(file)).unwrap_or(b"{}".to_vec());
            let mut object: serde_json::Value = serde_json::from_slice(&read).unwrap();
            for (key, value) in changes.as_object().unwrap() {
                object[key] = value.clone();
            }
            fs::write(to.join(file), object.to_string()).unwrap();
        }
        to.to_str().unwrap().to_owned()
    };
    let adapter = dir.path().join("adapter");
    fs::create_dir(&adapter).unwrap();
    let config = json!({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query"], "task_type": "SEQ_CLS",
        "base_model_name_or_path": "../base", format!("use_{evil}"): true});
    fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
    let labels = json!({"0": evil, "1": "b", "2": long});
    let hostile =
        tagged("labels", json!({"id2label": labels, "label2id": {evil: 0, "b": 1, long.clone(): 2}}), json!({}));
    let act = tagged("act", json!({"hidden_act": long}), json!({}));
    let cases: [(&str, Vec<&str>); 4] = [
        ("an adapter's key", vec!["classify", "x", "--model", adapter.to_str().unwrap()]),
        ("an activation", vec!["classify", "x", "--model", &act]),
        ("a label in a warning", vec!["zero-shot", "x", "--labels", "a,b", "--model", &hostile]),
        ("a model that is not there", vec!["classify", "x", "--model", evil]),
    ];
    for (name, args) in cases {
        for more in [&["--device", "cpu"] as &[&str], &["--device", "cpu", "--json"]] {
            let ran = run(&[&args[..], more].concat());
            let seen = |c: char| c.is_control() && c != '\n' || ['\u{202e}', '\u{200b}'].contains(&c);
            assert!(!ran.err.contains(seen), "{name}: {:?}", ran.err);
            assert!(!ran.err.is_empty() && ran.err.len() < 8_000, "{name}: {} bytes", ran.err.len());
            assert!(!ran.err.lines().any(|line| line.starts_with("error: everything")), "{name}: {}", ran.err);
        }
    }
    // Results are exact: a label is the model's own text.
    let ran = run(&["classify", "x", "--model", &hostile, "--device", "cpu", "--quiet"]);
    let found: Vec<_> = ran.lines().iter().map(|line| line["label"].as_str().unwrap().to_owned()).collect();
    assert!(found.contains(&evil.to_owned()) && found.contains(&long));
}
