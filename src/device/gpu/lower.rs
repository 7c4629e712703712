//! Lowers a list to dispatches, and runs them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use web_time::Instant;

use super::Gpu;
use super::pipeline::{Pipeline, choose};
use super::wait::{Signal, drive};
use crate::device::call::{CallContext, CallList, PARAMS_BINDING, Role, Variant, View, WRITE_BINDING};
use crate::device::plan::Slots;
use crate::device::sizes::BatchSizes;
use crate::device::weight::Layout;
use crate::device::{Cancel, Input};
use crate::error::{Error, OptionName, Remedy, Result, help};

/// Dynamic offsets of uniforms are multiples of this on every adapter.
const UNIFORM_STRIDE: usize = 256;

/// A list lowered for one GPU.
#[derive(Debug)]
pub struct GpuPlan {
    pub(in crate::device) capacity: BatchSizes,
    list: CallList,
    slots: Slots,
    buffers: Vec<wgpu::Buffer>,
    steps: Vec<Step>,
    uniforms: wgpu::Buffer,
    /// The bytes of all uniforms. Every run reuses them and `bits`, the parameters of one call.
    staging: Vec<u8>,
    bits: Vec<u32>,
    readback: wgpu::Buffer,
}

/// One dispatch.
#[derive(Debug)]
struct Step {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: fn(&[u32]) -> [u32; 3],
    variant: &'static str,
}

impl GpuPlan {
    /// The bytes of the activations, the uniforms and the buffer for reading back.
    pub fn bytes(&self) -> u64 {
        self.slots.bytes() + self.readback.size() + self.uniforms.size()
    }

    /// The op and the variant of each call, in order.
    pub fn variants(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.list.calls.iter().zip(&self.steps).map(|(c, s)| (c.op.name, s.variant))
    }
}

pub(super) fn lower(gpu: &Gpu, list: &CallList, capacity: BatchSizes, pin: Option<&str>) -> Result<GpuPlan> {
    let slots = Slots::assign(list, capacity);
    let make = |label: &str, size: u64, usage| {
        gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    };
    let most = gpu.limits.binding_bytes.min(gpu.limits.buffer_bytes);
    let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let mut buffers = Vec::with_capacity(slots.len.len());
    for &len in &slots.len {
        let size = (len.max(4) as u64 * 4).next_multiple_of(16);
        if size > most {
            return Err(Error::Memory {
                what: format!("a batch of {} tokens on {}", capacity.tokens, gpu.info.name),
                need: size,
                have: most,
                help: help!("Use a smaller batch or a smaller ", OptionName("max_seq_len")),
            });
        }
        buffers.push(make("activations", size, storage));
    }
    let uniform_bytes = (list.calls.len() * UNIFORM_STRIDE).max(UNIFORM_STRIDE) as u64;
    let uniforms = make("params", uniform_bytes, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
    let out_bytes: usize = list.outputs.iter().map(|id| list.info(*id).len(capacity) * 4).sum();
    let readback =
        make("readback", out_bytes.max(16) as u64, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let steps = list.calls.iter().map(|call| {
        let context = CallContext { call, tensors: &list.tensors, capacity };
        step(gpu, list, &slots, &buffers, &uniforms, &context, choose(&context, gpu, pin))
    });
    let steps = steps.collect();
    let staging = vec![0; uniform_bytes as usize];
    let list = list.clone();
    Ok(GpuPlan { capacity, list, slots, buffers, steps, uniforms, staging, bits: Vec::new(), readback })
}

fn step(
    gpu: &Gpu,
    list: &CallList,
    slots: &Slots,
    buffers: &[wgpu::Buffer],
    uniforms: &wgpu::Buffer,
    context: &CallContext<'_>,
    variant: &Variant,
) -> Step {
    let call = context.call;
    let pipeline = gpu.pipeline(variant, context);
    let bind = |binding: u32, view: &View| {
        let info = list.info(view.tensor);
        let buffer = match (&info.role, slots.of[view.tensor.0 as usize]) {
            (Role::Persistent(state), _) => state.buffer(),
            (Role::Weight(w), _) => match w.layout() {
                Layout::Buffer(b) => b,
                _ => unreachable!("{} lives on another device", info.name),
            },
            (_, Some(slot)) => &buffers[slot],
            _ => unreachable!("{} has no memory", info.name),
        };
        let offset = u64::from(view.first) * u64::from(info.cols) * 4;
        assert!(offset % 256 == 0, "bindings begin at multiples of 256 bytes");
        let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: None });
        wgpu::BindGroupEntry { binding, resource }
    };
    let mut entries: Vec<_> = call.read_bindings().map(|(i, v)| bind(i, v)).collect();
    entries.extend((WRITE_BINDING..).zip(&call.writes).map(|(i, v)| bind(i, v)));
    entries.push(wgpu::BindGroupEntry {
        binding: PARAMS_BINDING,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniforms,
            offset: 0,
            size: std::num::NonZeroU64::new(UNIFORM_STRIDE as u64),
        }),
    });
    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(call.op.name),
        layout: &pipeline.layout,
        entries: &entries,
    });
    Step { pipeline, bind_group, grid: variant.grid, variant: variant.name }
}

