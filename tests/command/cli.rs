//! The program from the user's view: the real binary, its output, its errors and exit codes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::command::{Ran, command, run, run_with};
use crate::support::fixture;

pub const QUESTION: &str = "Where do otters sleep?";
pub const CONTEXT: &str = "Sea otters sleep on their backs in kelp forests.";

/// Runs `cloze answer --json --device cpu` with the usual question.
fn answer(args: &[&str]) -> Ran {
    run(&[&["answer", "--json", "--device", "cpu", "-q", QUESTION], args].concat())
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa")
}

/// The text at an answer's offsets in its context, in code points.
fn cut(context: &str, line: &Value) -> String {
    let at = |key: &str| line[key].as_u64().unwrap() as usize;
    context.chars().skip(at("start")).take(at("end") - at("start")).collect()
}

#[test]
fn a_text_is_given_in_three_ways() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.txt");
    std::fs::write(&file, CONTEXT).unwrap();
    let given = answer(&["-c", CONTEXT]);
    let lines = given.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["answer", "end", "score", "start"]);
    assert_eq!(lines[0]["answer"], "kelp forests");
    assert_eq!((&lines[0]["start"], &lines[0]["end"]), (&json!(35), &json!(47)));
    assert!((0.0..=1.0).contains(&lines[0]["score"].as_f64().unwrap()));
    assert_eq!(answer(&["--context-file", path(&file)]).out, given.out);
    let piped = run_with(&["answer", "--json", "--device", "cpu", "-q", QUESTION], CONTEXT.as_bytes());
    assert_eq!(piped.out, given.out);
}

#[test]
fn people_see_the_answer_in_its_sentence_and_the_device() {
    let ran = run(&["answer", "-q", QUESTION, "-c", &format!("It rained. {CONTEXT} It stopped.")]);
    assert_eq!(ran.code, Some(0));
    // The sentence with the answer between asterisks, then the score.
    let (sentence, score) = ran.out.trim_end().split_once("  ").unwrap();
    assert_eq!((sentence.replace('*', "").as_str(), sentence.matches('*').count()), (CONTEXT, 2), "{}", ran.out);
    assert!(sentence.contains("kelp forests*.") && score.parse::<f64>().is_ok(), "{}", ran.out);
    assert!(ran.err.starts_with("device: CPU, ") && ran.err.ends_with("(there is no GPU)\n"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1);
    let asked = run(&["answer", "-q", QUESTION, "-c", CONTEXT, "--device", "cpu", "--threads", "1"]);
    assert_eq!(asked.err, "device: CPU, 1 thread (asked for)\n");
    let quiet = run(&["answer", "-q", QUESTION, "-c", CONTEXT, "--quiet"]);
    assert_eq!((quiet.code, quiet.err.as_str(), quiet.out), (Some(0), "", asked.out));
    // The text cannot control the terminal.
    let hostile = run(&["answer", "-q", QUESTION, "-c", &CONTEXT.replace("kelp", "\x1b[2Jkelp\u{7}")]);
    assert!(!hostile.out.contains(['\x1b', '\u{7}']), "{:?}", hostile.out);
}

/// If Vulkan is available but there is no session, a driver's complaint about that is not shown.
#[test]
fn stderr_says_the_device_alone() {
    let args = ["answer", "-q", QUESTION, "-c", CONTEXT];
    let output = command(&args).env_remove("VK_ICD_FILENAMES").env_remove("NODEVICE_SELECT").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && err.starts_with("device: "), "{err}");
    assert!(!err.contains("XDG_RUNTIME_DIR"), "{err}");
}

