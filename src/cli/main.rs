//! The command line: it reads arguments, calls `tasks` and `checkpoint`, and prints results. It computes nothing.

mod answer;
mod args;
mod arguments;
mod batch;
mod bench;
mod common;
mod convert;
mod doctor;
mod embed;
mod eval;
mod info;
mod machine;
mod npy;
mod rerank;
mod search;
mod shell;
mod show;
mod source;
mod tasks;
mod tokenize;
mod train;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use batch::Outcome;
use cloze::{Error, Result};

/// The exit status after Ctrl-C, by the convention of shells: 128 plus the number of the signal. It is also used after
/// SIGTERM.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    quiet_device_select();
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut Cli::command()))?;
        cli.common.arguments = arguments::arguments(&matches);
        Ok(cli)
    });
    let Cli { command, common } = match parsed {
        Ok(cli) => cli,
        // Wrong usage: a message on stderr, and the exit status 2.
        Err(usage) if usage.use_stderr() => usage.exit(),
        // The user asked for the help or the version.
        Err(text) => return exit_code(text.print().map_err(stdout_failed).map(|()| Outcome::AllGood), false),
    };
    let level = if common.quiet { "cloze=error" } else { "cloze=warn" };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CLOZE_LOG").unwrap_or_else(|_| level.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(show::Logged)
        .init();
    let done = match command {
        Command::Answer(args) => answer::run(args, &common),
        Command::FillMask(args) => tasks::fill_mask(args, &common),
        Command::Classify(args) => tasks::classify(args, &common),
        Command::Tag(args) => tasks::tag(args, &common),
        Command::Embed(args) => embed::embed(args, &common),
        Command::NextSentence(args) => tasks::next_sentence(args, &common),
        Command::ZeroShot(args) => tasks::zero_shot(args, &common),
        Command::Rerank(args) => rerank::rerank(args, &common),
        Command::Search(args) => search::search(args, &common),
        Command::Tokenize(args) => tokenize::tokenize(args, &common),
        Command::Eval(args) => eval::run(&args, &common).map(|()| Outcome::AllGood),
        Command::Train(args) => train::run(args, &common).map(|()| Outcome::AllGood),
        Command::Convert(args) => convert::run(&args, &common).map(|()| Outcome::AllGood),
        Command::Info => info::run(&common).map(|()| Outcome::AllGood),
        Command::Doctor => doctor::run(&common).map(|()| Outcome::AllGood),
        Command::Bench(args) => bench::run(&args, &common).map(|()| Outcome::AllGood),
        Command::Completions(args) => shell::completions(&args, Cli::command()).map(|()| Outcome::AllGood),
        Command::Man(args) => shell::man(&args, Cli::command()).map(|()| Outcome::AllGood),
    };
    exit_code(done, common.json)
}

/// The exit status of the program, after all output is written. An error is shown first.
fn exit_code(done: Result<Outcome>, as_json: bool) -> ExitCode {
    // Otherwise the rest of the buffer could be lost silently.
    let done = done.and_then(|outcome| std::io::stdout().flush().map_err(stdout_failed).map(|()| outcome));
    match done {
        Ok(Outcome::AllGood) => ExitCode::SUCCESS,
        Ok(Outcome::BadLines) => ExitCode::from(1),
        Err(Error::Cancelled) => ExitCode::from(INTERRUPTED as u8),
        // The reader has seen enough: `cloze … | head` is not a failure.
        Err(Error::Io { source, path, .. })
            if source.kind() == ErrorKind::BrokenPipe && path == Path::new("stdout") =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            show::error(&error, as_json);
            // Wrong arguments that clap cannot detect are wrong usage, too.
            ExitCode::from(if matches!(error, Error::Option { .. }) { 2 } else { 1 })
        }
    }
}

fn stdout_failed(error: std::io::Error) -> Error {
    Error::io("write", "stdout", error)
}

/// Keeps Mesa's device-select layer out of the Vulkan loader if there is no session.
///
/// The layer puts the compositor's adapter first, and for that it connects to Wayland. Without a runtime directory, as
/// on servers, libwayland then complains on stderr whenever adapters are listed. This program orders adapters by their
/// kind, so it does not need the layer. A choice by the layer's own environment variable is respected.
fn quiet_device_select() {
    let unset = |name| std::env::var_os(name).is_none();
    if cfg!(target_os = "linux") && unset("XDG_RUNTIME_DIR") && unset("MESA_VK_DEVICE_SELECT") {
        // SAFETY: this comes first in `main`, when there is no other thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
