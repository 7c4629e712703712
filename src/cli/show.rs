//! Output for people: errors, highlighted answers, lines of JSON.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;

use anstyle::{AnsiColor, Effects, Style};
use clap::{Command, CommandFactory};
use cloze::error::{Dialect, OptionName, Plain, Remedy, is_unseen, printable};
use cloze::{Error, Result};
use serde::Serialize;
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::Cli;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
const ANSWER: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green))).effects(Effects::BOLD);
const FAULT: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))).effects(Effects::BOLD);

/// Text without a style.
pub const PLAIN: Style = Style::new();
const WARNING: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow))).effects(Effects::BOLD);

/// The most characters of a part of a line, or of a note.
const MOST_CHARS: usize = 4000;

/// Writes a line to stdout, in parts with their own styles. If stdout is not a terminal, styles are dropped. Characters
/// that control a terminal are escaped, so all texts for people must go through here or through [`note`].
pub fn spans(parts: &[(Style, &str)]) -> Result<()> {
    let styled = |(style, text): &(Style, &str)| format!("{style}{}{style:#}", printable(text, MOST_CHARS));
    let text: String = parts.iter().map(styled).collect();
    writeln!(anstream::stdout().lock(), "{text}").map_err(|e| Error::io("write", "stdout", e))
}

/// Writes a line without styles to stdout.
pub fn line(text: &str) -> Result<()> {
    spans(&[(PLAIN, text)])
}

/// Writes an object on a line of its own.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::io("write", "stdout", e.into()))?;
    writeln!(std::io::stdout().lock(), "{}", json_text(&text)).map_err(|e| Error::io("write", "stdout", e))
}

/// The text of JSON for stdout. On a terminal, characters that control it are escaped, which does not change the JSON's
/// meaning.
pub fn json_text(text: &str) -> Cow<'_, str> {
    if !std::io::stdout().is_terminal() { Cow::Borrowed(text) } else { Cow::Owned(escaped(text)) }
}

/// The same JSON with escapes for invisible characters, which can only be in strings.
fn escaped(json: &str) -> String {
    let mut text = String::new();
    for c in json.chars() {
        if is_unseen(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text += &format!("\\u{unit:04x}"));
        } else {
            text.push(c);
        }
    }
    text
}

/// Writes a line to stderr. A failure is ignored, because nobody can read about it.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", printable(text, MOST_CHARS));
}

/// Writes the error to stderr: for people, or as an object with the stable code.
pub fn error(error: &Error, as_json: bool) {
    let mut stderr = anstream::stderr().lock();
    let _ = if as_json {
        let object = serde_json::json!({ "code": error.code(), "message": message(error) });
        writeln!(stderr, "{}", serde_json::json!({ "error": object }))
    } else {
        writeln!(stderr, "{FAULT}error:{FAULT:#} {}", message(error))
    };
}

/// The message of an error in the words of the command line.
pub fn message(error: &Error) -> String {
    error.render(&CommandLine)
}

/// The long flags of a command and its subcommands.
fn collect_flags(command: &Command, flags: &mut BTreeSet<String>) {
    flags.extend(command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)));
    command.get_subcommands().for_each(|inner| collect_flags(inner, flags));
}

/// The words of the command line for options and remedies.
struct CommandLine;

impl Dialect for CommandLine {
    /// Turns `top_k` into `--top-k`. A name that is not a flag, such as an environment variable's, stays.
    fn option(&self, OptionName(name): OptionName) -> String {
        static FLAGS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
            let mut flags = BTreeSet::new();
            collect_flags(&Cli::command(), &mut flags);
            flags
        });
        let flag = name.replace('_', "-");
        if FLAGS.contains(&flag) { format!("--{flag}") } else { name.to_owned() }
    }

    fn remedy(&self, remedy: Remedy) -> &'static str {
        match remedy {
            Remedy::UseCpu => "use --device cpu",
            Remedy::ListGpus => "`cloze info` lists the GPUs",
            Remedy::TestGpu => "`cloze doctor` says more",
            Remedy::MergeAdapter => "merge the adapter into its base: cloze convert --dtype f32",
            Remedy::ConvertToI8 => "convert the model: cloze convert --dtype i8",
            Remedy::FetchBase => "download it: cloze info --model OWNER/NAME",
            other => Plain.remedy(other),
        }
    }
}

