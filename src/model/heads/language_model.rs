//! The head of a masked language model: a transform, then one logit for each word (`BertLMPredictionHead`).
//!
//! If the decoder is tied, it is the table of word embeddings. Here it is the weight of a matmul, and can be larger
//! than one GPU binding. Then it is split along the vocabulary, and the host joins the parts of the logits.

use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::model::encoder::Recorded;
use crate::model::layer::{Pair, Shape};
use crate::ops::gather::gather;

#[derive(Debug)]
pub(super) struct LanguageModel {
    dense: Pair,
    norm: Pair,
    /// Parts of the vocabulary, in order.
    decoder: Vec<Pair>,
}

impl LanguageModel {
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let transform = "cls.predictions.transform";
        let dense = format!("{transform}.dense");
        let table = match checkpoint.config().tie_word_embeddings {
            true => checkpoint.get("bert.embeddings.word_embeddings.weight")?,
            false => checkpoint.get("cls.predictions.decoder.weight")?,
        };
        let bias = checkpoint.get("cls.predictions.bias")?.as_column();
        let most = device.max_matrix_rows(table.cols, table.dtype);
        let part = |first: usize| {
            let rows = first..table.rows.min(first + most);
            let name = |kind: &str| format!("cls.predictions.decoder.{kind}[{}..{}]", rows.start, rows.end);
            Ok(Pair::new(
                device.upload_matrix(&name("weight"), &[table.part(rows.clone())])?,
                device.upload_vector(&name("bias"), &[bias.part(rows.clone())])?,
            ))
        };
        Ok(Self {
            dense: Pair::linear(checkpoint, device, &dense, &[&dense])?,
            norm: Pair::norm(checkpoint, device, &format!("{transform}.LayerNorm"))?,
            decoder: (0..table.rows).step_by(most).map(part).collect::<Result<_>>()?,
        })
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        [&self.dense, &self.norm].into_iter().chain(&self.decoder).flat_map(Pair::weights)
    }

    /// Records the logits `[P, V]` of the picked tokens, in parts along the vocabulary.
    pub fn record(&self, g: &mut Graph, encoder: &Recorded, shape: &Shape) -> Vec<Tensor> {
        let x = gather(g, "picked_hidden", encoder.hidden, encoder.picked);
        let x = self.dense.apply(g, "transform", x, shape.activation, None);
        let x = self.norm.normalize(g, "transform_output", x, shape.eps);
        self.decoder.iter().map(|part| part.apply(g, "prediction_logits", x, Activation::Linear, None)).collect()
    }

    /// The columns of the largest part.
    pub fn widest(&self) -> usize {
        self.decoder.iter().map(|part| part.weight.rows()).max().unwrap_or(0)
    }
}
