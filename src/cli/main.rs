//! The command line: a thin shell over `tasks` and `checkpoint`. It holds no maths.

mod answer;
mod args;
mod bench;
mod convert;
mod eval;
mod info;
mod show;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CLOZE_LOG").unwrap_or_else(|_| "cloze=warn".into()),
        )
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let Cli { command, common } = Cli::parse();
    let done = match command {
        Command::Answer(args) => answer::run(&args, &common),
        Command::Eval(args) => eval::run(&args, &common),
        Command::Convert(args) => convert::run(&args, &common),
        Command::Info => info::run(&common),
        Command::Bench(args) => bench::run(&args, &common),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the results has seen enough: `cloze … | head` is no failure.
        Err(cloze::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            show::error(&error, common.json);
            ExitCode::from(1)
        }
    }
}
