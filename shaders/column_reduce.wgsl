// y[c] += x[0, c] + x[1, c] + ... One thread a column.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    var sum = 0.0;
    for (var r = 0u; r < params.rows; r++) { sum += x[r * params.cols + id.x]; }
    y[id.x] += sum;
}