#[test]
fn offsets_are_code_points() {
    for context in [
        "🦦🦦 naïve café: sea otters sleep in kelp forests 🌊.",
        "Weather: rain.\r\n\r\nSea otters\tsleep\r\nin kelp forests.\r\n",
        "海獺は海に住む。Sea otters sleep in kelp forests。",
        "e\u{301}te\u{301}\u{200b} sea otters sleep in kelp\u{0} forests\u{feff}.",
    ] {
        // An argument cannot contain a NUL, but a file can.
        let ran = run_with(&["answer", "--json", "--quiet", "-q", QUESTION, "--top-k", "5"], context.as_bytes());
        let lines = ran.lines();
        assert_eq!(lines.len(), 5);
        for line in &lines {
            assert_eq!(cut(context, line), line["answer"].as_str().unwrap(), "{context:?}");
        }
        assert!(lines[0]["answer"].as_str().unwrap().contains("kelp"), "{context:?}: {}", lines[0]);
        let scores: Vec<f64> = lines.iter().map(|l| l["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
}

#[test]
fn options_of_answer() {
    assert_eq!(answer(&["-c", CONTEXT, "--top-k", "3"]).lines().len(), 3);
    let short = answer(&["-c", CONTEXT, "--max-answer-tokens", "1", "--top-k", "2"]).lines();
    assert!(short.iter().all(|l| !l["answer"].as_str().unwrap().contains(' ')), "{short:?}");
    let none = answer(&["-c", "Bread is baked in ovens.", "--no-answer", "--top-k", "100"]).lines();
    let empty: Vec<_> = none.iter().filter(|l| l["answer"] == "").collect();
    assert_eq!(empty.len(), 1);
    assert_eq!((&empty[0]["start"], &empty[0]["end"]), (&json!(0), &json!(0)));
    // The largest possible numbers.
    let most = usize::MAX.to_string();
    let all = answer(&["-c", CONTEXT, "--top-k", &most, "--max-answer-tokens", &most]);
    assert_eq!(all.lines()[0]["answer"], "kelp forests");
    let long = format!("{}{CONTEXT}", "It rained all day. ".repeat(60));
    let windows = answer(&["-c", &long, "--max-seq-len", "64", "--doc-stride", "16"]).lines();
    assert_eq!(windows[0]["answer"], "kelp forests");
    assert_eq!(cut(&long, &windows[0]), "kelp forests");
}

#[test]
fn common_options_stand_before_or_after() {
    let after = run(&["answer", "-q", QUESTION, "-c", CONTEXT, "--json", "--quiet", "--device", "cpu"]);
    let before = run(&["--json", "--quiet", "--device", "cpu", "answer", "-q", QUESTION, "-c", CONTEXT]);
    assert_eq!((after.lines().len(), after.err.as_str()), (1, ""));
    assert_eq!((before.out, before.err), (after.out.clone(), after.err));
    let model = default_model();
    let opened = run(&["--model", path(&model), "answer", "--json", "-q", QUESTION, "-c", CONTEXT]);
    assert_eq!(opened.out, after.out, "the embedded model is the one in models/");
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[] as &[&str],
        &["nonsense"],
        &["answer"],
        &["answer", "-q", "x", "-c", "y", "--context-file", "z"],
        &["answer", "-q", "x", "-c", "y", "--top-k", "-1"],
        &["answer", "-q", "x", "-c", "y", "--top-k", "99999999999999999999999"],
        &["answer", "-q", "x", "-c", "y", "--device", "nonsense"],
        &["answer", "-q", "x", "-c", "y", "--device", "gpu:-1"],
        &["answer", "-q", "x", "-c", "y", "--threads", "99999"],
        &["convert", "--dtype", "i4", "--output", "x"],
        &["bench", "--seq", "1,,2"],
        &["bench", "--runs", "0"],
        &["eval"],
        &["eval", "squad"],
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{args:?}");
    }
    for command in ["answer", "eval", "convert", "info", "bench"] {
        let help = run(&[command, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
        for option in ["--model", "--device", "--threads", "--json", "--quiet"] {
            assert!(help.out.contains(option), "{command} --help has no {option}");
        }
    }
}

#[test]
fn failures_exit_with_1_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let latin = dir.path().join("latin.txt");
    std::fs::write(&latin, b"caf\xe9").unwrap();
    let long = "why ".repeat(400);
    for (args, code, words) in [
        (&["-c", ""] as &[&str], "input", "the context is empty"),
        (&["-c", " \t\n"], "input", "white space"),
        (&["-c", "x", "-q", ""], "", ""),
        (&["-c", "x", "--top-k", "0"], "option", "top-k"),
        (&["-c", "x", "--max-answer-tokens", "0"], "option", "max-answer-tokens"),
        (&["-c", "x", "--max-seq-len", "0"], "option", "max-seq-len"),
        (&["-c", "x", "--max-seq-len", "513"], "option", "at most 512"),
        (&["-c", "x", "--max-seq-len", "64", "--doc-stride", "64"], "option", "doc-stride"),
        (&["-c", CONTEXT, "--max-seq-len", "8"], "input", "question"),
        (&["-c", "x", "--device", "gpu:99"], "gpu", "--device cpu"),
        (&["-c", "x", "--device", "gpu"], "gpu", "--device cpu"),
        (&["--context-file", path(&missing)], "io", "missing"),
        (&["--context-file", path(dir.path())], "io", path(dir.path())),
        (&["--context-file", "/dev/null"], "input", "the context is empty"),
        (&["--context-file", path(&latin)], "input", "not UTF-8 at byte 3"),
        (&["-c", "x", "--model", path(&missing)], "", "missing"),
        (&["-c", "x", "--model", path(dir.path())], "", "model.safetensors"),
        (&["-c", "x", "--model", "/dev/null"], "", "/dev/null"),
    ] {
        // clap accepts an option only once.
        let question: &[&str] = if args.contains(&"-q") { &[] } else { &["-q", QUESTION] };
        let ran = run(&[&["answer", "--json"], question, args].concat());
        let (found, message) = ran.error();
        assert!(code.is_empty() || found == code, "{args:?}: {found}");
        assert!(message.contains(words), "{args:?}: {message}");
    }
    let question = run(&["answer", "--json", "-q", &long, "-c", CONTEXT]);
    assert_eq!(question.error().0, "input");
    let people = run(&["answer", "--quiet", "-q", "x", "-c", ""]);
    assert_eq!((people.code, people.err.as_str()), (Some(1), "error: the context is empty. Give some text\n"));
    let bytes = run_with(&["answer", "--json", "-q", "x"], b"ab\xff");
    assert!(bytes.error().1.contains("stdin is not UTF-8 at byte 2"));
}

#[test]
fn broken_models_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(default_model().join(name), broken.join(name)).unwrap();
    }
    let weights = std::fs::read(default_model().join("model.safetensors")).unwrap();
    let ask = || run(&["answer", "--json", "-q", "x", "-c", "y", "--model", path(&broken)]).error();
    for length in [0, 7, 1000, weights.len() - 1] {
        std::fs::write(broken.join("model.safetensors"), &weights[..length]).unwrap();
        let (code, message) = ask();
        assert_eq!(code, "checkpoint", "{message}");
        assert!(message.contains("model.safetensors"), "{message}");
    }
    std::fs::write(broken.join("model.safetensors"), &weights).unwrap();
    std::fs::write(broken.join("config.json"), "{").unwrap();
    assert_eq!(ask().0, "config");
    std::fs::copy(default_model().join("config.json"), broken.join("config.json")).unwrap();
    std::fs::remove_file(broken.join("vocab.txt")).unwrap();
    let (code, message) = ask();
    assert!(code == "tokenizer" && message.contains("vocab.txt"), "{code}: {message}");
    // Nobody writes to this pipe, and the program must not wait for it.
    if cfg!(unix) {
        assert!(Command::new("mkfifo").arg(broken.join("vocab.txt")).status().unwrap().success());
        let (code, message) = ask();
        assert!(code == "io" && message.contains("vocab.txt"), "{code}: {message}");
    }
    // A model without a question answering head.
    let (code, message) =
        run(&["answer", "--json", "-q", "x", "-c", "y", "--model", path(&fixture("encoder/plain"))]).error();
    assert!(!code.is_empty() && !message.is_empty());
}

/// As in `cloze … | head -1`.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    for json in [&["--json"] as &[&str], &[]] {
        let args = [&["answer", "--quiet", "--top-k", "1000", "-q", QUESTION, "-c", CONTEXT], json].concat();
        let mut child = command(&args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    }
    // A closed stderr is not a failure either.
    let mut child = command(&["answer", "-q", QUESTION, "-c", CONTEXT]).spawn().unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("kelp forests"));
}

