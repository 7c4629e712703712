//! Compares training with PyTorch on every device: gradients of every parameter for every head, with and without
//! dropout, and the losses of ten optimizer steps.

use std::path::Path;

use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::{BatchSizes, Cancel, Cpu, Device};
use cloze::ops::adamw::AdamW;
use cloze::train::schedule::Schedule;
use cloze::train::{Labels, Method, TrainOptions, Trainer};
use safetensors::SafeTensors;

use crate::models::golden::Expected;
use crate::support::devices::{TestDevice, for_each_device};
use crate::support::fixture;

/// The models, their directories, and their heads.
const CASES: [(&str, &str, Head); 9] = [
    ("tiny", "encoder", Head::QuestionAnswering),
    ("masked-lm", "heads", Head::MaskedLm),
    ("masked-lm-untied", "heads", Head::MaskedLm),
    ("next-sentence", "heads", Head::NextSentence),
    ("pre-training", "heads", Head::PreTraining),
    ("classification", "heads", Head::SequenceClassification),
    ("regression", "heads", Head::SequenceClassification),
    ("multi-label", "heads", Head::SequenceClassification),
    ("token-classification", "heads", Head::TokenClassification),
];

/// The seed in the script that wrote the fixtures.
pub const SEED: u64 = 11;
pub const SCHEDULE: Schedule = Schedule { peak: 2e-3, warmup: 2, total: 10 };

/// A model, its batch, and PyTorch's results.
pub struct Case {
    pub name: &'static str,
    head: Head,
    directory: std::path::PathBuf,
    expected: Expected,
    file: Vec<u8>,
}

impl Case {
    pub fn all() -> impl Iterator<Item = Case> {
        CASES.into_iter().map(|(name, ..)| Self::of(name, ""))
    }

    /// The model with adapters.
    pub fn adapted(name: &str) -> Case {
        Self::of(name, "lora-")
    }

