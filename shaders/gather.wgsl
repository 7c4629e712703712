// y[r] = x[index[r]], whole rows. One thread an element.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let row = min(index[id.y], arrayLength(&x) / params.cols - 1u);
    y[id.y * params.cols + id.x] = x[row * params.cols + id.x];
}