#[test]
fn convert_goes_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = fixture("encoder/tiny");
    let convert = |from: &Path, dtype: &str, name: &str| {
        let to = dir.path().join(name);
        let ran = run(&["convert", "--json", "--model", path(from), "--dtype", dtype, "--output", path(&to)]);
        let line = ran.lines().remove(0);
        let file = std::fs::read(to.join("model.safetensors")).unwrap();
        assert_eq!((&line["dtype"], &line["bytes"]), (&json!(dtype), &json!(file.len())));
        (to, file)
    };
    let (half, once) = convert(&tiny, "f16", "half");
    let (wide, _) = convert(&half, "f32", "wide");
    assert_eq!(convert(&wide, "f16", "again").1, once, "f16 loses nothing in f32");
    let (small, once) = convert(&tiny, "i8", "small");
    assert_eq!(convert(&small, "i8", "copy").1, once);
    assert!(once.len() < std::fs::metadata(tiny.join("model.safetensors")).unwrap().len() as usize);

    // The default model in f16 gives the same answers.
    let (half, _) = convert(&default_model(), "f16", "minilm");
    let answers = |model: &Path| answer(&["-c", CONTEXT, "--model", path(model)]).lines().remove(0);
    let (from_i8, from_f16) = (answers(&default_model()), answers(&half));
    assert_eq!(from_i8["answer"], from_f16["answer"]);
    // f16 rounds the product of a value and its row's scale once more.
    let score = |line: &Value| line["score"].as_f64().unwrap();
    assert!((score(&from_i8) - score(&from_f16)).abs() < 1e-2, "{from_i8} {from_f16}");

    let onto_itself = run(&["convert", "--json", "--model", path(&tiny), "--dtype", "f16", "--output", path(&tiny)]);
    assert_eq!(onto_itself.error().0, "option");
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let onto_file = run(&["convert", "--json", "--model", path(&tiny), "--dtype", "f16", "--output", path(&file)]);
    assert_eq!(onto_file.error().0, "option");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(run(&["convert", "--json", "--dtype", "f16", "--output", path(&file)]).error().0, "option");
}

