//! Methods that train a part of a model: gradients equal those of PyTorch, or of PEFT for adapters, and the other
//! parameters have none.

use std::collections::{BTreeMap, BTreeSet};

use cloze::block_on;
use cloze::checkpoint::Checkpoint;
use cloze::checkpoint::adapter::{Adapter, Base, Lora};
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::Model;
use cloze::train::save;
use cloze::train::{Method, TrainOptions, Trainer};

use crate::support::devices::{TestDevice, for_each_device};
use crate::support::fixture;
use crate::training::pytorch::{Case, SCHEDULE, SEED};

/// The same cases as in the script that wrote the fixtures.
fn cases() -> impl Iterator<Item = (Case, Lora)> {
    let of = |name, targets: &[&str], dropout| {
        let case = Case::adapted(name);
        (case, Lora { r: 4, alpha: 8.0, dropout, targets: targets.iter().map(|t| (*t).to_owned()).collect() })
    };
    [of("tiny", &["query", "value"], 0.0), of("classification", &["query", "key", "value", "dense"], 0.25)].into_iter()
}

fn trainer(case: &Case, lora: &Lora, test: &TestDevice, dropout: bool) -> Trainer {
    let options = TrainOptions { method: Method::Lora(lora.clone()), dropout, seed: SEED, ..TrainOptions::default() };
    let trainer = case.trainer(test, options);
    for name in case.names("start.") {
        let values = case.floats(&format!("start.{name}")).expect("a start");
        block_on(trainer.set_parameter(&name, &values)).expect("it is there");
    }
    trainer
}

#[test]
fn gradients_of_adapters_are_pefts() {
    for_each_device(|test| {
        for (case, lora) in cases() {
            for (kind, dropout) in [("g.", false), ("d.", true)] {
                let mut trainer = trainer(&case, &lora, test, dropout);
                let loss = case.run(&mut trainer, None);
                if !dropout {
                    let expected = f64::from(case.floats("loss").expect("a loss")[0]);
                    assert!((loss - expected).abs() <= 1e-4, "{} on {}: {loss}, not {expected}", case.name, test.name);
                }
                let trained = case.compare(&trainer, kind, &test.name);
                assert_eq!(trained, case.names(kind).len(), "{}: as many as PEFT trains", case.name);
            }
        }
    });
}

#[test]
fn ten_steps_of_adapters_have_the_oracles_losses() {
    for_each_device(|test| {
        for (case, lora) in cases() {
            let mut trainer = trainer(&case, &lora, test, true);
            for (step, expected) in (0..).zip(case.floats("losses").expect("losses")) {
                let loss = case.run(&mut trainer, Some(SCHEDULE.rate(step)));
                let off = (loss - f64::from(expected)).abs();
                assert!(off <= 1e-4, "{} on {}, step {step}: {loss}, not {expected}", case.name, test.name);
            }
        }
    });
}

/// The training in a page is tested with the same values (web/tests/train.test.mjs).
#[test]
fn ten_steps_of_adapters_from_a_seed_have_the_oracles_losses() {
    let text = std::fs::read(fixture("train").join("lora-losses.json")).expect("a fixture");
    let losses: BTreeMap<String, Vec<f64>> = serde_json::from_slice(&text).expect("JSON");
    for_each_device(|test| {
        for (case, lora) in cases() {
            let options = TrainOptions { method: Method::Lora(lora), seed: SEED, ..TrainOptions::default() };
            let mut trainer = case.trainer(test, options);
            for (step, expected) in (0..).zip(&losses[case.name]) {
                let loss = case.run(&mut trainer, Some(SCHEDULE.rate(step)));
                let off = (loss - expected).abs();
                assert!(off <= 1e-4, "{} on {}, step {step}: {loss}, not {expected}", case.name, test.name);
            }
        }
    });
}

