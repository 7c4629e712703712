//! Batches on the command line: one output line for each input line, whatever the line contains and whatever stops the
//! run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::command::{Ran, command, run, run_with};
use crate::support::fixture;

fn model(name: &str) -> String {
    fixture("tasks").join(name).to_str().unwrap().to_owned()
}

/// `cloze ARGS --model NAME --device cpu --quiet`
fn cloze(args: &[&str], name: &str, stdin: &str) -> Ran {
    let model = model(name);
    run_with(&[args, &["--model", &model, "--device", "cpu", "--quiet"]].concat(), stdin.as_bytes())
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn texts(dir: &Path, lines: &[Value]) -> PathBuf {
    let path = dir.join("in.jsonl");
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path
}

/// Each command gives the same result for a line as for the same text in its arguments.
#[test]
fn a_line_gets_what_an_argument_gets() {
    let cases: [(&[&str], &str, &[&str], Value); 7] = [
        (&["fill-mask", "--top-k", "2"], "mlm", &["the [MASK] is red"], json!({"text": "the [MASK] is red"})),
        (&["classify"], "moods", &["she was happy"], json!({"text": "she was happy"})),
        (
            &["classify"],
            "nli",
            &["she was happy", "--pair", "it was great"],
            json!({"text": "she was happy", "pair": "it was great"}),
        ),
        (
            &["tag", "--aggregation", "simple"],
            "places",
            &["Ada 😀 lived in London"],
            json!({"text": "Ada 😀 lived in London"}),
        ),
        (&["embed"], "mean", &["The river is cold."], json!({"text": "The river is cold."})),
        (
            &["next-sentence"],
            "sentences",
            &["The river is cold.", "The water is cold."],
            json!({"text": "The river is cold.", "pair": "The water is cold."}),
        ),
        (&["zero-shot", "--labels", "art, science"], "nli", &["a program"], json!({"text": "a program"})),
    ];
    for (command, name, arguments, line) in cases {
        let single = cloze(&[command, arguments].concat(), name, "").lines();
        assert!(!single.is_empty(), "{command:?}");
        let many = cloze(&[command, &["--input", "-"]].concat(), name, &format!("{line}\n{line}")).lines();
        let expected: Vec<Value> = (1..=2).map(|n| json!({"line": n, "result": single})).collect();
        assert_eq!(many, expected, "{command:?}");
    }
    let single = cloze(&["tokenize", "Hello, World!"], "mlm", "").lines();
    assert_eq!(single.iter().map(|t| t["token"].as_str().unwrap()).collect::<Vec<_>>()[..2], ["[CLS]", "hel"]);
    let many = cloze(&["tokenize", "--input", "-"], "mlm", r#"{"text": "Hello, World!"}"#).lines();
    assert_eq!(many, [json!({"line": 1, "result": single})]);
}

/// Questions in a batch. The arguments replace fields that a line lacks.
#[test]
fn questions_are_answered_in_a_batch() {
    let context = "Sea otters sleep on their backs in kelp forests.";
    let question = "Where do otters sleep?";
    let alone = run(&["answer", "--json", "--quiet", "--device", "cpu", "-q", question, "-c", context]).lines();
    let lines = [
        json!({"question": question, "context": context, "id": [1, {"a": null}]}),
        json!({"context": context, "id": "second"}),
        json!({"question": question, "id": null}),
    ];
    let input = lines.iter().map(|l| format!("{l}\r\n")).collect::<String>();
    let args = ["answer", "--quiet", "--device", "cpu", "--input", "-", "-q", question, "-c", context];
    let found = run_with(&args, input.as_bytes()).lines();
    let expected = [
        json!({"line": 1, "id": [1, {"a": null}], "result": alone}),
        json!({"line": 2, "id": "second", "result": alone}),
        json!({"line": 3, "id": null, "result": alone}),
    ];
    assert_eq!(found, expected);
}

/// A line that cannot be processed has an error in its place, and the exit status reports it.
#[test]
fn bad_lines_keep_their_place() {
    let mut input = "\u{feff}{\"text\": \"she was happy\", \"id\": 7}\n".as_bytes().to_vec();
    let bad: [&[u8]; 10] = [
        b"",
        b"not json",
        br#"["a", "b", null, null, null]"#,
        b"\"text\"",
        br#"{"text": 5}"#,
        br#"{"pair": "no text"}"#,
        br#"{"text": "\ud800"}"#,
        b"{\"text\": \"\xff\"}",
        br#"{"text": "a", "text": "b"}"#,
        br#"{"text": "a"} more"#,
    ];
    bad.iter().for_each(|line| input.extend([line, &b"\n"[..]].concat()));
    let deep = format!("{{\"text\": {}1{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    input.extend(deep.bytes());
    let long = format!("{{\"text\": \"{}\"}}\n", "a ".repeat(9 << 20));
    input.extend(long.bytes());
    input.extend(br#"{"text": "she was happy"}"#);
    let model = model("moods");
    let ran = run_with(&["classify", "--model", &model, "--device", "cpu", "--input", "-"], &input);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let found = objects(&ran.out);
    assert_eq!(found.len(), 14);
    for (n, line) in (1..).zip(&found) {
        assert_eq!(line["line"], n);
        if n == 1 || n == 14 {
            assert_eq!(line["result"].as_array().unwrap().len(), 3, "{line}");
        } else {
            assert_eq!(line["error"]["code"], "input", "{line}");
            assert!(line["error"]["message"].as_str().unwrap().len() < 400, "{line}");
        }
    }
    assert_eq!(found[0]["id"], 7);
    assert!(found[11]["error"]["message"].as_str().unwrap().contains("is not a string"), "{}", found[11]);
    assert!(found[12]["error"]["message"].as_str().unwrap().contains("longer than"), "{}", found[12]);
}

/// If a task refuses one text, only that line has an error.
#[test]
fn a_refused_text_is_its_own_lines() {
    let input = "{\"text\": \"no mask\"}\n{\"text\": \"a [MASK]\"}\n";
    let ran = cloze(&["fill-mask", "--input", "-", "--top-k", "1"], "mlm", input);
    assert_eq!(ran.code, Some(1));
    let found = objects(&ran.out);
    assert!(found[0]["error"]["message"].as_str().unwrap().contains("no mask"), "{}", found[0]);
    assert_eq!(found[1]["result"][0]["mask"], 0);
}

#[cfg(unix)]
#[test]
fn a_stopped_batch_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<Value> = (0..300).map(|n| json!({"id": n, "text": format!("she was happy {n}")})).collect();
    let input = texts(dir.path(), &lines);
    let (whole, part) = (dir.path().join("whole.jsonl"), dir.path().join("part.jsonl"));
    let classify = |output: &Path, more: &[&str]| {
        let args = ["classify", "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        cloze(&[&args, more].concat(), "moods", "")
    };
    assert_eq!(classify(&whole, &[]).code, Some(0));
    let expected = fs::read_to_string(&whole).unwrap();
    assert_eq!(expected.lines().count(), 300);

    // Stopped in the middle of a line, at the end of one, before the first, and after the last.
    let ends: Vec<usize> = expected.match_indices('\n').map(|(at, _)| at + 1).collect();
    for length in [0, 5, ends[0], ends[100] + 9, ends[200], expected.len()] {
        fs::write(&part, &expected[..length]).unwrap();
        fs::copy(dir.path().join(".whole.jsonl.cloze"), dir.path().join(".part.jsonl.cloze")).unwrap();
        assert_eq!(classify(&part, &["--resume"]).code, Some(0), "{length}");
        assert_eq!(fs::read_to_string(&part).unwrap(), expected, "{length}");
    }
    // An error from the earlier run counts for the exit status.
    let erring = expected.replacen(r#"{"line":1,"id":0,"result":"#, r#"{"line":1,"id":0,"error":"#, 1);
    fs::write(&part, &erring).unwrap();
    assert_eq!(classify(&part, &["--resume"]).code, Some(1));
    assert_eq!(fs::read_to_string(&part).unwrap(), erring);

    // Existing results are only replaced on request.
    let refused = classify(&whole, &["--json"]);
    assert_eq!(refused.error().0, "option");
    assert_eq!(fs::read_to_string(&whole).unwrap(), expected);
    for other in ["something else\n", "no end of line", "{\"line\":2,", "[1, null]\n"] {
        fs::write(&part, other).unwrap();
        assert_eq!(classify(&part, &["--resume", "--json"]).error().0, "data");
        assert_eq!(fs::read_to_string(&part).unwrap(), other);
    }
    let none = dir.path().join("none.jsonl");
    let args = ["classify", "--input", none.to_str().unwrap(), "--output", part.to_str().unwrap(), "--overwrite"];
    assert_eq!(cloze(&[&args[..], &["--json"]].concat(), "moods", "").error().0, "io");
    assert!(!fs::read(&part).unwrap().is_empty(), "nothing is written over for an input that is not there");
    assert_eq!(classify(&part, &["--overwrite"]).code, Some(0));
    assert_eq!(fs::read_to_string(&part).unwrap(), expected);
    assert_eq!(cloze(&["classify", "--input", "-", "--resume", "--json"], "moods", "").error().0, "option");
    // An input is not overwritten either, under any of its names.
    let (soft, hard) = (dir.path().join("soft"), dir.path().join("hard"));
    std::os::unix::fs::symlink(&input, &soft).unwrap();
    fs::hard_link(&input, &hard).unwrap();
    let before = fs::read(&input).unwrap();
    for (name, more) in [(&soft, "--overwrite"), (&hard, "--overwrite"), (&hard, "--resume")] {
        assert_eq!(classify(name, &[more, "--json"]).error().0, "option", "{more}");
    }
    let redirected = ["classify", "--input", "-", "--output", hard.to_str().unwrap(), "--overwrite", "--model"];
    let mut redirected = command(&[&redirected[..], &[&model("moods")]].concat());
    assert_eq!(redirected.stdin(fs::File::open(&input).unwrap()).output().unwrap().status.code(), Some(2));
    assert_eq!(fs::read(&input).unwrap(), before);
    let nowhere = classify(&dir.path().join("none/out"), &["--json"]);
    assert_eq!(nowhere.error().0, "io");
}

/// Results come as soon as they are ready, and Ctrl-C leaves whole lines.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.jsonl");
    let model = model("moods");
    let args = ["classify", "--model", &model, "--device", "cpu", "--input", "-"];
    let mut child = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 1..=3 {
        writeln!(stdin, r#"{{"text": "she was happy"}}"#).unwrap();
        // The next line is written only after this one is answered.
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["line"], n);
    }
    let interrupt = |id: u32| {
        let sent = std::process::Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap();
        assert!(sent.success());
    };
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines.next().is_none());

    let args = [&args[..], &["--output", output.to_str().unwrap()]].concat();
    let mut child = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, r#"{{"text": "she was happy"}}"#).unwrap();
    while fs::read(&output).map_or(0, |bytes| bytes.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(fs::read_to_string(&output).unwrap().ends_with("]}\n"));
}

/// The memory does not depend on the size of the input: 300 MB of lines pass through 250 MB of address space.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_input() {
    let cloze = env!("CARGO_BIN_EXE_cloze");
    let script = format!("ulimit -v 250000; exec {cloze} tokenize --quiet --input - --output /dev/null");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // These lines are cheap, but each is read and parsed, and has an output line.
    let chunk = format!("{{\"text\": 5, \"other\": \"{}\"}}\n", "x".repeat(10_000)).repeat(100);
    let mut sent = 0;
    while sent < 300 << 20 {
        stdin.write_all(chunk.as_bytes()).unwrap();
        sent += chunk.len();
    }
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The memory does not depend on the number of processed texts either.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_work() {
    let model = model("moods");
    let args = ["classify", "--model", &model, "--device", "cpu", "--quiet", "--input", "-"];
    let mut child = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let status = format!("/proc/{}/status", child.id());
    let peak = || -> u64 {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    let mut work = |texts: usize| {
        for group in 0..texts / 500 {
            let input: String = (0..500).map(|n| format!("{{\"text\": \"she was happy {group} {n}\"}}\n")).collect();
            stdin.write_all(input.as_bytes()).unwrap();
            assert!(lines.by_ref().take(500).all(|line| line.unwrap().contains("result")));
        }
        peak()
    };
    let (few, many) = (work(1_000), work(20_000));
    assert!(many < few + 4_000, "{few} kB after 1,000 texts, {many} kB after 21,000");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A NumPy array: its header, and rows that equal those of `--format jsonl`.
#[test]
fn vectors_are_written_as_an_array() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [json!({"text": "The river is cold."}), json!({"text": 1}), json!({"text": "it was great"})];
    let input = texts(dir.path(), &lines);
    let (input, output) = (input.to_str().unwrap(), dir.path().join("out.npy"));
    let out = output.to_str().unwrap();
    let ran = cloze(&["embed", "--input", input, "--format", "npy", "--output", out], "mean", "");
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("line 2"), "{}", ran.err);
    let bytes = fs::read(&output).unwrap();
    let (head, body) = bytes.split_at(128);
    assert_eq!(&head[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let text = std::str::from_utf8(&head[10..]).unwrap();
    assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 24), }");
    assert!(text.ends_with('\n'));
    let rows: Vec<Vec<f32>> = body
        .chunks_exact(24 * 4)
        .map(|row| row.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
        .collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[1].iter().all(|x| x.is_nan()));
    let expected = objects(&cloze(&["embed", "--input", input], "mean", "").out);
    for at in [0, 2] {
        let vector: Vec<f32> = serde_json::from_value(expected[at]["result"][0]["embedding"].clone()).unwrap();
        assert_eq!(rows[at], vector);
    }
    let raw = command(&["embed", "The river is cold.", "--format", "npy", "--model", &model("mean"), "--quiet"]);
    let raw = { raw }.output().unwrap();
    assert_eq!(raw.stdout.len(), 128 + 24 * 4);
    assert_eq!(&raw.stdout[128..], &body[..24 * 4]);
    for args in [["--format", "npy", "--input", input].as_slice(), &["--format", "npy", "--input", input, "--resume"]] {
        assert_eq!(cloze(&[&["embed", "--json"], args].concat(), "mean", "").error().0, "option");
    }
    // The old file stays until the array is complete, and is only replaced on request.
    for (more, status) in
        [(["--input", "none", "--overwrite"].as_slice(), 1), (&["--input", input], 2), (&["one text"], 2)]
    {
        let args = [&["embed", "--format", "npy", "--output", out], more].concat();
        assert_eq!(cloze(&args, "mean", "").code, Some(status), "{more:?}");
    }
    assert_eq!(fs::read(&output).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no leftovers");
}

/// A second run on an output that is being written is refused.
#[test]
fn one_run_writes_an_output() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.jsonl");
    let model = model("moods");
    let args = ["classify", "--model", &model, "--input", "-", "--json", "--output", output.to_str().unwrap()];
    let mut first = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = first.stdin.take().unwrap();
    writeln!(stdin, r#"{{"text": "she was happy"}}"#).unwrap();
    while fs::read(&output).map_or(0, |bytes| bytes.len()) == 0 {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let before = fs::read(&output).unwrap();
    for more in ["--resume", "--overwrite"] {
        let (code, says) = run(&[&args[..], &[more]].concat()).error();
        assert!(code == "io" && says.contains("another run"), "{says}");
    }
    assert_eq!(fs::read(&output).unwrap(), before);
    drop(stdin);
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

/// A model with very many labels: the results of only a few texts are held at a time.
#[cfg(target_os = "linux")]
#[test]
fn many_labels_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    many_labels(dir.path(), 50_000);
    let cloze = env!("CARGO_BIN_EXE_cloze");
    let dir = dir.path().display();
    let script = format!("ulimit -v 700000; {cloze} classify --quiet --threads 1 --device cpu --input - --model {dir}");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &format!("{script} | wc -l")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("VK_ICD_FILENAMES", "")
        .spawn()
        .unwrap();
    let lines = "{\"text\": \"the\"}\n".repeat(100);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "100");
}

/// The model of moods with this many labels instead of three.
#[cfg(target_os = "linux")]
fn many_labels(dir: &Path, count: usize) {
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors};

    let source = fixture("tasks/moods");
    for name in ["vocab.txt", "tokenizer_config.json"] {
        let _ = fs::copy(source.join(name), dir.join(name));
    }
    let mut config: Value = serde_json::from_slice(&fs::read(source.join("config.json")).unwrap()).unwrap();
    let labels: serde_json::Map<_, _> = (0..count).map(|n| (n.to_string(), json!(format!("L{n}")))).collect();
    config["id2label"] = labels.into();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let hidden = config["hidden_size"].as_u64().unwrap() as usize;
    let zeros = vec![0; count * hidden * 2];
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let view = match name.as_str() {
            "classifier.weight" => TensorView::new(Dtype::F16, vec![count, hidden], &zeros).unwrap(),
            "classifier.bias" => TensorView::new(Dtype::F16, vec![count], &zeros[..count * 2]).unwrap(),
            _ => view,
        };
        (name, view)
    });
    fs::write(dir.join("model.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        ["classify"].as_slice(),
        &["classify", "text", "--input", "-"],
        &["next-sentence", "only one"],
        &["zero-shot", "text"],
        &["tag", "text", "--aggregation", "some"],
        &["embed", "text", "--pooling", "median"],
        &["answer", "-c", "no question"],
        &["classify", "--input", "-", "--resume", "--overwrite"],
        &["classify", "no model"],
        &["fill-mask", "[MASK]", "--top-k", "0", "--model", "."],
        &["zero-shot", "text", "--labels", "", "--model", "."],
        &["zero-shot", "text", "--labels", "a", "--template", "none", "--model", "."],
        &["classify", "--resume", "text", "--model", "."],
        &["classify", "--input", "-", "--resume", "--model", "."],
    ] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}

/// A line with the most bytes that a line may have, and one with one byte more. Each is beside a short line.
#[test]
fn the_longest_line_takes_nothing_of_the_next() {
    const MOST: usize = 16 << 20;
    let line = |length: usize| {
        let frame = r#"{"text": 5, "other": ""}"#;
        frame.replace("\"\"}", &format!("\"{}\"}}\n", "x".repeat(length - frame.len())))
    };
    for length in [MOST - 1, MOST, MOST + 1, MOST + 2] {
        let input = format!("{}{}", line(length), "{\"text\": \"a\"}\n");
        let found = objects(&run_with(&["tokenize", "--quiet", "--input", "-"], input.as_bytes()).out);
        assert_eq!(found.len(), 2, "{length}");
        let says = found[0]["error"]["message"].as_str().unwrap();
        assert!(says.contains(if length <= MOST { "not a string" } else { "longer than" }), "{length}: {says}");
        assert_eq!(found[1]["result"].as_array().unwrap().len(), 3, "{length}");
    }
}