/// Writes the library's log to stderr as notes: `warning: …`.
pub struct Logged;

impl<S, N> FormatEvent<S, N> for Logged
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut fields = String::new();
        ctx.field_format().format_fields(Writer::new(&mut fields), event)?;
        let (style, word) = match *event.metadata().level() {
            Level::ERROR => (FAULT, "error"),
            Level::WARN => (WARNING, "warning"),
            Level::INFO => (PLAIN, "info"),
            Level::DEBUG => (PLAIN, "debug"),
            Level::TRACE => (PLAIN, "trace"),
        };
        let style = if to.has_ansi_escapes() { style } else { PLAIN };
        writeln!(to, "{style}{word}:{style:#} {}", printable(&fields, MOST_CHARS))
    }
}

/// At most `most` characters of a text, with each white space as one space.
pub fn flat(text: &str, most: usize) -> String {
    // More characters than these are not needed.
    let start: String = text.chars().take(most * 4).collect();
    let mut line: String = start.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(most) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// The answer inside its sentence, as parts of a line. Without colours it is between asterisks.
pub fn highlighted(context: &str, start: usize, end: usize) -> [(Style, String); 3] {
    let (from, to) = sentence(context, start, end);
    let plain = anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
    let mark = if plain { "*" } else { "" };
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spaced = |text: &str, at_end: bool| {
        let edge = if at_end { text.chars().next_back() } else { text.chars().next() };
        if edge.is_some_and(char::is_whitespace) { " " } else { "" }
    };
    let (before, after) = (&context[from..start], &context[end..to]);
    let space = if flat(before).is_empty() { "" } else { spaced(before, true) };
    [
        (PLAIN, format!("{}{space}{mark}", flat(before))),
        (ANSWER, flat(&context[start..end])),
        (PLAIN, format!("{mark}{}{}", spaced(after, false), flat(after)).trim_end().to_owned()),
    ]
}

/// The bytes of the sentence around a span, at most a few lines.
fn sentence(context: &str, start: usize, end: usize) -> (usize, usize) {
    const MOST: usize = 300;
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '\n');
    let mut from = start;
    let mut next = ' ';
    for (at, c) in context[..start].char_indices().rev() {
        if start - at > MOST || c == '\n' || (ends(c) && next.is_whitespace()) {
            break;
        }
        (from, next) = (at, c);
    }
    let mut to = end;
    let mut rest = context[end..].char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if at > MOST || c == '\n' {
            break;
        }
        to = end + at + c.len_utf8();
        if ends(c) && rest.peek().is_none_or(|(_, c)| c.is_whitespace()) {
            break;
        }
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_on_a_terminal_is_the_same_json() {
        let object = serde_json::json!({ "a": "\u{9b}2J\u{202e}\u{7f}\u{1b}é👩\u{200d}🚀\u{e0041}" });
        let shown = escaped(&object.to_string());
        assert!(!shown.contains(is_unseen) && shown.contains('é'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), object);
    }

    #[test]
    fn a_sentence_ends_at_its_stop() {
        let text = "It rained. Mr. Fox, aged 3.5, slept\tin the den! Then it stopped.";
        let at = text.find("the den").unwrap();
        let (from, to) = sentence(text, at, at + 7);
        assert_eq!(&text[from..to], " Fox, aged 3.5, slept\tin the den!");
        let long = "word ".repeat(1000);
        let (from, to) = sentence(&long, 2500, 2504);
        assert!(to - from < 700);
    }
}
