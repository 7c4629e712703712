//! Checks every gradient with finite differences on every device, and compares each device with the CPU.

use cloze::activation::Activation;
use cloze::block_on;
use cloze::device::{BatchSizes, Cancel, Rows};
use cloze::error::Error;
use cloze::ops::cross_entropy::cross_entropy;
use cloze::ops::dropout::Dropout;
use cloze::ops::element_loss::{ElementLoss, element_loss};
use cloze::ops::matmul_backward::{OP, matmul_dw, matmul_dx};
use cloze::ops::span_loss::span_loss;
use cloze::tensor::DType;
use cloze::train::lora::Adapter;
use cloze::train::nodes::{Param, Trained};
use cloze::train::tape::Tape;

use crate::devices::kernels::{for_each_plan, noise};
use crate::support::devices::{for_each_device, for_each_gpu};
use crate::support::lab::{LENGTHS, bounds, ends, everywhere, sizes};

#[test]
fn linear_layers() {
    for (n, k, rows) in
        [(37, 30, Rows::Tokens), (36, 20, Rows::Tokens), (2, 36, Rows::Sequences), (130, 33, Rows::Picked)]
    {
        everywhere(&format!("linear {n} {k}"), |mut lab| {
            let x = lab.x(rows, k);
            let residual = lab.x(rows, n);
            let (w, b) = (lab.param(n as usize, k as usize), lab.param(1, n as usize));
            let y = lab.tape.linear("y", x, [&w, &b], Some(residual));
            lab.check("linear", y)
        });
    }
}

fn trained(param: Param) -> Trained {
    match param {
        Param::Trained(trained) => trained,
        Param::Frozen { .. } => panic!("it is trained"),
    }
}

#[test]
fn adapted_layers() {
    for (n, k, r, first, p) in [(37, 30, 4, 7, 0.3), (36, 20, 3, 0, 0.0)] {
        everywhere(&format!("adapted {n} {k}"), |mut lab| {
            let x = lab.x(Rows::Tokens, k);
            let (w, b) = (lab.param(n as usize, k as usize), lab.param(1, n as usize));
            let (a, up) = (lab.param(r, k as usize), lab.param((n - 2 * first) as usize, r));
            let site = lab.dropout(p);
            let y = lab.tape.linear("y", x, [&w, &b], None);
            lab.tape.adapt(y, x, &Adapter { a: trained(a), b: trained(up), first, scale: 0.5, site: 5 }, site);
            lab.check("adapted", y)
        });
    }
}

/// Frozen matrices in every type in which they are stored.
#[test]
fn frozen_linear_layers() {
    for (dtype, n, k) in [(DType::F32, 37, 30), (DType::F16, 36, 20), (DType::I8, 70, 36), (DType::I8, 37, 30)] {
        everywhere(&format!("frozen linear {n} {k} {}", dtype.name()), |mut lab| {
            let x = lab.x(Rows::Tokens, k as u32);
            let residual = lab.x(Rows::Tokens, n as u32);
            let (w, b) = (lab.frozen(dtype, n, k), lab.param(1, n));
            let y = lab.tape.linear("y", x, [&w, &b], Some(residual));
            lab.check("frozen linear", y)
        });
    }
}

/// A plan's capacity decides between the tiles of a family. The gradients must not depend on it.
#[test]
fn gradients_of_a_linear_layer_have_the_same_bits_for_any_variant_of_a_family() {
    let (tokens, n, k) = (150, 70, 37);
    let sizes = BatchSizes { tokens, sequences: 1, longest: tokens, picked: 0 };
    let (x, d_y) = (noise((tokens * k) as usize, 1), noise((tokens * n) as usize, 2));
    for_each_device(|test| {
        let param = |name: &str| test.device.state(name, n as usize, k as usize).expect("it fits");
        let (w, d_w) = (param("w"), param("d_w"));
        test.device.write_state(&w, &noise(w.len(), 3));
        let mut tape = Tape::new();
        let input = tape.graph().input("x", Rows::Tokens, k);
        let seed = tape.graph().input("d_y", Rows::Tokens, n);
        let [w, gradient] = [&w, &d_w].map(|state| tape.graph().state(state));
        let d_x = matmul_dx(tape.graph(), "d_x", seed, w, None);
        matmul_dw(tape.graph(), seed, input, gradient);
        let list = tape.into_graph().finish(&[d_x, gradient]);
        let mut known = None;
        for_each_plan(&test.device, &list, sizes, &OP, |name, plan| {
            test.device.write_state(&d_w, &noise(d_w.len(), 4));
            let inputs = [(input.id, bytemuck::cast_slice(&x)), (seed.id, bytemuck::cast_slice(&d_y))];
            let found = block_on(test.device.run(plan, sizes, &inputs, &Cancel::new())).expect("a run");
            assert!(known.get_or_insert_with(|| found.clone()) == &found, "{name} on {}", test.name);
        });
        let kernels = test.device.kernels(&list);
        let named = kernels.get("matmul_backward").is_some_and(|variants| variants.len() == 1);
        assert!(named || kernels.contains_key("cpu"), "{kernels:?}");
    });
}

