//! Small BERT checkpoints, written without the code under test.

use std::fs;
use std::path::Path;

use cloze::tensor::DType;
use half::{bf16, f16};

/// H 8, N 2, F 12, V 19, 2 layers. All sizes are different.
pub const CONFIG: &str = r#"{"model_type": "bert", "architectures": ["BertForQuestionAnswering"], "vocab_size": 19,
"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "hidden_act": "gelu",
"max_position_embeddings": 16, "type_vocab_size": 3, "torch_dtype": "float32", "custom": {"kept": [1, 2]}}"#;

#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), dtype: "F32".into(), shape: shape.into(), bytes }
    }

    /// The values of an F32 tensor.
    pub fn values(&self) -> Vec<f32> {
        assert_eq!(self.dtype, "F32");
        self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// An F32 tensor, converted to a narrower float type.
    pub fn cast(&self, dtype: DType) -> Self {
        let values = self.values();
        let bytes = match dtype {
            DType::F32 => self.bytes.clone(),
            DType::F64 => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            DType::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            DType::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            DType::I8 => unreachable!("not a cast"),
        };
        Self { dtype: dtype.name().to_uppercase(), bytes, ..self.clone() }
    }
}

/// Every tensor of the model that `CONFIG` describes, with a question answering head, in F32 with values in -1..1.
pub fn tensors() -> Vec<Tensor> {
    let (h, f, v, p, t) = (8, 12, 19, 16, 3);
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("bert.embeddings.word_embeddings.weight".into(), vec![v, h]),
        ("bert.embeddings.position_embeddings.weight".into(), vec![p, h]),
        ("bert.embeddings.token_type_embeddings.weight".into(), vec![t, h]),
        ("bert.embeddings.LayerNorm.weight".into(), vec![h]),
        ("bert.embeddings.LayerNorm.bias".into(), vec![h]),
        ("qa_outputs.weight".into(), vec![2, h]),
        ("qa_outputs.bias".into(), vec![2]),
    ];
    for layer in 0..2 {
        let mut linear = |name: &str, rows: usize, cols: usize| {
            shapes.push((format!("bert.encoder.layer.{layer}.{name}.weight"), vec![rows, cols]));
            shapes.push((format!("bert.encoder.layer.{layer}.{name}.bias"), vec![rows]));
        };
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            linear(name, h, h);
        }
        linear("intermediate.dense", f, h);
        linear("output.dense", h, f);
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            shapes.push((format!("bert.encoder.layer.{layer}.{name}.weight"), vec![h]));
            shapes.push((format!("bert.encoder.layer.{layer}.{name}.bias"), vec![h]));
        }
    }
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
            Tensor::f32s(&name, &shape, &values)
        })
        .collect()
}

/// A safetensors file with these tensors, in this order.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut start = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|t| {
            let end = start + t.bytes.len();
            let text = format!(
                r#""{}":{{"dtype":"{}","shape":{:?},"data_offsets":[{start},{end}]}}"#,
                t.name, t.dtype, t.shape
            );
            start = end;
            text
        })
        .collect();
    let data: Vec<u8> = tensors.iter().flat_map(|t| t.bytes.iter().copied()).collect();
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

/// A safetensors file with this header, valid or not.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A model directory with these tensors in one file.
pub fn save(dir: &Path, tensors: &[Tensor]) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.json"), CONFIG).unwrap();
    fs::write(dir.join("model.safetensors"), safetensors(tensors)).unwrap();
}

/// A model directory with these tensors in `n` shards, and an index.
pub fn save_sharded(dir: &Path, tensors: &[Tensor], n: usize) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.json"), CONFIG).unwrap();
    let shard = |i: usize| format!("model-{:05}-of-{n:05}.safetensors", i + 1);
    for i in 0..n {
        let part: Vec<Tensor> = tensors.iter().skip(i).step_by(n).cloned().collect();
        fs::write(dir.join(shard(i)), safetensors(&part)).unwrap();
    }
    let map: Vec<String> =
        tensors.iter().enumerate().map(|(i, t)| format!(r#""{}": "{}""#, t.name, shard(i % n))).collect();
    save_index(dir, &map.join(", "));
}

/// An index with this text inside its `weight_map`.
pub fn save_index(dir: &Path, map: &str) {
    let index = format!(r#"{{"metadata": {{"total_size": 1}}, "weight_map": {{{map}}}}}"#);
    fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
}
