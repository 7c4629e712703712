//! Completions for shells, and manual pages.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use cloze::{Error, Result};

/// Print the completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze completions bash > ~/.local/share/bash-completion/completions/cloze
  cloze completions zsh > ~/.zfunc/_cloze
  cloze completions fish > ~/.config/fish/completions/cloze.fish")]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cloze", &mut text);
    print(&text)
}

/// Print the manual page, or write a manual page for every command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze man | man -l -
  cloze man --output ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Write cloze.1 and one page per command into this existing directory
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

pub fn man(args: &ManArgs, mut command: Command) -> Result<()> {
    let Some(dir) = &args.output else { return print(&page(&command)?) };
    command.build();
    write_pages(&command, "cloze", dir)
}

fn write_pages(command: &Command, name: &str, dir: &std::path::Path) -> Result<()> {
    // The name of a page is that of the whole command.
    let titled = command.clone().display_name(name.to_owned());
    cloze::files::write_atomically(&dir.join(format!("{name}.1")), &page(&titled)?)?;
    let inner = command.get_subcommands().filter(|c| c.get_name() != "help");
    inner.into_iter().try_for_each(|c| write_pages(c, &format!("{name}-{}", c.get_name()), dir))
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut text).map_err(|e| Error::io("write", "a manual page", e))?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(text).map_err(|e| Error::io("write", "stdout", e))
}
