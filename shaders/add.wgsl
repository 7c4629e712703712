// y += x, four elements a thread.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.y * 32768u + group.x) * 64u + thread;
    if i * 4u >= params.rows * params.cols { return; }
    y[i] += x[i];
}
