//! Runs the real binary.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The results as objects, one from each line.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The code and message of an error that --json wrote. stdout must be empty.
    pub fn error(&self) -> (String, String) {
        assert_eq!(self.out, "", "{}", self.err);
        let last = self.err.lines().last().expect("an error");
        let object: Value = serde_json::from_str(last).expect(last);
        let text = |key: &str| object["error"][key].as_str().expect(last).to_owned();
        // A wrong argument is wrong usage.
        let status = if text("code") == "option" { 2 } else { 1 };
        assert_eq!(self.code, Some(status), "{}", self.err);
        (text("code"), text("message"))
    }
}

/// The binary as on a server: a machine without a GPU and without a session.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
    command.args(args).env("VK_ICD_FILENAMES", "").env_remove("XDG_RUNTIME_DIR").env_remove("CLOZE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(args: &[&str]) -> Ran {
    run_with(args, b"")
}

pub fn run_with(args: &[&str], stdin: &[u8]) -> Ran {
    let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    // A program that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
