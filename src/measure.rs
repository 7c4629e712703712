//! Measures how fast a device multiplies matrices. `bench` compares everything else with this rate.

use std::time::Duration;

use web_time::Instant;

use crate::activation::Activation;
use crate::device::{BatchSizes, CallList, Cancel, Device, Plan, Rows};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::ops::matmul::{self, matmul};
use crate::tensor::{DType, HostTensor};

/// M, N and K of the measured product.
const SHAPE: [u32; 3] = [512, 768, 768];
/// A shorter run would measure mostly the submission, so the product is repeated.
const RUN: Duration = Duration::from_millis(40);

/// The rate in GFLOP/s of the best matmul variant of the device's family, alone at 512x768x768 in f32.
pub async fn gemm_gflops(device: &Device) -> Result<f64> {
    let mut best = 0.0_f64;
    for (_, rate) in gemm_variants(device, SHAPE).await? {
        best = best.max(rate);
    }
    Ok(best)
}

/// The rate in GFLOP/s of each matmul variant of the device's family that fits `[M, N, K]`, in f32.
pub async fn gemm_variants(device: &Device, shape: [u32; 3]) -> Result<Vec<(&'static str, f64)>> {
    let Device::Gpu(gpu) = device else {
        return Ok(vec![("cpu", rate(device, shape, None).await?)]);
    };
    let mut rates = Vec::new();
    for variant in matmul::OP.variants.iter().filter(|v| v.family == gpu.family()) {
        let (list, _) = products(device, shape, 1)?;
        let plan = gpu.plan_pinned(&list, BatchSizes::default(), Some(variant.name)).await?;
        if plan.variants().all(|(_, name)| name == variant.name) {
            rates.push((variant.name, rate(device, shape, Some(variant.name)).await?));
        }
    }
    Ok(rates)
}

async fn rate(device: &Device, shape: [u32; 3], pin: Option<&str>) -> Result<f64> {
    let (list, x) = products(device, shape, 1)?;
    let once = shortest(device, &list, x, pin).await?;
    let count = (RUN.as_secs_f64() / once.as_secs_f64().max(1e-6)).ceil().clamp(1.0, 256.0);
    if count < 2.0 {
        return Ok(list.flops(BatchSizes::default()) / once.as_secs_f64() * 1e-9);
    }
    let (list, x) = products(device, shape, count as usize)?;
    let all = shortest(device, &list, x, pin).await?;
    Ok(list.flops(BatchSizes::default()) / all.as_secs_f64() * 1e-9)
}

/// The shortest of a few runs, after one that compiles kernels and warms up.
async fn shortest(device: &Device, list: &CallList, x: Tensor, pin: Option<&str>) -> Result<Duration> {
    let capacity = BatchSizes::default();
    let mut plan = match device {
        Device::Gpu(gpu) => Plan::Gpu(Box::new(gpu.plan_pinned(list, capacity, pin).await?)),
        Device::Cpu(_) => device.plan(list, capacity).await?,
    };
    let values: Vec<f32> = (0..list.info(x.id).len(capacity)).map(wave).collect();
    let inputs = [(x.id, bytemuck::cast_slice(&values))];
    let mut best = Duration::MAX;
    for turn in 0..4 {
        let begun = Instant::now();
        device.run(&mut plan, capacity, &inputs, &Cancel::new()).await?;
        if turn > 0 {
            best = best.min(begun.elapsed());
        }
    }
    Ok(best)
}

/// A list that computes the same product `count` times, with its x.
fn products(device: &Device, [m, n, k]: [u32; 3], count: usize) -> Result<(CallList, Tensor)> {
    let weights: Vec<f32> = (0..n as usize * k as usize).map(wave).collect();
    let host = HostTensor::new(DType::F32, n as usize, k as usize, bytemuck::cast_slice(&weights), &[]);
    let bias = vec![0.0_f32; n as usize];
    let bias = HostTensor::new(DType::F32, 1, n as usize, bytemuck::cast_slice(&bias), &[]);
    let mut g = Graph::new();
    let x = g.input("x", Rows::Fixed(m), k);
    let w = g.weight(&device.upload_matrix("w", &[host])?);
    let b = g.weight(&device.upload_vector("b", &[bias])?);
    for _ in 0..count {
        matmul(&mut g, "y", x, w, b, Activation::Linear, None);
    }
    Ok((g.finish(&[]), x))
}

/// Numbers of ordinary size, because subnormal or huge ones would be slower.
fn wave(i: usize) -> f32 {
    (i as f32 * 0.37).sin()
}