pub(super) async fn run(
    gpu: &Gpu,
    plan: &mut GpuPlan,
    sizes: BatchSizes,
    inputs: &[Input<'_>],
    cancel: &Cancel,
) -> Result<Vec<Vec<f32>>> {
    cancel.check()?;
    for (id, bytes) in inputs {
        let len = plan.list.info(*id).len(sizes) * 4;
        let slot = plan.slots.of[id.0 as usize].expect("an input has memory of its own");
        gpu.queue.write_buffer(&plan.buffers[slot], 0, &bytes[..len]);
    }
    write_params(gpu, plan, sizes);

    let budget = gpu.budget();
    let (mut held, mut total) = (0.0, 0.0);
    let begun = Instant::now();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut next = 0;
    while next < plan.steps.len() {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        while next < plan.steps.len() {
            let (call, step) = (&plan.list.calls[next], &plan.steps[next]);
            call.resolve(sizes, &mut plan.bits);
            let flops = (call.op.flops)(&plan.bits);
            if held > 0.0 && held + flops > budget {
                break;
            }
            let [x, y, z] = (step.grid)(&plan.bits);
            assert!(x.max(y).max(z) <= gpu.limits.groups, "{}: grid {x} {y} {z}", step.variant);
            pass.set_pipeline(&step.pipeline.compute);
            pass.set_bind_group(0, &step.bind_group, &[(next * UNIFORM_STRIDE) as u32]);
            pass.dispatch_workgroups(x, y, z);
            gpu.tally.op();
            held += flops;
            total += flops;
            next += 1;
        }
        drop(pass);
        if next < plan.steps.len() {
            let full = std::mem::replace(&mut encoder, gpu.device.create_command_encoder(&Default::default()));
            gpu.queue.submit([full.finish()]);
            gpu.tally.submission();
            finished(gpu).await?;
            cancel.check()?;
            held = 0.0;
        }
    }

    let mut at = 0;
    for id in &plan.list.outputs {
        let bytes = plan.list.info(*id).len(sizes) as u64 * 4;
        match (&plan.list.info(*id).role, plan.slots.of[id.0 as usize]) {
            (Role::Persistent(state), _) => encoder.copy_buffer_to_buffer(state.buffer(), 0, &plan.readback, at, bytes),
            (_, Some(slot)) => encoder.copy_buffer_to_buffer(&plan.buffers[slot], 0, &plan.readback, at, bytes),
            _ => {}
        }
        at += bytes;
    }
    gpu.queue.submit([encoder.finish()]);
    gpu.tally.submission();
    let lens = plan.list.outputs.iter().map(|id| plan.list.info(*id).len(sizes));
    let outputs = read(gpu, &plan.readback, lens, at).await?;
    if total > 1e8 {
        gpu.rate.store((total / begun.elapsed().as_secs_f64().max(1e-4)).to_bits(), Ordering::Relaxed);
    }
    cancel.check()?;
    Ok(outputs)
}

/// Resolves the parameters of every call and sends them in one write.
fn write_params(gpu: &Gpu, plan: &mut GpuPlan, sizes: BatchSizes) {
    for (call, place) in plan.list.calls.iter().zip(plan.staging.chunks_exact_mut(UNIFORM_STRIDE)) {
        call.resolve(sizes, &mut plan.bits);
        let bytes: &[u8] = bytemuck::cast_slice(&plan.bits);
        place[..bytes.len()].copy_from_slice(bytes);
    }
    gpu.queue.write_buffer(&plan.uniforms, 0, &plan.staging);
}

async fn finished(gpu: &Gpu) -> Result<()> {
    let (signal, done) = Signal::new();
    gpu.queue.on_submitted_work_done(move || done(()));
    let driven = drive(&gpu.device);
    gpu.check()?;
    driven.map_err(|problem| failed(gpu, problem))?;
    signal.await;
    Ok(())
}

/// Waits for all submitted work, then reads tensors from the first `bytes` bytes of a buffer, where they follow each
/// other. `lens` are their numbers of elements.
pub(super) async fn read(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    lens: impl ExactSizeIterator<Item = usize>,
    bytes: u64,
) -> Result<Vec<Vec<f32>>> {
    if bytes == 0 {
        finished(gpu).await?;
        return Ok(Vec::new());
    }
    let slice = buffer.slice(..bytes);
    let (signal, done) = Signal::new();
    slice.map_async(wgpu::MapMode::Read, done);
    let driven = drive(&gpu.device);
    gpu.check()?;
    driven.map_err(|problem| failed(gpu, problem))?;
    signal.await.map_err(|e| failed(gpu, e.to_string()))?;
    gpu.tally.readback();
    let view = slice.get_mapped_range().map_err(|e| failed(gpu, e.to_string()))?;
    let all: &[f32] = bytemuck::cast_slice(&view);
    let mut at = 0;
    let mut outputs = Vec::with_capacity(lens.len());
    for len in lens {
        outputs.push(all[at..at + len].to_vec());
        at += len;
    }
    drop(view);
    buffer.unmap();
    Ok(outputs)
}

fn failed(gpu: &Gpu, problem: String) -> Error {
    Error::Gpu {
        adapter: gpu.info.name.clone(),
        problem: format!("the work did not finish: {problem}"),
        help: help!("Try again, or ", Remedy::UseCpu),
    }
}
