//! Checks every variant's joined text: it parses, it is valid WGSL under the specification's smallest limits, and it
//! declares the bindings and parameters of its op.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};

use super::pool::pool;
use super::unit_rows::unit_rows;
use super::{OPS, attention::attention, gather::gather, layer_norm::layer_norm, matmul::matmul};
use crate::activation::Activation;
use crate::device::call::{PARAMS_BINDING, WRITE_BINDING};
use crate::device::gpu::source;
use crate::device::limits::Limits;
use crate::device::weight::{Layout, Stored};
use crate::device::{BatchSizes, CallContext, CallList, Op, Rows, Variant, Weight};
use crate::graph::{Graph, Tensor};
use crate::pooling::Pooling;
use crate::tensor::DType;

const FLOOR: Limits = Limits {
    workgroup_bytes: 16 << 10,
    invocations: 256,
    groups: 65535,
    binding_bytes: 128 << 20,
    buffer_bytes: 256 << 20,
};

fn weight(g: &mut Graph, rows: usize, cols: usize, dtype: DType) -> Tensor {
    let layout = Layout::Plain(Vec::new());
    g.weight(&Weight::new(Stored { name: "w".into(), rows, cols, dtype, layout }))
}

/// Calls of every kind: odd and round sizes, all types, epilogues and head sizes.
fn sites() -> CallList {
    let mut g = Graph::new();
    for (n, k) in [(64, 32), (64, 33), (37, 32), (2, 19)] {
        for dtype in [DType::F32, DType::F16, DType::I8] {
            for residual in [false, true] {
                let x = g.input("x", Rows::Tokens, k);
                let w = weight(&mut g, n, k as usize, dtype);
                let b = weight(&mut g, 1, n, DType::F32);
                let r = residual.then(|| g.input("r", Rows::Tokens, n as u32));
                matmul(&mut g, "y", x, w, b, Activation::Gelu, r);
            }
        }
    }
    for head_size in [7, 32, 64] {
        let qkv = g.input("qkv", Rows::Tokens, 3 * 4 * head_size);
        let bounds = g.input("bounds", Rows::Bounds, 1);
        attention(&mut g, "ctx", qkv, bounds, 4);
    }
    for cols in [37, 384] {
        let x = g.input("x", Rows::Tokens, cols);
        let [gamma, beta] = [0, 1].map(|_| weight(&mut g, 1, cols as usize, DType::F32));
        layer_norm(&mut g, "y", x, gamma, beta, 1e-12);
    }
    let x = g.input("x", Rows::Tokens, 37);
    let index = g.input("picked", Rows::Picked, 1);
    gather(&mut g, "y", x, index);
    let bounds = g.input("bounds", Rows::Bounds, 1);
    let skip = g.input("skip", Rows::Sequences, 1);
    for skip in [None, Some(skip)] {
        pool(&mut g, "y", x, bounds, &Pooling::WORDS.map(|(_, pooling)| pooling), skip);
    }
    unit_rows(&mut g, "y", x);
    #[cfg(feature = "train")]
    training(&mut g);
    g.finish(&[])
}

/// Calls of the ops that only training uses.
#[cfg(feature = "train")]
fn training(g: &mut Graph) {
    use super::adamw::{AdamW, Moments, adamw};
    use super::attention_backward::{Saved, attention_backward};
    use super::dropout::{Dropout, dropout};
    use super::element_loss::{ElementLoss, element_loss};

    let input = |g: &mut Graph, rows, cols| g.input("x", rows, cols);
    for (n, k) in [(64, 32), (37, 30), (2, 19), (30, 6)] {
        let (x, d_y) = (input(g, Rows::Tokens, k), input(g, Rows::Tokens, n));
        let (w, d_w) = (input(g, Rows::Fixed(n), k), input(g, Rows::Fixed(n), k));
        super::pack::pack_rows(g, w);
        let d_x = super::matmul_backward::matmul_dx(g, "d_x", d_y, w, None);
        super::matmul_backward::matmul_dx(g, "d_x", d_y, w, Some(d_x));
        super::matmul_backward::matmul_dw(g, d_y, x, d_w);
        for dtype in [DType::F32, DType::F16, DType::I8] {
            let transposed = weight(g, k as usize, n as usize, dtype);
            super::matmul_backward::matmul_dx_by(g, "d_x", d_y, transposed, Some(d_x));
        }
        let scales = weight(g, 1, n as usize, DType::F32);
        super::scale_columns::scale_columns(g, d_y, scales);
        super::add::add(g, x, d_x);
        super::columns::take_columns(g, "y", x, 1, 2, 0.5);
        let wide = input(g, Rows::Tokens, k + 5);
        super::columns::add_columns(g, x, wide, 3);
        for activation in Activation::ALL {
            super::activate::activate(g, "y", x, activation);
            super::activate_backward::activate_backward(g, x, d_x, activation);
        }
        let [gamma, d_gamma, d_beta] = [0, 1, 2].map(|_| input(g, Rows::Fixed(1), k));
        let (_, stats) = super::layer_norm_backward::layer_norm_backward(g, x, gamma, d_x, 1e-12);
        super::layer_norm_partials::layer_norm_params(g, x, d_x, stats, Some(d_gamma), Some(d_beta));
        super::column_partials::column_sum(g, x, d_gamma);
        let control = input(g, Rows::Fixed(1), 4);
        let place = Dropout { control, site: 1, p: 0.1 };
        dropout(g, "y", x, place, None);
        dropout(g, "y", x, place, Some(d_x));
        let (order, segments) = (input(g, Rows::Tokens, 1), input(g, Rows::Tokens, 3));
        super::scatter::scatter(g, x, order, segments, d_x);
        super::embed::embed(g, "y", [w, w, w], segments);
        super::cross_entropy::cross_entropy(g, x, order, order);
        element_loss(g, x, d_x, order, ElementLoss::Binary);
        let squared_norm = super::zero::zero(g, "squared_norm", Rows::Fixed(1), 1);
        super::square_sum::square_sum(g, &[w], squared_norm);
        let moments = Moments { p: w, d_p: d_w, m: input(g, Rows::Fixed(n), k), v: input(g, Rows::Fixed(n), k) };
        let options = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, max_norm: 1.0 };
        adamw(g, moments, control, squared_norm, &options);
    }
    let bounds = input(g, Rows::Bounds, 1);
    let control = input(g, Rows::Fixed(1), 4);
    for head_size in [7, 32, 64] {
        let (qkv, d_ctx) = (input(g, Rows::Tokens, 12 * head_size), input(g, Rows::Tokens, 4 * head_size));
        let place = Dropout { control, site: 1, p: 0.1 };
        let (ctx, lse) = super::attention_train::attention_train(g, "ctx", qkv, bounds, 4, &place);
        attention_backward(g, Saved { qkv, bounds, ctx, lse }, d_ctx, 4, &place);
    }
    let (logits, labels) = (input(g, Rows::Tokens, 2), input(g, Rows::Sequences, 2));
    super::span_loss::span_loss(g, logits, bounds, labels, labels);
}

