//! A CPU device that pauses: its results, wherever it pauses, and how soon it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloze::activation::Activation;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::{BatchSizes, CallList, Cancel, Cpu, Device, Rows};
use cloze::error::Error;
use cloze::graph::Graph;
use cloze::model::Model;
use cloze::ops::matmul::matmul;
use cloze::pooling::Pooling;
use cloze::tensor::{DType, HostTensor};
use cloze::{Result, block_on};

use crate::models::golden::Expected;
use crate::support::fixture;

/// A device that pauses as often as possible, and calls `each` with the number of the pause, counted from 1.
fn pausing(slice: Duration, each: impl Fn(u64) + Clone + Send + Sync + 'static) -> (Arc<Device>, Arc<AtomicU64>) {
    let pauses = Arc::new(AtomicU64::new(0));
    let count = pauses.clone();
    let pause = Box::new(move || -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let (count, each) = (count.clone(), each.clone());
        Box::pin(async move { each(count.fetch_add(1, Ordering::Relaxed) + 1) })
    });
    (Arc::new(Device::Cpu(Cpu::pausing(slice, pause))), pauses)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn pauses_everywhere_change_no_bit() {
    for (name, head) in [
        ("masked-lm", Head::MaskedLm),
        ("masked-lm-i8", Head::MaskedLm),
        ("pooler", Head::Embedding(Pooling::Mean)),
        ("pre-training", Head::PreTraining),
    ] {
        let dir = fixture("heads").join(name);
        let batch = Expected::read(&dir.join("expected.safetensors")).batch;
        let run = |device: Arc<Device>| {
            let model = Model::load(Checkpoint::open(&dir).unwrap(), head, device).unwrap();
            let outputs = block_on(model.outputs(&batch, &Cancel::new())).unwrap();
            let values: Vec<Vec<u32>> = outputs.iter().map(|o| bits(&o.values)).collect();
            assert_eq!(model.device().counters().ops, model.list().calls.len() as u64);
            (values, model.list().calls.len() as u64)
        };
        let (want, _) = run(Arc::new(Device::Cpu(Cpu::new(1))));
        let (device, pauses) = pausing(Duration::ZERO, |_| ());
        let (got, ops) = run(device);
        assert_eq!(got, want, "{name}");
        let pauses = pauses.load(Ordering::Relaxed);
        assert!(pauses > ops, "{name}: {pauses} pauses are none within {ops} ops");
    }
}

#[test]
fn a_cancel_takes_effect_at_any_pause_and_spares_the_model() {
    let dir = fixture("heads").join("masked-lm");
    let batch = Expected::read(&dir.join("expected.safetensors")).batch;
    let whole = Model::load(Checkpoint::open(&dir).unwrap(), Head::MaskedLm, Device::Cpu(Cpu::new(1))).unwrap();
    let want = bits(&block_on(whole.forward(&batch, &Cancel::new())).unwrap());
    for at in 1..12 {
        let cancel = Cancel::new();
        let token = cancel.clone();
        let (device, pauses) = pausing(Duration::ZERO, move |n| {
            if n == at {
                token.cancel();
            }
        });
        let model = Model::load(Checkpoint::open(&dir).unwrap(), Head::MaskedLm, device).unwrap();
        assert!(matches!(block_on(model.forward(&batch, &cancel)), Err(Error::Cancelled)), "pause {at}");
        assert_eq!(pauses.load(Ordering::Relaxed), at, "nothing runs on");
        assert_eq!(bits(&block_on(model.forward(&batch, &Cancel::new())).unwrap()), want, "after pause {at}");
    }
}

/// A matmul of `[m, 256]` by `[256, 512]`, with its x.
fn product(device: &Device, m: u32) -> Result<(CallList, cloze::device::TensorId)> {
    let weights: Vec<u8> = (0..512 * 256).flat_map(|i| ((i % 13) as f32 - 6.0).to_le_bytes()).collect();
    let mut g = Graph::new();
    let x = g.input("x", Rows::Fixed(m), 256);
    let w = g.weight(&device.upload_matrix("w", &[HostTensor::new(DType::F32, 512, 256, &weights, &[])])?);
    let b = g.weight(&device.upload_vector("b", &[HostTensor::new(DType::F32, 1, 512, &[0; 2048], &[])])?);
    let y = matmul(&mut g, "y", x, w, b, Activation::Gelu, None);
    Ok((g.finish(&[y]), x.id))
}

#[test]
fn one_large_call_is_left_in_the_middle() {
    let m = 4096;
    let cancel = Cancel::new();
    let token = cancel.clone();
    let (device, pauses) = pausing(Duration::ZERO, move |n| {
        // The first pause comes before the call.
        if n == 3 {
            token.cancel();
        }
    });
    let x: Vec<f32> = (0..m * 256).map(|i| (i % 17) as f32 / 17.0).collect();
    let run = |device: &Device, cancel: &Cancel| {
        let (list, input) = product(device, m)?;
        let mut plan = block_on(device.plan(&list, BatchSizes::default()))?;
        let first =
            block_on(device.run(&mut plan, BatchSizes::default(), &[(input, bytemuck::cast_slice(&x))], cancel));
        let ops = device.counters().ops;
        let again = block_on(device.run(
            &mut plan,
            BatchSizes::default(),
            &[(input, bytemuck::cast_slice(&x))],
            &Cancel::new(),
        ));
        Ok::<_, Error>((first, ops, bits(&again?[0])))
    };
    let (cancelled, ops, values) = run(&device, &cancel).unwrap();
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert_eq!(ops, 0, "the call was not finished");
    // The last counted pause is in the second run, which has one before each task.
    assert!(pauses.load(Ordering::Relaxed) > 3 + 64, "{pauses:?} pauses");
    let (_, ops, want) = run(&Device::Cpu(Cpu::new(2)), &Cancel::new()).unwrap();
    assert_eq!((ops, values == want), (1, true));
}

#[test]
fn short_runs_give_way_as_a_long_one_does() {
    let (device, pauses) = pausing(Duration::from_millis(2), |_| ());
    let (list, input) = product(&device, 1).unwrap();
    let x = [0.5_f32; 256];
    let mut plan = block_on(device.plan(&list, BatchSizes::default())).unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(50) {
        block_on(device.run(&mut plan, BatchSizes::default(), &[(input, bytemuck::cast_slice(&x))], &Cancel::new()))
            .unwrap();
    }
    assert!(pauses.load(Ordering::Relaxed) > 1, "no run is as long as a slice, but all together are");
}
