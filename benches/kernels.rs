//! GFLOP/s of each kernel variant and of a whole encoder, on every adapter and family there is.
//!
//!     cargo bench --bench kernels [-- PART_OF_AN_ADAPTER'S_NAME [registers|tiles]]
//!
//! On Linux the rate a second of processor time follows in brackets: on a busy machine a software adapter's wall clock
//! says little.

use std::time::Instant;

use cloze::Result;
use cloze::activation::Activation;
use cloze::device::gpu::{GpuOptions, adapters};
use cloze::device::{BatchSizes, CallList, Cancel, Device, Family, Gpu, Rows};
use cloze::graph::{Graph, Tensor};
use cloze::measure::gemm_variants;
use cloze::ops::{attention::attention, layer_norm::layer_norm, matmul::matmul};
use cloze::tensor::{DType, HostTensor};

/// MiniLM-L6: layers, H, F, N.
const LAYERS: usize = 6;
const HIDDEN: u32 = 384;
const INNER: u32 = 1536;
const HEADS: u32 = 12;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |at: usize, name: &str| args.get(at).is_none_or(|part| name.contains(part.as_str()));
    pollster::block_on(async {
        for adapter in adapters().await {
            let name = adapter.get_info().name;
            for family in [Family::Registers, Family::Tiles] {
                if wanted(0, &name) && wanted(1, family.name()) {
                    println!("{name}, {}", family.name());
                    let options = GpuOptions { family: Some(family), ..Default::default() };
                    measure(&Device::Gpu(Box::new(Gpu::open(&adapter, options).await?))).await?;
                }
            }
        }
        Ok(())
    })
}

async fn measure(device: &Device) -> Result<()> {
    compile(device).await?;
    let mut best = 0.0_f64;
    for shape in [[512, 768, 768], [384, 1152, 384], [384, 384, 384], [384, 384, 1536], [16, 384, 384], [384, 2, 384]] {
        let [m, n, k] = shape;
        for (name, rate) in gemm_variants(device, shape).await? {
            println!("  {:16} {name:24} {rate:8.2} GFLOP/s", format!("{m}x{n}x{k}"));
            best = best.max(if m == 512 { rate } else { 0.0 });
        }
    }
    for dtype in [DType::F32, DType::F16, DType::I8] {
        let (list, x, bounds) = encoder(device, dtype)?;
        for length in [128, 384] {
            let rate = run(device, &list, x, bounds, length).await?;
            println!("  encoder {} 1x{length}: {rate:.2} GFLOP/s, {:.0} % of GEMM", dtype.name(), rate / best * 100.0);
        }
    }
    Ok(())
}

/// Prints how long each kernel of the encoder takes until its first result, on a few tokens.
async fn compile(device: &Device) -> Result<()> {
    for step in 0..5 {
        let mut g = Graph::new();
        let cols = if step == 3 { 3 * HIDDEN } else { HIDDEN };
        let x = g.input("x", Rows::Tokens, cols);
        let bounds = g.input("bounds", Rows::Bounds, 1);
        let (name, y) = match step {
            0 => ("matmul", linear(&mut g, device, DType::F32, x, INNER, Activation::Linear, None)?),
            1 => ("matmul, gelu", linear(&mut g, device, DType::F32, x, INNER, Activation::Gelu, None)?),
            2 => ("matmul, residual", linear(&mut g, device, DType::F32, x, HIDDEN, Activation::Linear, Some(x))?),
            3 => ("attention", attention(&mut g, "ctx", x, bounds, HEADS)),
            _ => ("layer_norm", norm(&mut g, device, x)?),
        };
        let list = g.finish(&[y]);
        let sizes = BatchSizes { tokens: 4, sequences: 1, longest: 4, picked: 0 };
        let (values, ends) = (wave(list.info(x.id).len(sizes)), [0, 4]);
        let inputs = [(x.id, bytemuck::cast_slice(&values)), (bounds.id, bytemuck::cast_slice(&ends))];
        let (begun, used) = (Instant::now(), processor_seconds());
        let mut plan = device.plan(&list, sizes).await?;
        device.run(&mut plan, sizes, &inputs, &Cancel::new()).await?;
        let (wall, busy) = (begun.elapsed().as_secs_f64(), processor_seconds() - used);
        println!("  {name:16} first result after {:.0} ms ({:.0} of a processor)", wall * 1e3, busy * 1e3);
    }
    Ok(())
}

