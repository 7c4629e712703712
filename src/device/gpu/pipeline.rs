//! Joins shaders from their pieces, and compiles each one once for a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;
use crate::device::call::{CallContext, Op, PARAMS_BINDING, Variant, WRITE_BINDING};
#[cfg(feature = "train")]
use crate::device::{BatchSizes, CallList, Kernels};

/// A compiled variant and the layout its bind groups have.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub compute: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<String, Arc<Pipeline>>>);

/// Chooses the variant of `context`'s op for `gpu`. Among those that fit, it is the pinned one, else the first of the
/// GPU's family, else the first.
pub(crate) fn choose(context: &CallContext<'_>, gpu: &Gpu, pin: Option<&str>) -> &'static Variant {
    let op: &'static Op = context.call.op;
    let fitting = || op.variants.iter().filter(|v| (v.fits)(context, &gpu.limits));
    fitting()
        .find(|v| pin == Some(v.name))
        .or_else(|| fitting().find(|v| v.family == gpu.family))
        .or_else(|| fitting().next())
        .unwrap_or_else(|| unreachable!("{}: every op has a variant that always fits", op.name))
}

/// The text of a variant's shader for a call: the struct of its parameters, then the variant's pieces.
pub fn source(variant: &Variant, context: &CallContext<'_>) -> String {
    [&[context.call.op.params.wgsl], &(variant.wgsl)(context)[..]].concat().join("\n")
}

impl Gpu {
    /// See [`Device::kernels`](crate::device::Device::kernels).
    #[cfg(feature = "train")]
    pub(in crate::device) fn kernels(&self, list: &CallList) -> Kernels {
        // The smallest batch: the choice between variants of the same bits must not show.
        let capacity = BatchSizes { tokens: 1, sequences: 1, longest: 1, picked: 1 };
        let mut all = Kernels::new();
        for call in &list.calls {
            let context = CallContext { call, tensors: &list.tensors, capacity };
            all.entry(call.op.name).or_default().insert(choose(&context, self, None).name);
        }
        all
    }

    /// The compiled variant for `context`. It comes from the cache if another call needed the same.
    pub(super) fn pipeline(&self, variant: &Variant, context: &CallContext<'_>) -> Arc<Pipeline> {
        let overrides = (variant.overrides)(context);
        let mut text = source(variant, context);
        if let Some(rewrite) = self.options.rewrite {
            text = rewrite(variant.name, text);
        }
        let reads: Vec<u32> = context.call.read_bindings().map(|(binding, _)| binding).collect();
        let writes = context.call.writes.len() as u32;
        let key = format!("{overrides:?} {reads:?} {writes} {text}");
        let mut cache = self.pipelines.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache
            .entry(key)
            .or_insert_with(|| Arc::new(self.compile(variant.name, &text, &overrides, &reads, writes)))
            .clone()
    }

    fn compile(&self, name: &str, text: &str, overrides: &[(&str, f64)], reads: &[u32], writes: u32) -> Pipeline {
        let storage = |read_only| wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        };
        let mut entries: Vec<_> = reads.iter().map(|i| entry(*i, storage(true))).collect();
        entries.extend((0..writes).map(|i| entry(WRITE_BINDING + i, storage(false))));
        entries.push(entry(
            PARAMS_BINDING,
            wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: None,
            },
        ));
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
        let module = if self.options.checked || self.options.rewrite.is_some() {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: the text is this crate's own, and no part of it comes from a user. Every kernel checks its own
            // indices against the sizes in its parameters, and the tests confirm that by running with the driver's
            // checks.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let compute = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: overrides,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { compute, layout }
    }
}