/// Runs `check` on every variant of every op, in every context that the variant fits.
fn for_each_shader(mut check: impl FnMut(&Op, &Variant, &CallContext<'_>, &str)) {
    let list = sites();
    for op in OPS {
        for variant in op.variants {
            let mut fitted = false;
            for tokens in [5, 20_000] {
                let capacity = BatchSizes { tokens, sequences: 3, longest: tokens, picked: 3 };
                for call in list.calls.iter().filter(|c| c.op.name == op.name) {
                    let context = CallContext { call, tensors: &list.tensors, capacity };
                    if (variant.fits)(&context, &FLOOR) {
                        fitted = true;
                        check(op, variant, &context, &source(variant, &context));
                    }
                }
            }
            assert!(fitted, "no context fits {}", variant.name);
        }
    }
}

fn parse(name: &str, text: &str) -> Module {
    naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)))
}

#[test]
fn shaders_are_valid_without_any_extension() {
    for_each_shader(|_, variant, context, text| {
        let module = parse(variant.name, text);
        // naga asks for this at unpack2x16float. WGSL has that function without any extension.
        let floor = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let checked = Validator::new(ValidationFlags::all(), floor).validate(&module);
        let info = checked.unwrap_or_else(|e| panic!("{}: {}", variant.name, e.emit_to_string(text)));
        let given = (variant.overrides)(context);
        for (_, o) in module.overrides.iter() {
            let named = given.iter().any(|(name, _)| Some(*name) == o.name.as_deref());
            assert!(named || o.init.is_some(), "{}: {:?} has no value", variant.name, o.name);
        }
        for (name, _) in given {
            let declared = module.overrides.iter().any(|(_, o)| o.name.as_deref() == Some(name));
            assert!(declared, "{}: there is no override {name}", variant.name);
        }
        let [entry] = &module.entry_points[..] else { panic!("{}: entry points", variant.name) };
        assert_eq!(entry.name, "main");
        assert!(entry.workgroup_size.iter().product::<u32>() <= FLOOR.invocations, "{}", variant.name);
        let used = info.get_entry_point(0);
        for (handle, variable) in module.global_variables.iter() {
            assert!(!used[handle].is_empty(), "{}: {:?} is not used", variant.name, variable.name);
        }
    });
}

#[test]
fn bindings_and_parameters_are_the_ops() {
    for_each_shader(|op, variant, context, text| {
        let module = parse(variant.name, text);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("sizes of types");
        let (mut bindings, mut shared) = (Vec::new(), 0);
        for (_, v) in module.global_variables.iter() {
            let name = v.name.clone().unwrap_or_default();
            let binding = v.binding.map(|b| {
                assert_eq!(b.group, 0, "{}: {name}", variant.name);
                b.binding
            });
            match v.space {
                AddressSpace::WorkGroup => shared += layouter[v.ty].size,
                AddressSpace::Uniform => {
                    assert_eq!((name.as_str(), binding), ("params", Some(PARAMS_BINDING)), "{}", variant.name);
                    let TypeInner::Struct { members, .. } = &module.types[v.ty].inner else { panic!("params") };
                    let names: Vec<_> = members.iter().filter_map(|m| m.name.as_deref()).collect();
                    assert_eq!(names, op.params.names, "{}", variant.name);
                    let offsets: Vec<_> = members.iter().map(|m| m.offset / 4).collect();
                    assert_eq!(offsets, (0..members.len() as u32).collect::<Vec<_>>(), "{}", variant.name);
                }
                AddressSpace::Storage { access } => {
                    bindings.push((binding.unwrap_or(u32::MAX), name, access.contains(StorageAccess::STORE)));
                }
                space => panic!("{}: {name} is in {space:?}", variant.name),
            }
        }
        bindings.sort();
        // A tensor that is updated in place has only its binding among the writes.
        let reads = context.call.read_bindings().map(|(i, _)| (i, op.reads[i as usize].to_string(), false));
        let writes = (WRITE_BINDING..).zip(op.writes).map(|(i, n)| (i, n.to_string(), true));
        assert_eq!(bindings, reads.chain(writes).collect::<Vec<_>>(), "{}", variant.name);
        assert!(shared <= FLOOR.workgroup_bytes, "{}: {shared} bytes of workgroup memory", variant.name);
    });
}
