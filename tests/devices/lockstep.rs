//! Compares two devices: they agree, and a kernel that was broken on purpose is found.

use cloze::batch::Batch;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::cpu::CpuCall;
use cloze::device::lockstep::{Mismatch, largest_difference, lockstep};
use cloze::device::{CallContext, CallList, Cpu, Device, Op, ParamValue, Variant};
use cloze::model::Model;
use cloze::ops::{attention, layer_norm, matmul};
use cloze::{activation::Activation, block_on};

use crate::support::devices::for_each_device;
use crate::support::fixture;

/// The tolerance of activations against PyTorch.
const TOLERANCE: f32 = 1e-4;

fn model(name: &str, device: impl Into<std::sync::Arc<Device>>) -> Model {
    let checkpoint = Checkpoint::open(&fixture("encoder").join(name)).unwrap();
    Model::load(checkpoint, Head::QuestionAnswering, device).unwrap()
}

/// Sequences of 1, 5 and 7 tokens.
fn batch() -> Batch {
    let mut batch = Batch::default();
    for length in [1, 5, 7] {
        let ids: Vec<u32> = (0..length).map(|i| (i * 31 + length) % 90).collect();
        batch.push(&ids, &vec![0; ids.len()]);
    }
    batch
}

/// The result of lockstep for `list` on `model`'s device, against `reference`.
fn compare(reference: &Model, model: &Model, list: &CallList) -> Option<Mismatch> {
    let batch = batch();
    let inputs = reference.inputs(&batch).unwrap();
    let (known, tested) = ((reference.device(), reference.list()), (model.device(), list));
    block_on(lockstep(known, tested, batch.sizes(), batch.sizes(), &inputs.list(), TOLERANCE)).unwrap()
}

#[test]
fn every_device_agrees_with_the_cpu() {
    for name in ["tiny", "odd", "i8"] {
        let reference = model(name, Device::Cpu(Cpu::new(1)));
        for_each_device(|device| {
            let tested = model(name, device.device.clone());
            assert_eq!(compare(&reference, &tested, tested.list()), None, "{name} on {}", device.name);
        });
    }
}

/// An op whose variants and twin are all broken. In its shaders, one text replaces another.
struct Broken {
    op: &'static Op,
    wgsl: [fn(&CallContext<'_>) -> Vec<&'static str>; MOST],
    twin: fn(&mut CpuCall<'_>),
    /// The activation of the broken call.
    tensor: &'static str,
}

/// A number above that of the variants of any op.
const MOST: usize = 12;

/// Defines the functions of a `Variant`, which cannot capture anything: one for each place in the op's list.
macro_rules! broken {
    ($name:ident, $op:path, $from:literal => $to:literal) => {
        mod $name {
            use super::*;

            pub fn wgsl<const I: usize>(context: &CallContext<'_>) -> Vec<&'static str> {
                let whole = ($op.variants[I].wgsl)(context).join("\n");
                let changed = whole.replace($from, $to);
                assert_ne!(whole, changed, "{} holds no {}", $op.variants[I].name, $from);
                vec![String::leak(changed)]
            }

            pub fn twin(call: &mut CpuCall<'_>) {
                ($op.twin)(call);
                call.writes[0][3] += 0.01;
            }

            pub fn all(tensor: &'static str) -> Broken {
                let wgsl: [fn(&CallContext<'_>) -> Vec<&'static str>; MOST] = [
                    wgsl::<0>, wgsl::<1>, wgsl::<2>, wgsl::<3>, wgsl::<4>, wgsl::<5>, wgsl::<6>, wgsl::<7>, wgsl::<8>,
                    wgsl::<9>, wgsl::<10>, wgsl::<11>,
                ];
                Broken { op: &$op, wgsl, twin, tensor }
            }
        }
    };
}

// A wrong eps, a wrong scale, a weight that counts too much: nothing crashes, but the numbers are wrong.
broken!(broken_layer_norm, layer_norm::OP, "params.eps" => "(params.eps + 0.1)");
broken!(broken_attention, attention::OP, "params.scale" => "(1.5 * params.scale)");
broken!(broken_matmul, matmul::OP, "sum * weight_scale(col)" => "1.1 * sum * weight_scale(col)");

impl Broken {
    fn op(&self) -> &'static Op {
        let op = self.op;
        assert!(op.variants.len() <= MOST);
        let broken = |(v, wgsl): (&Variant, fn(&CallContext<'_>) -> Vec<&'static str>)| Variant {
            name: v.name,
            family: v.family,
            fits: v.fits,
            wgsl,
            overrides: v.overrides,
            grid: v.grid,
        };
        let variants: Vec<Variant> = op.variants.iter().zip(self.wgsl).map(broken).collect();
        Box::leak(Box::new(Op {
            name: op.name,
            params: op.params,
            reads: op.reads,
            writes: op.writes,
            twin: self.twin,
            variants: variants.leak(),
            flops: op.flops,
        }))
    }
}

/// The call that writes the activation `tensor`.
fn call_of(list: &CallList, tensor: &str) -> usize {
    list.calls.iter().position(|call| list.info(call.writes[0].tensor).name == tensor).unwrap()
}

#[test]
fn a_broken_kernel_is_named() {
    let reference = model("tiny", Device::Cpu(Cpu::new(1)));
    let broken = [
        broken_matmul::all("layer.1.up"),
        broken_matmul::all("layer.0.attention_sum"),
        broken_attention::all("layer.1.context"),
        broken_layer_norm::all("layer.0.attention_output"),
    ];
    for_each_device(|device| {
        let tested = model("tiny", device.device.clone());
        for broken in &broken {
            let mut list = tested.list().clone();
            let at = call_of(&list, broken.tensor);
            assert_eq!(list.calls[at].op.name, broken.op.name);
            list.calls[at].op = broken.op();
            let found = compare(&reference, &tested, &list);
            let found = found.unwrap_or_else(|| panic!("{} on {}: not noticed", broken.tensor, device.name));
            let named = (found.call, found.op, found.tensor.as_str());
            assert_eq!(named, (at, broken.op.name, broken.tensor), "{}", device.name);
            assert!(found.difference.is_finite() && found.difference > TOLERANCE, "{}: {found:?}", device.name);
        }
    });
}

/// The same for a call with wrong parameters: no kernel is broken, but it computes something else.
#[test]
fn a_wrong_parameter_is_named() {
    let reference = model("tiny", Device::Cpu(Cpu::new(1)));
    for_each_device(|device| {
        let tested = model("tiny", device.device.clone());
        let at = call_of(tested.list(), "layer.1.up");
        let mut list = tested.list().clone();
        let field = matmul::OP.params.names.iter().position(|name| *name == "activation").unwrap();
        list.calls[at].params[field] = ParamValue::U32(Activation::Relu.id());
        let found = compare(&reference, &tested, &list).expect("a difference");
        assert_eq!((found.call, found.op, found.tensor.as_str()), (at, "matmul", "layer.1.up"), "{}", device.name);
    });
}

#[test]
fn what_is_no_number_differs_without_bound() {
    assert_eq!(largest_difference(&[1.0, f32::NAN], &[1.0, f32::NAN]), 0.0);
    assert_eq!(largest_difference(&[1.0, -2.0], &[1.5, -2.0]), 0.5);
    for (a, b) in
        [([1.0].as_slice(), [f32::NAN].as_slice()), (&[f32::NAN], &[1.0]), (&[f32::INFINITY], &[1.0]), (&[1.0], &[])]
    {
        assert_eq!(largest_difference(a, b), f32::INFINITY, "{a:?} {b:?}");
    }
}
