//! What people see: errors, highlighted answers, lines of JSON.

use std::io::Write;

use anstyle::{AnsiColor, Effects, Style};
use cloze::{Error, Result};
use serde::Serialize;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
const ANSWER: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green))).effects(Effects::BOLD);
const FAULT: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))).effects(Effects::BOLD);

/// A line on stdout; styles are dropped where it is no terminal.
pub fn line(text: &str) -> Result<()> {
    writeln!(anstream::stdout().lock(), "{text}").map_err(|e| Error::io("write", "stdout", e))
}

/// An object on a line of its own.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::io("write", "stdout", e.into()))?;
    writeln!(std::io::stdout().lock(), "{text}").map_err(|e| Error::io("write", "stdout", e))
}

/// A line on stderr. If nobody can read it, there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// The error, on stderr: for people, or as an object with the stable code.
pub fn error(error: &Error, as_json: bool) {
    if as_json {
        let object = serde_json::json!({ "code": error.code(), "message": error.to_string() });
        note(&serde_json::json!({ "error": object }).to_string());
    } else {
        note(&format!("{FAULT}error:{FAULT:#} {error}"));
    }
}

/// At most `most` characters of a text on one line, and without what could command the terminal.
pub fn flat(text: &str, most: usize) -> String {
    // White space is one space: more characters than these are not needed.
    let start: String = text.chars().filter(|c| c.is_whitespace() || !c.is_control()).take(most * 4).collect();
    let mut line: String = start.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(most) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// The answer inside its sentence. Where there is no colour it stands between asterisks.
pub fn highlighted(context: &str, start: usize, end: usize) -> String {
    let (from, to) = sentence(context, start, end);
    let plain = anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
    let mark = if plain { "*" } else { "" };
    // On one line, and without what could command the terminal.
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace(|c: char| c.is_control(), "");
    let spaced = |text: &str, at_end: bool| {
        let edge = if at_end { text.chars().next_back() } else { text.chars().next() };
        if edge.is_some_and(char::is_whitespace) { " " } else { "" }
    };
    let (before, after) = (&context[from..start], &context[end..to]);
    format!(
        "{}{}{mark}{ANSWER}{}{ANSWER:#}{mark}{}{}",
        flat(before),
        if flat(before).is_empty() { "" } else { spaced(before, true) },
        flat(&context[start..end]),
        spaced(after, false),
        flat(after)
    )
    .trim_end()
    .to_owned()
}

/// The bytes of the sentence around a span; no more than a few lines, however long the sentence.
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
