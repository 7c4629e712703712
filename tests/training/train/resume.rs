//! A stopped run continues and reaches the same bits as without the stop.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::support::command::command;

/// Few tokens, two batches in each step, frequent evaluations and checkpoints: many places to stop.
const OFTEN: [&str; 12] = [
    "--epochs",
    "1000",
    "--batch-tokens",
    "40",
    "--accumulate",
    "2",
    "--lr",
    "2e-3",
    "--eval-every",
    "7",
    "--checkpoint-every",
    "1",
];

/// On the CPU.
const CPU: [&str; 4] = ["--device", "cpu", "--max-steps", "300"];

/// Starts the process of a run. On a GPU it uses the drivers of this process; compiled kernels are kept beside the
/// data.
fn spawn(place: &Place, more: &[&str]) -> Child {
    let eval = place.at("dev.tsv");
    let is_on_gpu = more.iter().any(|arg| arg.starts_with("gpu"));
    // On a GPU, evaluations would compile as many kernels again.
    let measured: &[&str] = if is_on_gpu { &[] } else { &["--eval", path(&eval)] };
    let args = place.args("classify", "train.tsv", &[&OFTEN, more, measured].concat());
    let mut command = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    if is_on_gpu {
        let drivers = std::env::var_os("VK_ICD_FILENAMES").unwrap_or_default();
        let cache = std::env::temp_dir().join(format!("cloze-kernels-{}", std::process::id()));
        command.env("VK_ICD_FILENAMES", drivers).env("MESA_SHADER_CACHE_DIR", cache);
    }
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn prepared() -> Place {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(24));
    place.put("dev.tsv", &mood_tsv(6));
    place
}

/// What must be the same: the model, the trained states, and the log without times.
type Left = (Vec<u8>, Vec<(String, Vec<u8>)>, Vec<Value>);

fn left(place: &Place) -> Left {
    let log = place.log().into_iter().map(|mut line| {
        line.as_object_mut().unwrap().remove("seconds");
        line
    });
    let out = place.out();
    (
        std::fs::read(out.join("model.safetensors")).unwrap(),
        tensors(&out.join("run/checkpoint.safetensors")),
        log.collect(),
    )
}

fn finish(place: &Place, more: &[&str]) -> Left {
    let ended = spawn(place, more).wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    left(place)
}

/// Waits until `what` is true, at most as long as a slow machine needs.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The time at which the checkpoint was last replaced.
fn saved(place: &Place) -> Option<std::time::SystemTime> {
    std::fs::metadata(place.out().join("run/checkpoint.safetensors")).and_then(|m| m.modified()).ok()
}

/// Whether a checkpoint is being written.
fn is_writing(place: &Place) -> bool {
    let entries = std::fs::read_dir(place.out().join("run")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(".checkpoint") && name.ends_with(".partial")
    })
}

/// Kills runs with SIGKILL until that has happened `kills` times, and `inside` times while a checkpoint was written.
/// Each run continues the one before, and the last one runs to the end.
fn kill_and_resume(kills: usize, inside: usize, more: &[&str]) {
    let whole = prepared();
    let expected = finish(&whole, more);
    let resume = [more, &["--resume"]].concat();
    let mut place = prepared();
    let (mut done, mut amid, mut state) = (0, 0, 1_u32);
    while done < kills || amid < inside {
        assert!(done < 20 * kills, "{amid} of {done} kills were amid a write");
        let before = saved(&place);
        let mut child = spawn(&place, &resume);
        let mut ended = false;
        let mut is_alive = |child: &mut Child| {
            ended = child.try_wait().unwrap().is_some();
            !ended
        };
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Some are killed before they have done anything, most after a few steps.
        if done % 5 != 4 {
            until("a checkpoint", || !is_alive(&mut child) || saved(&place) != before);
        }
        std::thread::sleep(Duration::from_micros(u64::from(state >> 16) % 15_000));
        if amid < inside {
            until("a write", || !is_alive(&mut child) || is_writing(&place));
        }
        child.kill().unwrap();
        let status = child.wait_with_output().unwrap();
        if status.status.success() {
            // It finished before it could be killed.
            assert_eq!(left(&place), expected);
            place = prepared();
            continue;
        }
        let text = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(status.status.code().is_none(), "killed, not failed: {text}");
        done += 1;
        amid += usize::from(is_writing(&place));
        // Any existing checkpoint is complete.
        let checkpoint = place.out().join("run/checkpoint.safetensors");
        if checkpoint.exists() {
            assert_eq!(tensors(&checkpoint).len(), expected.1.len());
        }
        if place.out().join("model.safetensors").exists() {
            assert_eq!(
                tensors(&place.out().join("model.safetensors")).len(),
                tensors(&whole.out().join("model.safetensors")).len()
            );
        }
    }
    let found = finish(&place, &resume);
    assert!(found == expected, "{} kills: other bits than those of a run that nobody stopped", done);
    assert!(!is_writing(&place), "what was left half done is cleared away");
    eprintln!("{done} kills, {amid} of them amid the writing of a checkpoint");
}

#[test]
fn killed_twenty_times_it_ends_with_the_same_weights() {
    kill_and_resume(20, 5, &CPU);
}

/// The same on lavapipe, if it is available.
#[test]
fn killed_twenty_times_on_a_gpu_too() {
    let mut info = command(&["info", "--json"]);
    if let Some(drivers) = std::env::var_os("VK_ICD_FILENAMES") {
        info.env("VK_ICD_FILENAMES", drivers);
    }
    let output = info.output().unwrap();
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    let adapters = info["adapters"].as_array().unwrap();
    let Some(adapter) = adapters.iter().find(|a| a["name"].as_str().unwrap().contains("llvmpipe")) else {
        assert!(std::env::var_os("CLOZE_TEST_ADAPTERS").is_none_or(|v| v != "all"), "no llvmpipe here");
        eprintln!("SKIPPED: no llvmpipe here");
        return;
    };
    kill_and_resume(20, 5, &["--device", adapter["device"].as_str().unwrap(), "--max-steps", "40"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let expected = finish(&prepared(), &[&CPU[..], &["--seed", "3"]].concat());
    let place = prepared();
    let child = spawn(&place, &[&CPU[..], &["--seed", "3"]].concat());
    until("a checkpoint", || saved(&place).is_some());
    // Only one process may train in a directory.
    let other = spawn(&place, &[&CPU[..], &["--seed", "3", "--resume"]].concat()).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && text.contains("another process trains in"), "{text}");
    let stop = |child: &Child, signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    stop(&child, "-INT");
    let ended = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{text}");
    assert!(text.contains("--resume goes on from there"), "{text}");
    let step = place.losses().len();
    assert!(text.contains(&format!("stopped after step {step}:")), "{step}: {text}");
    // SIGTERM, which ends services, stops it in the same way.
    let before = saved(&place);
    let child = spawn(&place, &[&CPU[..], &["--seed", "3", "--resume"]].concat());
    until("a step", || saved(&place) != before);
    stop(&child, "-TERM");
    let ended = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(130) && text.contains("--resume goes on from there"), "{text}");
    assert!(
        finish(&place, &[&CPU[..], &["--seed", "3", "--resume"]].concat()) == expected,
        "other bits after step {step}"
    );
    // Nothing is left to do, so it ends at once.
    assert!(finish(&place, &[&CPU[..], &["--seed", "3", "--resume"]].concat()) == expected);
}
