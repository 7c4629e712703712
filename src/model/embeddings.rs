//! The embedding sum, gathered on the host: word + token type + position, a row a token.
//!
//! The tables stay in the checkpoint: mapped, or in memory. Only the rows that a batch needs are read, so multilingual BERT's
//! 367 MB never have to fit a GPU binding, and an i8 table is widened a row at a time.

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, TABLES};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;

const WORD: &str = TABLES[0];
const KIND: &str = TABLES[1];
const POSITION: &str = TABLES[2];

/// `sum[T, H]` of `batch` into `out`, cleared first. In the order of `transformers`: word, then type, then position.
pub fn gather(checkpoint: &Checkpoint, batch: &Batch, out: &mut Vec<f32>) -> Result<()> {
    let word = checkpoint.table(WORD)?;
    let kind = checkpoint.table(KIND)?;
    let position = checkpoint.table(POSITION)?;
    let hidden = word.cols;
    out.clear();
    out.resize(batch.tokens() * hidden, 0.0);
    let mut row = vec![0.0; hidden];
    for (t, sum) in out.chunks_exact_mut(hidden).enumerate() {
        let [w, k, p] = [batch.ids[t], batch.types[t], batch.positions[t]].map(|i| i as usize);
        for (what, index, rows) in
            [("token id", w, word.rows), ("token type", k, kind.rows), ("position", p, position.rows)]
        {
            if index >= rows {
                return Err(Error::Input {
                    problem: format!("{what} {index} is outside the model's {rows}"),
                    help: "Use the model's own tokenizer and no longer sequences than max_position_embeddings".into(),
                });
            }
        }
        word.row_f32(w, sum);
        for (table, index) in [(&kind, k), (&position, p)] {
            table.row_f32(index, &mut row);
            for (s, r) in sum.iter_mut().zip(&row) {
                *s += r;
            }
        }
        if !sum.iter().all(|s| s.is_finite()) {
            let tables = [(WORD, &word, w), (KIND, &kind, k), (POSITION, &position, p)];
            let is_bad = |table: &HostTensor<'_>, index, row: &mut [f32]| {
                table.row_f32(index, row);
                !row.iter().all(|value| value.is_finite())
            };
            let bad = tables.into_iter().find(|(_, table, index)| is_bad(table, *index, &mut row));
            let (name, _, index) = bad.unwrap_or((WORD, &word, w));
            return Err(checkpoint.bad_row(name, index));
        }
    }
    Ok(())
}