    fn of(name: &str, variant: &str) -> Case {
        let (name, kind, head) = CASES.into_iter().find(|(known, ..)| *known == name).expect("a case");
        let directory = fixture(kind).join(name);
        let expected = Expected::read(&directory.join("expected.safetensors"));
        let file = fixture("gradients").join(format!("{variant}{name}.safetensors"));
        Case { name, head, directory, expected, file: std::fs::read(file).expect("a fixture") }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.file).expect("safetensors")
    }

    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let bytes = self.tensors().tensor(name).ok()?.data().to_vec();
        Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    pub fn trainer(&self, test: &TestDevice, options: TrainOptions) -> Trainer {
        let checkpoint = Checkpoint::open(Path::new(&self.directory)).expect("a model");
        Trainer::new(checkpoint, self.head, test.device.clone(), options).expect("it loads")
    }

    /// The loss of one batch. Its gradients are kept, or used for a step at `rate`.
    pub fn run(&self, trainer: &mut Trainer, rate: Option<f64>) -> f64 {
        self.try_run(trainer, 1.0, rate).expect("it runs")
    }

    /// The same, times `share`.
    fn try_run(&self, trainer: &mut Trainer, share: f32, rate: Option<f64>) -> cloze::Result<f64> {
        let floats = self.floats("labels").expect("labels");
        let words: Vec<u32> = floats.iter().map(|v| v.to_bits()).collect();
        let next: Vec<u32> = self.floats("next").unwrap_or_default().iter().map(|v| v.to_bits()).collect();
        let spans: Vec<[u32; 2]> = words.chunks_exact(2).map(|s| [s[0], s[1]]).collect();
        let labels = match (self.head, self.name) {
            (Head::QuestionAnswering, _) => Labels::Spans(&spans),
            (Head::PreTraining, _) => Labels::PreTraining { words: &words, next: &next },
            (_, "regression" | "multi-label") => Labels::Targets(&floats),
            _ => Labels::Classes(&words),
        };
        let (batch, cancel) = (&self.expected.batch, Cancel::new());
        block_on(async {
            match rate {
                None => trainer.accumulate(batch, &labels, share, &cancel).await,
                Some(rate) => trainer.step(batch, &labels, share, rate, &cancel).await,
            }
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn batch(&self) -> &Batch {
        &self.expected.batch
    }

    /// The names in the fixture of one kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        self.tensors().names().iter().filter_map(|name| name.strip_prefix(kind)).map(str::to_owned).collect()
    }

    /// Checks max |g - g*| <= 1e-3 max |g*| + 1e-6 for every trained parameter. Returns their number.
    pub fn compare(&self, trainer: &Trainer, kind: &str, device: &str) -> usize {
        let mut trained = 0;
        let names: Vec<String> = trainer.names().map(str::to_owned).collect();
        for name in names {
            let Some(found) = block_on(trainer.gradient(&name)).expect("it reads") else { continue };
            trained += 1;
            let expected = self.floats(&format!("{kind}{name}")).unwrap_or_else(|| panic!("{name} in the fixture"));
            assert_eq!(found.len(), expected.len(), "{name}");
            let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let off = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
            let bound = 1e-3 * largest + 1e-6;
            assert!(off <= bound, "{} {kind}{name} on {device}: off by {off:.2e} of {largest:.2e}", self.name);
        }
        trained
    }
}

#[test]
fn gradients_of_every_head_are_pytorchs() {
    for_each_device(|test| {
        for case in Case::all() {
            for (kind, dropout) in [("g.", false), ("d.", true)] {
                let mut trainer = case.trainer(test, TrainOptions { dropout, seed: SEED, ..TrainOptions::default() });
                let loss = case.run(&mut trainer, None);
                if !dropout {
                    let expected = f64::from(case.floats("loss").expect("a loss")[0]);
                    assert!((loss - expected).abs() <= 1e-4, "{} on {}: {loss}, not {expected}", case.name, test.name);
                }
                let trained = case.compare(&trainer, kind, &test.name);
                assert_eq!(trained, case.names(kind).len(), "{}: as many as PyTorch has", case.name);
            }
        }
    });
}

#[test]
fn ten_steps_have_pytorchs_losses() {
    for_each_device(|test| {
        for case in Case::all() {
            let mut trainer = case.trainer(test, TrainOptions { seed: SEED, ..TrainOptions::default() });
            for (step, expected) in (0..).zip(case.floats("losses").expect("losses")) {
                let loss = case.run(&mut trainer, Some(SCHEDULE.rate(step)));
                let off = (loss - f64::from(expected)).abs();
                assert!(off <= 1e-4, "{} on {}, step {step}: {loss}, not {expected}", case.name, test.name);
            }
        }
    });
}

/// A gradient in two halves, the parameters that a method leaves alone, and the same bits from the same seed.
#[test]
fn steps_accumulate_freeze_and_repeat() {
    let cpu = |threads| TestDevice { name: "cpu".into(), device: Device::Cpu(Cpu::new(threads)).into() };
    let case = Case::all().find(|case| case.name == "classification").expect("a case");
    let weight = "bert.encoder.layer.0.intermediate.dense.weight";
    let whole = |options: TrainOptions, threads| {
        let mut trainer = case.trainer(&cpu(threads), options);
        for step in 0..3 {
            case.run(&mut trainer, Some(SCHEDULE.rate(step)));
        }
        trainer
    };
    let value = |trainer: &Trainer, name: &str| block_on(trainer.parameter(name)).expect("it reads");
    let options = TrainOptions { seed: SEED, ..TrainOptions::default() };
    let trained = value(&whole(options.clone(), 1), weight);
    assert_eq!(trained, value(&whole(options.clone(), 2), weight), "the same bits for any number of threads");
    let other = TrainOptions { seed: SEED + 1, ..options.clone() };
    assert_ne!(trained, value(&whole(other, 1), weight), "another seed, another dropout");

    let fresh = case.trainer(&cpu(1), options.clone());
    let bias = "bert.encoder.layer.0.intermediate.dense.bias";
    for (method, changed) in [(Method::Full, [true, true]), (Method::BitFit, [false, true]), (Method::Head, [false; 2])]
    {
        let trainer = whole(TrainOptions { method: method.clone(), ..options.clone() }, 1);
        for (name, changed) in [(weight, changed[0]), (bias, changed[1]), ("classifier.weight", true)] {
            assert_eq!(value(&trainer, name) != value(&fresh, name), changed, "{method:?} {name}");
        }
    }

    let mut once = case.trainer(&cpu(1), TrainOptions { dropout: false, ..options.clone() });
    let mut twice = case.trainer(&cpu(1), TrainOptions { dropout: false, ..options });
    case.run(&mut once, None);
    for _ in 0..2 {
        case.run(&mut twice, None);
    }
    let gradient = |trainer: &Trainer| block_on(trainer.gradient(weight)).expect("it reads").expect("trained");
    for (once, twice) in gradient(&once).iter().zip(gradient(&twice)) {
        assert!((2.0 * once - twice).abs() <= 1e-6, "{once} twice is {twice}");
    }
}

#[test]
fn an_optimizer_that_cannot_be_is_refused() {
    let case = Case::all().next().expect("a case");
    let usual = TrainOptions::default().optimizer;
    for (optimizer, name) in [
        (AdamW { beta1: 1.0, ..usual }, "beta1"),
        (AdamW { beta2: f32::NAN, ..usual }, "beta2"),
        (AdamW { eps: 0.0, ..usual }, "epsilon"),
        (AdamW { decay: -0.1, ..usual }, "weight_decay"),
        (AdamW { max_norm: f32::INFINITY, ..usual }, "max_grad_norm"),
    ] {
        let checkpoint = Checkpoint::open(case.directory()).expect("a model");
        let options = TrainOptions { optimizer, ..TrainOptions::default() };
        let error = Trainer::new(checkpoint, case.head, Device::Cpu(Cpu::new(1)), options).expect_err(name);
        assert!(error.code() == "option" && error.to_string().starts_with(name), "{error}");
    }
}

/// A loss or gradients that are not finite give an error. Then the model continues as if they had not been computed.
#[test]
fn a_step_that_is_not_finite_is_not_taken() {
    for_each_device(|test| {
        let case = Case::all().find(|case| case.name == "classification").expect("a case");
        let options = TrainOptions { seed: SEED, ..TrainOptions::default() };
        let [mut trainer, mut plain] = [(); 2].map(|()| case.trainer(test, options.clone()));
        let read = |trainer: &Trainer, name: &str| block_on(trainer.parameter(name)).expect("it reads");
        for trainer in [&mut trainer, &mut plain] {
            case.run(trainer, Some(1e-3));
        }
        let refused = |trainer: &mut Trainer, share, part: &str| {
            let before = trainer.counters();
            let error = case.try_run(trainer, share, Some(1e-3)).expect_err(part);
            assert!(error.code() == "diverged" && error.to_string().contains(part), "{error} on {}", test.name);
            assert_eq!(trainer.counters(), before, "{}", test.name);
        };
        for rate in [f64::NAN, f64::INFINITY, 1e300, -1e-3] {
            let error = case.try_run(&mut trainer, 1.0, Some(rate)).expect_err("no rate");
            assert!(error.code() == "option" && error.to_string().contains("invalid learning rate"), "{error}");
        }
        // The loss is finite, but the squares of its gradients are not.
        refused(&mut trainer, 1e30, "norm of the gradients");
        let weight = "classifier.weight";
        let good = read(&trainer, weight);
        block_on(trainer.set_parameter(weight, &vec![3e38; good.len()])).expect("it is trained");
        refused(&mut trainer, 1.0, "the loss is");
        block_on(trainer.set_parameter(weight, &good)).expect("it is trained");
        for trainer in [&mut trainer, &mut plain] {
            case.run(trainer, Some(1e-3));
        }
        for name in plain.names() {
            assert!(read(&trainer, name) == read(&plain, name), "{name} on {}", test.name);
        }
    });
}

/// Layers that are computed again: the same gradients with less memory, for the same kernels.
#[test]
fn checkpoints_of_activations_change_no_bit() {
    for_each_device(|test| {
        for case in Case::all().filter(|case| ["tiny", "pre-training"].contains(&case.name)) {
            let gradients = |checkpoint_activations| {
                let options = TrainOptions { seed: SEED, checkpoint_activations, ..TrainOptions::default() };
                let mut trainer = case.trainer(test, options);
                case.run(&mut trainer, None);
                let names: Vec<String> = trainer.names().map(str::to_owned).collect();
                let all: Vec<_> =
                    names.iter().map(|name| block_on(trainer.gradient(name)).expect("it reads")).collect();
                (all, trainer.activation_bytes(), trainer.kernels())
            };
            let (kept, repeated) = (gradients(false), gradients(true));
            assert!(kept.0 == repeated.0, "{} on {}", case.name, test.name);
            assert!(repeated.1 < kept.1, "{} bytes, without {}, on {}", repeated.1, kept.1, test.name);
            assert_eq!(kept.2, repeated.2, "{}", test.name);
        }
    });
}

/// Batches that cannot make a step: too large for any machine, without labels, or no batch at all. The model continues
/// as if it had not been asked.
#[test]
fn what_gives_no_step_is_refused() {
    let cpu = TestDevice { name: "cpu".into(), device: Device::Cpu(Cpu::new(1)).into() };
    let case = Case::all().find(|case| case.name == "token-classification").expect("a case");
    let options = TrainOptions { dropout: false, ..TrainOptions::default() };
    let expected = case.run(&mut case.trainer(&cpu, options.clone()), Some(1e-3));

    let mut trainer = case.trainer(&cpu, options);
    let most = BatchSizes { tokens: 1 << 30, sequences: 1 << 20, longest: 1 << 10, picked: 0 };
    let error = block_on(trainer.reserve(most)).expect_err("there is no such machine");
    assert_eq!(error.code(), "memory");
    assert!(error.to_string().contains("Use smaller batches"), "{error}");
    let none = vec![Labels::NONE; case.batch().tokens()];
    let cancel = Cancel::new();
    let mut refused = |labels: &[u32], share: f32, code: &str, words: &str| {
        let labels = Labels::Classes(labels);
        let error = block_on(trainer.accumulate(case.batch(), &labels, share, &cancel)).expect_err(words);
        assert!(error.code() == code && error.to_string().contains(words), "{error}");
        let error = block_on(trainer.update(1e-3)).expect_err("nothing was accumulated");
        assert!(error.code() == "input" && error.to_string().contains("there are no gradients"), "{error}");
    };
    refused(&none, 1.0, "input", "there is nothing to learn from");
    let one = vec![0; none.len()];
    for share in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(&one, share, "option", "invalid share");
    }
    assert_eq!(case.run(&mut trainer, Some(1e-3)), expected);
    assert_eq!(trainer.steps(), 1);
}
