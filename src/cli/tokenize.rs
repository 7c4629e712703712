//! `cloze tokenize`

use clap::Args;
use cloze::checkpoint::{Checkpoint, TOKENIZERS};
use cloze::config::Config;
use cloze::tasks::text_model::TextPair;
use cloze::text::{Offsets, Tokenizer};
use cloze::{Error, Result};
use serde::Serialize;

use super::batch::{self, Outcome};
use super::common::Common;
use super::tasks::Text;

/// Show the tokens of a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze tokenize 'Unaffable otters.'
  cloze tokenize 'It rained.' --pair 'The streets are wet.' --model google-bert/bert-base-uncased

Each line is {\"id\",\"token\",\"start\",\"end\",\"type\",\"special\"}. start and end count code points
of the token's text. They are 0 for [CLS] and [SEP].")]
pub struct TokenizeArgs {
    #[command(flatten)]
    pub text: Text,
    /// The second text of a pair
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub pair: Option<String>,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    token: String,
    start: usize,
    end: usize,
    #[serde(rename = "type")]
    kind: u32,
    special: bool,
}

pub fn tokenize(args: TokenizeArgs, common: &Common) -> Result<Outcome> {
    args.text.batch.check(common)?;
    let tokenizer = tokenizer(common)?;
    let Text { text, batch } = args.text;
    if let Some(text) = text {
        batch::single(&batch, &tokens(&tokenizer, &text, args.pair.as_deref())?)?;
        return Ok(Outcome::AllGood);
    }
    batch::run(&batch, common, 1, super::tasks::TEXT_PAIR, |inputs, cancel| {
        cancel.check()?;
        let line = |input: &TextPair| {
            let tokens = tokens(&tokenizer, &input.text, input.pair.as_deref())?;
            serde_json::to_string(&tokens).map_err(|e| Error::io("write", "a result", e.into()))
        };
        Ok(inputs.iter().map(line).collect())
    })
}

fn tokenizer(common: &Common) -> Result<Tokenizer> {
    match common.model_dir()? {
        Some(dir) => {
            let config = Config::open(&Checkpoint::place_of(&["config.json"], dir)?)?;
            Tokenizer::load(&Checkpoint::place_of(&TOKENIZERS, dir)?, config.vocab_size)
        }
        None => super::common::embedded_tokenizer(),
    }
}

/// The most tokens to list; each takes about a hundred bytes.
const MOST: usize = 1 << 20;

/// All tokens of the sequence that the model would read.
fn tokens(tokenizer: &Tokenizer, text: &str, pair: Option<&str>) -> Result<Vec<Token>> {
    let encode = |text: &str| {
        tokenizer.encode_short(text, MOST)?.ok_or_else(|| Error::Input {
            problem: format!("the text has more than {MOST} tokens, which are too many to list"),
            help: "Cut it into several texts".into(),
        })
    };
    let first = encode(text)?;
    let second = pair.map(encode).transpose()?;
    let sequence = match &second {
        Some(second) => tokenizer.pair(&first.ids, &second.ids),
        None => tokenizer.single(&first.ids),
    };
    let mut places = vec![None; sequence.ids.len()];
    let starts = [tokenizer.before_text(second.is_some()), tokenizer.second_start(first.len())];
    let texts = [(text, Some(&first)), (pair.unwrap_or_default(), second.as_ref())];
    for ((text, encoding), start) in texts.into_iter().zip(starts) {
        let Some(encoding) = encoding else { continue };
        let points = Offsets::in_code_points(text);
        let offsets = encoding.offsets.iter().map(|o| Some((points.at(o.start), points.at(o.end))));
        places.iter_mut().skip(start).zip(offsets).for_each(|(place, offsets)| *place = offsets);
    }
    let token = |((id, kind), place): ((&u32, &u32), Option<(usize, usize)>)| {
        let (start, end) = place.unwrap_or_default();
        let token = tokenizer.id_to_token(*id).unwrap_or_default();
        Token { id: *id, token, start, end, kind: *kind, special: place.is_none() }
    };
    Ok(sequence.ids.iter().zip(&sequence.types).zip(places).map(token).collect())
}