#[test]
fn a_table_larger_than_a_gpu_binds_is_refused_with_the_mend() {
    for_each_gpu(|device, gpu| {
        let rows = (gpu.limits().binding_bytes / 4 + 1) as usize;
        match device.state("bert.embeddings.word_embeddings.weight", rows, 1) {
            Err(Error::Memory { what, help, .. }) => {
                assert!(
                    what.contains("word_embeddings") && help.to_string().contains("freeze_embeddings"),
                    "{what}: {help}"
                );
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn two_uses_of_a_tensor_and_of_a_weight() {
    everywhere("shared", |mut lab| {
        let x = lab.x(Rows::Tokens, 20);
        let (w, b) = (lab.param(20, 20), lab.param(1, 20));
        let y = lab.tape.linear("y", x, [&w, &b], Some(x));
        let y = lab.tape.linear("z", y, [&w, &b], Some(y));
        lab.check("shared", y)
    });
}

#[test]
fn activations() {
    for activation in Activation::ALL {
        everywhere(&format!("{activation:?}"), |mut lab| {
            let x = lab.x(Rows::Tokens, 7);
            let y = lab.tape.activate("y", x, activation);
            lab.check(&format!("{activation:?}"), y)
        });
    }
}

#[test]
fn layer_norms() {
    for cols in [20, 30, 36] {
        everywhere(&format!("layer norm {cols}"), |mut lab| {
            let x = lab.x(Rows::Tokens, cols);
            let (gamma, beta) = (lab.param(1, cols as usize), lab.param(1, cols as usize));
            let y = lab.tape.layer_norm("y", x, [&gamma, &beta], 1e-2);
            lab.check("layer norm", y)
        });
    }
}

#[test]
fn attention_with_and_without_dropout() {
    for (heads, size, p) in [(3, 5, 0.0), (2, 8, 0.3), (2, 32, 0.1), (1, 64, 0.0)] {
        everywhere(&format!("attention {heads} {size} {p}"), |mut lab| {
            let qkv = lab.x(Rows::Tokens, 3 * heads * size);
            let (bounds, dropout) = (lab.bounds(), lab.dropout(p));
            let y = lab.tape.attention("ctx", qkv, bounds, heads, dropout);
            lab.check("attention", y)
        });
    }
}

/// Sequences of several workgroups and of several tiles, compared with the CPU. Each has the same bits alone.
#[test]
fn attention_of_long_sequences() {
    let lengths = [33, 1, 130, 7, 70];
    let heads = 3;
    let sizes = |lengths: &[u32]| BatchSizes {
        tokens: lengths.iter().sum(),
        sequences: lengths.len() as u32,
        longest: lengths.iter().copied().max().unwrap_or(0),
        picked: 0,
    };
    for (size, p) in [(32, 0.2), (32, 0.0), (64, 0.2), (64, 0.0)] {
        let hidden = heads * size;
        let all = sizes(&lengths);
        let values = noise((all.tokens * 3 * hidden) as usize, 5);
        let d_ctx = noise((all.tokens * hidden) as usize, 6);
        let mut known: Option<Vec<Vec<f32>>> = None;
        for_each_device(|test| {
            let mut tape = Tape::new();
            let qkv = tape.graph().input("qkv", Rows::Tokens, 3 * hidden);
            let bounds = tape.graph().input("bounds", Rows::Bounds, 1);
            let control = tape.graph().input("control", Rows::Fixed(1), 4);
            let seed = tape.graph().input("d_ctx", Rows::Tokens, hidden);
            tape.want(qkv);
            let ctx = tape.attention("ctx", qkv, bounds, heads, Dropout { control, site: 5, p });
            tape.give(ctx, seed);
            tape.backward();
            let d_qkv = tape.gradient(qkv).expect("a gradient");
            let list = tape.into_graph().finish(&[ctx, d_qkv]);
            let mut plan = block_on(test.device.plan(&list, all)).expect("a plan");
            let mut run = |first: usize, lengths: &[u32]| {
                let sizes = sizes(lengths);
                let part = |x: &[f32], cols: u32| -> Vec<f32> {
                    x[first * cols as usize..][..(sizes.tokens * cols) as usize].to_vec()
                };
                let (values, d_ctx) = (part(&values, 3 * hidden), part(&d_ctx, hidden));
                let ends = ends(lengths);
                let inputs = [
                    (qkv.id, bytemuck::cast_slice(&values)),
                    (bounds.id, bytemuck::cast_slice(&ends)),
                    (control.id, bytemuck::cast_slice(&[12345_u32, 0, 0, 0])),
                    (seed.id, bytemuck::cast_slice(&d_ctx)),
                ];
                block_on(test.device.run(&mut plan, sizes, &inputs, &Cancel::new())).expect("a run")
            };
            let found = run(0, &lengths);
            for (what, (found, known)) in
                ["ctx", "d_qkv"].iter().zip(found.iter().zip(known.get_or_insert_with(|| found.clone())))
            {
                let largest = known.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                for (i, (k, f)) in known.iter().zip(found).enumerate() {
                    let off = 2e-5 * largest + 1e-6;
                    assert!((k - f).abs() <= off, "D {size}, {what}[{i}] on {}: {f}, on the CPU {k}", test.name);
                }
            }
            // Dropout depends on a token's place in the batch.
            let mut first = 0;
            for len in lengths.iter().filter(|_| p == 0.0) {
                for (alone, (all, cols)) in
                    run(first, &[*len]).iter().zip(found.iter().zip([hidden as usize, 3 * hidden as usize]))
                {
                    let rows = &all[first * cols..(first + *len as usize) * cols];
                    assert!(alone == rows, "D {size}: a sequence of {len} alone on {}", test.name);
                }
                first += *len as usize;
            }
        });
    }
}

#[test]
fn dropout_with_and_without_residual() {
    for residual in [false, true] {
        everywhere(&format!("dropout {residual}"), |mut lab| {
            let x = lab.x(Rows::Tokens, 30);
            let residual = residual.then(|| lab.x(Rows::Tokens, 30));
            let site = lab.dropout(0.25);
            let y = lab.tape.dropout("y", x, site, residual);
            lab.check("dropout", y)
        });
    }
}

#[test]
fn gathered_and_first_rows() {
    let picked = [3, 4, 9, 11, 0, 36, 20, 21, 30];
    everywhere("rows", |mut lab| {
        let x = lab.x(Rows::Tokens, 36);
        let index = lab.words(Rows::Picked, 1, &picked);
        let by_index = lab.sorted(Rows::Picked, &picked);
        let y = lab.tape.gather("y", x, index, by_index);
        let (w, b) = (lab.param(5, 36), lab.param(1, 5));
        let y = lab.tape.linear("z", y, [&w, &b], None);
        lab.check("gather", y)
    });
    everywhere("first", |mut lab| {
        let x = lab.x(Rows::Tokens, 30);
        let bounds_of = lab.bounds();
        let by_first = lab.sorted(Rows::Sequences, &bounds()[..LENGTHS.len()]);
        let y = lab.tape.first("y", x, bounds_of, by_first);
        lab.check("first", y)
    });
}

#[test]
fn embeddings() {
    let t = sizes().tokens;
    let columns = [7, 2, 20].map(|rows| (0..t).map(|i| (i * i + 3 * i) % rows).collect::<Vec<u32>>());
    let ids: Vec<u32> = (0..t as usize).flat_map(|i| [0, 1, 2].map(|c| columns[c][i])).collect();
    everywhere("embed", |mut lab| {
        let tables = [7, 2, 20].map(|rows| lab.param(rows, 30));
        let sorted = [0, 1, 2].map(|c| lab.sorted(Rows::Tokens, &columns[c]));
        let ids = lab.words(Rows::Tokens, 3, &ids);
        let [word, kind, position] = &tables;
        let y = lab.tape.embed("y", [word, kind, position], ids, sorted);
        lab.check("embed", y)
    });
}

#[test]
fn losses() {
    let b = LENGTHS.len();
    everywhere("cross entropy", |mut lab| {
        let logits = lab.x(Rows::Tokens, 5);
        let count = sizes().tokens;
        let labels: Vec<u32> = (0..count).map(|i| if i % 4 == 1 { u32::MAX } else { i % 5 }).collect();
        let labels = lab.words(Rows::Tokens, 1, &labels);
        let weights = lab.input(Rows::Tokens, 1, noise(count as usize, 4).iter().map(|w| w.abs()).collect());
        let loss = cross_entropy(lab.tape.graph(), logits, labels, weights);
        lab.check_loss("cross entropy", logits, loss)
    });
    everywhere("wide cross entropy", |mut lab| {
        let logits = lab.x(Rows::Picked, 103);
        let labels = lab.words(Rows::Picked, 1, &[0, 102, 50, 103, u32::MAX, 7, 7, 64, 63]);
        let weights = lab.input(Rows::Picked, 1, vec![0.25; 9]);
        let loss = cross_entropy(lab.tape.graph(), logits, labels, weights);
        lab.check_loss("wide cross entropy", logits, loss)
    });
    everywhere("span", |mut lab| {
        let logits = lab.x(Rows::Tokens, 2);
        let bounds = lab.bounds();
        // One end is outside its sequence and does not count.
        let labels = lab.words(Rows::Sequences, 2, &[2, 6, 0, 0, 19, 20, 1, 2, 5, 5]);
        let weights = lab.input(Rows::Sequences, 2, noise(2 * b, 4).iter().map(|w| w.abs()).collect());
        let loss = span_loss(lab.tape.graph(), logits, bounds, labels, weights);
        lab.check_loss("span", logits, loss)
    });
    for kind in [ElementLoss::Squared, ElementLoss::Binary] {
        everywhere(&format!("{kind:?}"), |mut lab| {
            let logits = lab.x(Rows::Sequences, 4);
            let targets = lab.input(Rows::Sequences, 4, noise(4 * b, 8).iter().map(|t| t.abs().round()).collect());
            let weights = lab.input(Rows::Sequences, 1, vec![0.2; b]);
            let loss = element_loss(lab.tape.graph(), logits, targets, weights, kind);
            lab.check_loss(&format!("{kind:?}"), logits, loss)
        });
    }
}
