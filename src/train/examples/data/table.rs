//! Reads rows of TSV, CSV and JSONL as values by column.

use std::io::Read;

use serde_json::Value;

use super::{At, Format, lines};
use crate::error::{Result, clip, clip_message};

/// A table: its header, if it has one, and its rows.
pub(super) struct Table<'a> {
    pub header: Option<Vec<String>>,
    pub rows: Vec<Row<'a>>,
    /// The number of rows that `is_broken` of [`read`] rejected.
    pub left_out: u64,
}

pub(super) struct Row<'a> {
    pub at: At<'a>,
    pub cells: Cells,
}

impl Row<'_> {
    /// The keys of an object.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let object = if let Cells::Object(object) = &self.cells { Some(object) } else { None };
        object.into_iter().flat_map(|object| object.keys().map(String::as_str))
    }
}

/// The contents of a row.
pub(super) enum Cells {
    /// One text for each column.
    Texts(Vec<String>),
    Object(serde_json::Map<String, Value>),
}

/// Reads a table. `is_headless` gets the first row of a TSV or CSV file and returns whether it is data. `is_broken`
/// gets the header and each row, and returns whether to omit the row.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) if the bytes are not such a table, or a row differs from the header in its
/// number of cells.
pub(super) fn read<'a>(
    file: &'a str,
    bytes: &'a [u8],
    format: Format,
    is_headless: impl Fn(&[String]) -> bool,
    is_broken: impl Fn(&[String], &[String]) -> bool,
) -> Result<Table<'a>> {
    let mut rows: Vec<Row<'a>> = match format {
        Format::Csv => csv(file, bytes)?,
        Format::Jsonl => {
            let rows = lines(file, bytes).filter(|line| !matches!(line, Ok((_, text)) if text.trim().is_empty()));
            let rows = rows.map(|line| line.and_then(|(at, text)| object(at, text))).collect::<Result<_>>()?;
            return Ok(Table { header: None, rows, left_out: 0 });
        }
        Format::Tsv | Format::Conll => {
            let rows = lines(file, bytes).filter(|line| !matches!(line, Ok((_, text)) if text.is_empty()));
            let cells = |text: &str| Cells::Texts(text.split('\t').map(str::to_owned).collect());
            rows.map(|line| line.map(|(at, text)| Row { at, cells: cells(text) })).collect::<Result<_>>()?
        }
    };
    let first = rows.first().map(|row| &row.cells);
    let header = match first {
        Some(Cells::Texts(cells)) if !is_headless(cells) => match rows.remove(0).cells {
            Cells::Texts(cells) => Some(cells),
            Cells::Object(_) => None,
        },
        _ => None,
    };
    let width = header.as_ref().map(Vec::len);
    let before = rows.len();
    if let Some(header) = &header {
        rows.retain(|row| !matches!(&row.cells, Cells::Texts(cells) if is_broken(header, cells)));
    }
    let left_out = (before - rows.len()) as u64;
    for Row { at, cells } in &rows {
        let Cells::Texts(cells) = cells else { continue };
        if let Some(width) = width.filter(|width| *width != cells.len()) {
            let problem = format!("it has {} columns, the header {width}", cells.len());
            let help = match format {
                Format::Csv => "Give every record as many as the header, with quotes around texts that hold commas",
                _ => "Give every line as many as the header; texts of a .tsv hold no tabs",
            };
            return Err(at.wrong(problem, help));
        }
    }
    Ok(Table { header, rows, left_out })
}

fn object<'a>(at: At<'a>, text: &str) -> Result<Row<'a>> {
    let wrong = |problem: String| at.wrong(problem, "Give a JSON object a line");
    match serde_json::from_str(text).map_err(|e| wrong(clip_message(&e)))? {
        Value::Object(object) => Ok(Row { at, cells: Cells::Object(object) }),
        other => Err(wrong(format!("{} is not an object", clip(&other.to_string())))),
    }
}

/// A record at the end that no file has. A quote that is never closed swallows it, which reveals the fault.
const END: &[u8] = b"\n\x01";

/// Reads CSV by RFC 4180: cells in quotes may contain commas, line ends and doubled quotes.
fn csv<'a>(file: &'a str, bytes: &[u8]) -> Result<Vec<Row<'a>>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes.chain(END));
    let mut rows = Vec::new();
    // The byte up to which lines are counted, and the line of that byte.
    let (mut counted, mut line) = (0, 1);
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(0, csv::Position::line);
            At { file, line }.wrong(clip_message(&e), "Give CSV in UTF-8, with quotes where RFC 4180 wants them")
        })?;
        // The position is where the reader began to look: before the rest of a line end, and before empty lines.
        let from = record.position().map_or(0, |position| position.byte() as usize);
        let rest = bytes.get(from..).unwrap_or_default();
        let start = from + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += bytes.get(counted..start).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = start.max(counted);
        let at = At { file, line };
        rows.push(Row { at, cells: Cells::Texts(record.iter().map(str::to_owned).collect()) });
    }
    match rows.pop() {
        Some(Row { cells: Cells::Texts(end), .. }) if end == ["\x01"] => Ok(rows),
        last => {
            let at = last.map_or(At { file, line: 0 }, |row| row.at);
            Err(at.wrong("a quote that begins here is not closed", "Close it, or write \"\" for a quote in a text"))
        }
    }
}