#[test]
fn eval_squad_counts_and_keeps_predictions() {
    let dir = tempfile::tempdir().unwrap();
    let (data, predictions) = (dir.path().join("data.json"), dir.path().join("predictions.json"));
    let asked = |id: &str, question: &str, answer: &str| json!({ "id": id, "question": question, "answers": [{ "text": answer, "answer_start": CONTEXT.find(answer).unwrap() }] });
    let questions = [
        asked("a", QUESTION, "kelp forests"),
        asked("b", "What do sea otters sleep on?", "their backs"),
        asked("c", "What sleeps in kelp forests?", "backs"),
    ];
    let set = json!({ "version": "1.1", "data": [{ "title": "t", "paragraphs": [{ "context": CONTEXT, "qas": questions }] }] });
    std::fs::write(&data, set.to_string()).unwrap();
    std::fs::write(&predictions, "old").unwrap();
    let eval = |args: &[&str]| run(&[&["eval", "squad", "--json", "--data", path(&data)], args].concat());
    let ran = eval(&["--predictions", path(&predictions)]);
    let last = ran.lines().pop().unwrap();
    assert_eq!(last.as_object().unwrap().keys().collect::<Vec<_>>(), ["exact_match", "f1", "total"]);
    assert_eq!(last["total"], 3);
    let found: Value = serde_json::from_slice(&std::fs::read(&predictions).unwrap()).unwrap();
    let found = found.as_object().unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(found.values().all(|text| CONTEXT.contains(text.as_str().unwrap())));
    assert_eq!(found["a"], "kelp forests");
    // The third question's gold answer is wrong.
    let right = f64::from(u8::from(found["a"] == "kelp forests")) + f64::from(u8::from(found["b"] == "their backs"));
    assert!((last["exact_match"].as_f64().unwrap() - 100.0 * right / 3.0).abs() < 1e-9, "{last} {found:?}");
    assert!(last["f1"].as_f64() >= last["exact_match"].as_f64());
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left over: {names:?}");

    // A file that cannot be written is refused before the work.
    for bad in [dir.path().join("missing/p.json"), dir.path().to_owned()] {
        let ran = eval(&["--predictions", path(&bad)]);
        assert_eq!((ran.error().0.as_str(), ran.err.lines().count()), ("option", 1), "{}", ran.err);
    }
    let too_long = dir.path().join("p".repeat(300));
    assert_eq!(eval(&["--predictions", path(&too_long)]).error().0, "io");
    std::fs::write(&data, "[]").unwrap();
    assert_eq!(eval(&[]).error().0, "data");
    assert_eq!(run(&["eval", "squad", "--json", "--data", path(dir.path())]).error().0, "io");
}

