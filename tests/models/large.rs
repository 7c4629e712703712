//! A vocabulary as large as that of multilingual BERT. Its table, 367 MB in f32, is larger than one GPU binding.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head, names};
use cloze::config::Config;
use cloze::device::lockstep::largest_difference;
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::Model;

use crate::support::devices::for_each_device;

const VOCAB: usize = 119_547;

/// The largest binding that every WebGPU implementation supports.
const BINDING: u64 = 128 << 20;

/// A masked language model with one layer and H 768, written row by row.
fn write_model(dir: &Path) {
    let json = format!(
        r#"{{"model_type": "bert", "vocab_size": {VOCAB}, "hidden_size": 768, "num_hidden_layers": 1,
        "num_attention_heads": 12, "intermediate_size": 16, "max_position_embeddings": 32}}"#
    );
    std::fs::write(dir.join("config.json"), &json).unwrap();
    let config = Config::from_json(json.as_bytes(), "config.json").unwrap();
    let params: Vec<_> = names::params(&config, Head::MaskedLm).collect();
    let (mut end, mut entries) = (0, Vec::new());
    for p in &params {
        let begin = end;
        end += p.rows * p.cols * 4;
        let shape = if p.is_vector { vec![p.cols] } else { vec![p.rows, p.cols] };
        entries.push(format!(r#""{}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#, p.name));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut file = BufWriter::new(File::create(dir.join("model.safetensors")).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let mut seed = 1_u32;
    for p in &params {
        let shift = if p.name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        for _ in 0..p.rows * p.cols {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (seed >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1 + shift;
            file.write_all(&value.to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

#[test]
fn words_are_predicted_from_a_table_larger_than_a_binding() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    let mut batch = Batch::default();
    batch.push(&[101, 0, 103, VOCAB as u32 - 1, 50_000, 102], &[0; 6]);
    batch.pick(2);
    batch.push(&[101, 103, 102], &[0; 3]);
    batch.pick(1);
    let load = |device| Model::load(Checkpoint::open(dir.path()).unwrap(), Head::MaskedLm, device).unwrap();
    let reference = load(std::sync::Arc::new(Device::Cpu(Cpu::new(2))));
    let expected = block_on(reference.forward(&batch, &Cancel::new())).unwrap();
    assert_eq!(expected.len(), 2 * VOCAB);
    assert!(expected.iter().any(|x| x.abs() > 0.5), "logits of some size");
    drop(reference);
    let mut cut = 0;
    for_each_device(|test| {
        let Device::Gpu(gpu) = &*test.device else { return };
        if gpu.limits().binding_bytes > BINDING {
            return;
        }
        let model = load(test.device.clone());
        let parts: Vec<u64> =
            model.weights().filter(|w| w.name().contains("decoder.weight")).map(|w| w.bytes()).collect();
        assert!(parts.len() >= 3 && parts.iter().all(|bytes| *bytes <= BINDING), "{parts:?}");
        let found = block_on(model.forward(&batch, &Cancel::new())).unwrap();
        let difference = largest_difference(&expected, &found);
        assert!(difference <= 1e-4, "{}: {difference}", test.name);
        cut += 1;
    });
    let required = std::env::var_os("CLOZE_TEST_ADAPTERS").is_some_and(|v| v == "all");
    assert!(cut > 0 || !required, "no adapter binds so little");
}
