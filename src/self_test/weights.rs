//! The model of the self-test. Its weights come from an integer hash, so no file needs to store them.
//!
//! A number is q / 256, q / 512 or q / 1024, depending on its row. q is a whole number in -127..=127, from a hash of
//! the tensor's name and the element's place. Every type of weights can store these numbers exactly, so all types have
//! the same expected results. `tests/oracle/self_test.py` has the same formula.

use half::f16;

use crate::checkpoint::{Checkpoint, Head, names};
use crate::config::{Config, I8_ROWS};
use crate::error::Result;
use crate::tensor::DType;

/// H, the hidden size.
const HIDDEN: usize = 64;
/// F, the feed-forward size. It is not a multiple of any device's block.
const FEED_FORWARD: usize = 100;
/// V, the vocabulary size.
pub(super) const VOCAB: u32 = 97;
const LAYERS: usize = 2;
/// The longest sequence.
const POSITIONS: usize = 80;
const TYPES: usize = 2;

/// The question answering model with `heads` heads, and with its matrices stored as `dtype`: F32, F16 or I8.
pub(super) fn checkpoint(heads: usize, dtype: DType) -> Result<Checkpoint> {
    let mut json = serde_json::json!({
        "architectures": [Head::QuestionAnswering.architecture()], "hidden_size": HIDDEN,
        "num_attention_heads": heads, "num_hidden_layers": LAYERS, "intermediate_size": FEED_FORWARD,
        "vocab_size": VOCAB, "max_position_embeddings": POSITIONS, "type_vocab_size": TYPES, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    });
    if dtype == DType::I8 {
        json["quantization"] = serde_json::json!({ "format": I8_ROWS });
    }
    let json = json.to_string();
    let config = Config::from_json(json.as_bytes(), "the self-test's configuration")?;
    let mut file = File::default();
    for param in names::params(&config, Head::QuestionAnswering) {
        let shape = if param.is_vector { vec![param.cols] } else { vec![param.rows, param.cols] };
        let quantized = (0..param.rows * param.cols).map(|i| element(&param.name, i));
        // A LayerNorm multiplies by about 1.
        let around = if param.name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let values = quantized.clone().enumerate().map(|(i, q)| around + q as f32 * scale(i / param.cols));
        match dtype {
            DType::I8 if param.in_i8 => {
                file.add(&param.name, "I8", &shape, quantized.map(|q| q as i8 as u8));
                let scales = (0..param.rows).flat_map(|row| scale(row).to_le_bytes());
                file.add(&format!("{}.scale", param.name), "F32", &[param.rows], scales);
            }
            DType::F16 if !param.is_vector => {
                file.add(&param.name, "F16", &shape, values.flat_map(|v| f16::from_f32(v).to_le_bytes()));
            }
            _ => file.add(&param.name, "F32", &shape, values.flat_map(f32::to_le_bytes)),
        }
    }
    Checkpoint::from_bytes(json.as_bytes(), file.finish())
}

/// The unit of a row's elements.
fn scale(row: usize) -> f32 {
    1.0 / (256_u32 << (row % 3)) as f32
}

/// Element `i` of the tensor `name`, in units of its row's scale: FNV-1a of the name, then a mix of that and `i`.
fn element(name: &str, i: usize) -> i32 {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut x = seed.wrapping_add((i as u32).wrapping_mul(0x9e37_79b9));
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    (x % 255) as i32 - 127
}

/// A safetensors file under construction.
#[derive(Default)]
struct File {
    header: serde_json::Map<String, serde_json::Value>,
    data: Vec<u8>,
}

impl File {
    fn add(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: impl Iterator<Item = u8>) {
        let start = self.data.len();
        self.data.extend(bytes);
        let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, self.data.len()] });
        self.header.insert(name.into(), entry);
    }

    fn finish(self) -> Vec<u8> {
        let header = serde_json::Value::Object(self.header).to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &self.data].concat()
    }
}
