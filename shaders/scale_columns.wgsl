// y = x diag(s), an element a thread.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.y * 32768u + group.x) * 64u + thread;
    if i >= params.rows * params.cols { return; }
    y[i] = x[i] * s[i % params.cols];
}