/// MiniLM's layers on random weights; what goes in, and the sequences' bounds.
fn encoder(device: &Device, dtype: DType) -> Result<(CallList, Tensor, Tensor)> {
    let mut g = Graph::new();
    let input = g.input("x", Rows::Tokens, HIDDEN);
    let bounds = g.input("bounds", Rows::Bounds, 1);
    let mut x = input;
    for _ in 0..LAYERS {
        let qkv = linear(&mut g, device, dtype, x, 3 * HIDDEN, Activation::Linear, None)?;
        let ctx = attention(&mut g, "ctx", qkv, bounds, HEADS);
        let out = linear(&mut g, device, dtype, ctx, HIDDEN, Activation::Linear, Some(x))?;
        let mid = norm(&mut g, device, out)?;
        let up = linear(&mut g, device, dtype, mid, INNER, Activation::Gelu, None)?;
        let down = linear(&mut g, device, dtype, up, HIDDEN, Activation::Linear, Some(mid))?;
        x = norm(&mut g, device, down)?;
    }
    Ok((g.finish(&[x]), input, bounds))
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin() * 0.1).collect()
}

fn vector(g: &mut Graph, device: &Device, len: u32, value: f32) -> Result<Tensor> {
    let values = vec![value; len as usize];
    let host = HostTensor::new(DType::F32, 1, len as usize, bytemuck::cast_slice(&values), &[]);
    Ok(g.weight(&device.upload_vector("v", &[host])?))
}

fn linear(
    g: &mut Graph,
    device: &Device,
    dtype: DType,
    x: Tensor,
    n: u32,
    activation: Activation,
    residual: Option<Tensor>,
) -> Result<Tensor> {
    let (rows, cols) = (n as usize, x.cols as usize);
    let values = wave(rows * cols);
    let scales = vec![0.001_f32; if dtype == DType::I8 { rows } else { 0 }];
    let stored: Vec<u8> = match dtype {
        DType::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
        DType::I8 => values.iter().map(|v| (v * 1000.0) as i8 as u8).collect(),
        _ => bytemuck::cast_slice(&values).to_vec(),
    };
    let host = HostTensor::new(dtype, rows, cols, &stored, bytemuck::cast_slice(&scales));
    let weight = g.weight(&device.upload_matrix("w", &[host])?);
    let bias = vector(g, device, n, 0.1)?;
    Ok(matmul(g, "y", x, weight, bias, activation, residual))
}

fn norm(g: &mut Graph, device: &Device, x: Tensor) -> Result<Tensor> {
    let (gamma, beta) = (vector(g, device, HIDDEN, 1.0)?, vector(g, device, HIDDEN, 0.0)?);
    Ok(layer_norm(g, "n", x, gamma, beta, 1e-12))
}

/// GFLOP/s of the best of a few runs over one sequence; prints when the first was done.
async fn run(device: &Device, list: &CallList, x: Tensor, bounds: Tensor, length: u32) -> Result<f64> {
    let sizes = BatchSizes { tokens: length, sequences: 1, longest: length, picked: 0 };
    let values = wave(list.info(x.id).len(sizes));
    let ends = [0, length];
    let inputs = [(x.id, bytemuck::cast_slice(&values)), (bounds.id, bytemuck::cast_slice(&ends))];
    let begun = Instant::now();
    let mut plan = device.plan(list, sizes).await?;
    let (mut best, mut busy) = (f64::MAX, f64::MAX);
    for turn in 0..5 {
        let (start, used) = (Instant::now(), processor_seconds());
        device.run(&mut plan, sizes, &inputs, &Cancel::new()).await?;
        if turn == 0 {
            println!("  first run, compiling, after {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        } else {
            best = best.min(start.elapsed().as_secs_f64());
            busy = busy.min(processor_seconds() - used);
        }
    }
    let flops = list.flops(sizes) * 1e-9;
    println!("  {:.0} ms ({:.2} GFLOP a processor second)", best * 1e3, flops / busy);
    Ok(flops / best)
}

/// Processor time that this process's threads have used; nothing where that is not known.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent = tasks.filter_map(|t| {
        let text = std::fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    spent.sum::<f64>() * 1e-9
}