/// The adapter's two files, read again and applied to the base, give the trainer's logits.
#[test]
fn a_trainers_adapter_is_written_and_read() {
    let test = TestDevice { name: "cpu".into(), device: Device::Cpu(Cpu::new(1)).into() };
    for (case, lora) in cases() {
        let mut trainer = trainer(&case, &lora, &test, true);
        for step in 0..3 {
            case.run(&mut trainer, Some(SCHEDULE.rate(step)));
        }
        let expected = block_on(trainer.logits(case.batch(), &Cancel::new())).expect("it runs");
        let base = Checkpoint::open(case.directory()).expect("a model");
        let of = Base { model: "base".into(), revision: None, sha256: Some(base.sha256()) };
        let [config, weights] =
            block_on(save::adapter(&trainer, of)).expect("an adapter").write().expect("it is whole");
        let read = Adapter::read(&config, &weights, ["adapter_config.json", "adapter_model.safetensors"]);
        let read = read.expect("it was just written");
        assert_eq!(read.base.sha256.as_deref(), Some(base.sha256().as_str()));
        let config = base.config().clone();
        let adapted = base.adapt(&read, config).expect("they fit");
        let model = Model::load(adapted, trainer.head(), test.device.clone()).expect("it loads");
        let found = block_on(model.forward(case.batch(), &Cancel::new())).expect("it runs");
        assert_eq!(found.len(), expected[0].len());
        for (found, expected) in found.iter().zip(&expected[0]) {
            assert!((found - expected).abs() <= 1e-4, "{}: {found}, not {expected}", case.name);
        }
        let weights = block_on(save::weights(&trainer)).expect("one model of both");
        let base = Checkpoint::open(case.directory()).expect("a model");
        let config = base.config().clone();
        let adapted = base.adapt(&read, config).expect("they fit");
        let merged = safetensors::SafeTensors::deserialize(&weights).expect("it was just written");
        for (name, tensor) in merged.tensors() {
            let values: Vec<f32> = tensor.data().as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
            assert_eq!(adapted.get(&name).expect("the adapted base has it").to_f32(), values, "{name}");
        }
    }
}

/// New adapters change nothing. Computing a layer again gives the same bits with them.
#[test]
fn adapters_begin_at_nothing_and_repeat() {
    for_each_device(|test| {
        let (case, lora) = cases().nth(1).expect("a case");
        let plain = TrainOptions { seed: SEED, ..TrainOptions::default() };
        let loss = |options: TrainOptions| case.run(&mut case.trainer(test, options), None);
        let begun = loss(TrainOptions { method: Method::Lora(lora.clone()), ..plain.clone() });
        assert_eq!(begun, loss(plain.clone()), "{}", test.name);

        let gradients = |checkpoint_activations| {
            let method = Method::Lora(lora.clone());
            let mut trainer = case.trainer(test, TrainOptions { method, checkpoint_activations, ..plain.clone() });
            case.run(&mut trainer, Some(1e-3));
            case.run(&mut trainer, None);
            let names: Vec<String> = trainer.names().map(str::to_owned).collect();
            names.iter().map(|name| block_on(trainer.gradient(name)).expect("it reads")).collect::<Vec<_>>()
        };
        assert!(gradients(false) == gradients(true), "{}", test.name);
    });
}

#[test]
fn biases_or_the_head_alone_have_pytorchs_gradients() {
    for_each_device(|test| {
        for case in Case::all().filter(|case| ["tiny", "classification"].contains(&case.name)) {
            for method in [Method::BitFit, Method::Head] {
                let options = TrainOptions { method: method.clone(), seed: SEED, ..TrainOptions::default() };
                let mut trainer = case.trainer(test, options);
                case.run(&mut trainer, None);
                let trained = case.compare(&trainer, "d.", &test.name);
                let is_head = |name: &str| !name.starts_with("bert.") || name.contains("pooler");
                let wanted = |name: &&String| is_head(name) || (method == Method::BitFit && name.ends_with(".bias"));
                let expected = case.names("d.").iter().filter(wanted).count();
                assert_eq!(trained, expected, "{method:?} {}", case.name);
            }
        }
    });
}

/// The head of a language model as peft saves its module: with the decoder, although that is the table of words.
#[test]
fn a_language_models_adapter_has_what_peft_saves() {
    let whole = |adapter: &Adapter| -> BTreeSet<String> {
        adapter.tensors.iter().map(|t| t.name.clone()).filter(|name| !name.contains(".lora_")).collect()
    };
    let peft = Adapter::open(&fixture("adapters/words")).expect("peft's");
    let cpu = TestDevice { name: "cpu".into(), device: Device::Cpu(Cpu::new(1)).into() };
    for case in Case::all().filter(|case| case.name.starts_with("masked-lm")) {
        let lora = Lora { r: peft.lora.r, ..Lora::default() };
        let mut trainer = case.trainer(&cpu, TrainOptions { method: Method::Lora(lora), ..TrainOptions::default() });
        case.run(&mut trainer, Some(1e-2));
        let adapter = block_on(save::adapter(&trainer, Base::default())).expect("an adapter");
        let own = case.name == "masked-lm-untied";
        assert_eq!(whole(&adapter), whole(&peft), "{}", case.name);
        let values = |name: &str| &adapter.tensors.iter().find(|t| t.name == name).expect(name).values;
        assert_eq!(values("cls.predictions.bias"), values("cls.predictions.decoder.bias"));
        let table = block_on(trainer.parameter("bert.embeddings.word_embeddings.weight")).expect("it reads");
        assert_eq!(*values("cls.predictions.decoder.weight") == table, !own, "{}: tied, or not", case.name);
    }
}