#[test]
fn info_says_what_is_there() {
    let info = run(&["info", "--json"]).lines().remove(0);
    let keys: Vec<_> = info.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["adapters", "device", "memory", "model", "reason", "sentence"]);
    assert_eq!(info["sentence"], Value::Null, "the default model is no sentence encoder");
    assert_eq!(info["adapters"], json!([]));
    assert!(info["device"].as_str().unwrap().starts_with("CPU"));
    assert_eq!(info["reason"], "there is no GPU");
    assert!(info["memory"]["weights"].as_u64().unwrap() > 10_000_000);
    let people = run(&["info"]);
    assert_eq!((people.code, people.err.as_str()), (Some(0), ""));
    assert!(people.out.contains("Adapters") && people.out.contains("none: install"), "{}", people.out);
    assert!(people.out.contains("minilm-l6-qa: BertForQuestionAnswering, 6 layers, H 384, i8"), "{}", people.out);
}

#[test]
fn bench_has_a_line_for_each_batch_and_length() {
    const KEYS: [&str; 12] = [
        "adapter",
        "batch",
        "device",
        "first_ms",
        "gemm_gflops",
        "gflops",
        "load_ms",
        "median_ms",
        "min_ms",
        "model",
        "seq",
        "tokens_per_s",
    ];
    let args = ["bench", "--json", "--quiet", "--device", "cpu", "--seq", "4,8", "--batch", "1,2", "--runs", "3"];
    let ran = run(&args);
    let lines = ran.lines();
    assert_eq!(ran.err, "");
    let shape = |l: &Value| (l["batch"].as_u64().unwrap(), l["seq"].as_u64().unwrap());
    assert_eq!(lines.iter().map(shape).collect::<Vec<_>>(), [(1, 4), (1, 8), (2, 4), (2, 8)]);
    for line in &lines {
        assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), KEYS);
        assert_eq!((&line["device"], &line["model"]), (&json!("cpu"), &json!("minilm-l6-qa")));
        let number = |key: &str| line[key].as_f64().unwrap();
        for key in ["median_ms", "min_ms", "tokens_per_s", "gflops", "gemm_gflops", "load_ms", "first_ms"] {
            assert!(number(key).is_finite() && number(key) > 0.0, "{key}: {line}");
        }
        assert!(number("min_ms") <= number("median_ms"), "{line}");
        let tokens = number("batch") * number("seq");
        assert!((number("tokens_per_s") * number("median_ms") / 1e3 / tokens - 1.0).abs() < 1e-6, "{line}");
    }
    for bad in [&["--seq", "0"], &["--seq", "513"], &["--batch", "0"], &["--seq", "18446744073709551615"]] {
        let ran = run(&[&["bench", "--json", "--device", "cpu"], bad.as_slice()].concat());
        assert_eq!(ran.error().0, "option", "{bad:?}");
    }
}

/// The examples in every command's help are valid commands.
#[test]
fn every_command_has_examples_and_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--output", path(dir.path())]).code, Some(0));
    let help = run(&["--help"]).out;
    let section = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let named = |line: &str| {
        line.strip_prefix("  ").filter(|l| !l.starts_with(' ')).map(|l| l.split(' ').next().unwrap().to_owned())
    };
    let commands: Vec<String> = section.lines().filter_map(named).filter(|name| name != "help").collect();
    assert!(commands.len() >= 12, "{section}");
    for name in &commands {
        let help = run(&[name, "--help"]).out;
        let page = std::fs::read_to_string(dir.path().join(format!("cloze-{name}.1"))).unwrap();
        assert!(page.contains(".TH"), "{page}");
        let examples = help.split("Examples:").nth(1).unwrap_or_else(|| panic!("{name}: no examples"));
        assert!(examples.contains(&format!("cloze {name}")), "{name}: {examples}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{name}: {help}");
    }
    assert!(dir.path().join("cloze-eval-squad.1").exists());
    assert!(run(&["man"]).out.contains("Exit status"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(run(&["completions", shell]).out.contains("fill-mask"), "{shell}");
    }
    assert_eq!(run(&["completions", "csh"]).code, Some(2));
}
