//! Tokenizes for benches/tokenizer_fuzz.py.
//!
//! `tokens DIR PIECE` loads the tokenizer of a model directory. Then it reads a JSON list of texts a line from stdin, and answers
//! each with a line: of every text the ids and the starts and ends of the tokens in code points. With a PIECE that is not 0 every
//! text is tokenized in pieces of about so many bytes.

use std::io::{BufRead, Write};

use cloze::config::Config;
use cloze::text::{Offsets, Tokenizer};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, piece] = args.as_slice() else {
        // `cargo bench` starts it with nothing to do.
        eprintln!("usage: tokens DIR PIECE; benches/README.md has the command that starts it");
        return Ok(());
    };
    let dir = std::path::Path::new(dir);
    let piece: usize = piece.parse()?;
    let tokenizer = Tokenizer::load(dir, Config::open(dir)?.vocab_size)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{{\"ready\":true}}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let texts: Vec<String> = serde_json::from_str(&line?)?;
        let tokens = |text: &String| -> Result<(Vec<u32>, Vec<usize>)> {
            let mut encoder = tokenizer.encoder(text);
            if piece > 0 {
                encoder = encoder.in_pieces(piece);
            }
            while encoder.step()? {}
            let encoding = encoder.finish();
            let points = Offsets::in_code_points(text);
            let places = encoding.offsets.iter().flat_map(|o| [points.at(o.start), points.at(o.end)]).collect();
            Ok((encoding.ids, places))
        };
        let all = texts.iter().map(tokens).collect::<Result<Vec<_>>>()?;
        serde_json::to_writer(&mut out, &all)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
