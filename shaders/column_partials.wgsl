// y[p, c] = the sum of x[r, c] over the rows r = p, p + parts, p + 2 parts... One thread an element of y.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    var sum = 0.0;
    for (var r = id.y; r < params.rows; r += params.parts) { sum += x[r * params.cols + id.x]; }
    y[id.y * params.cols + id.x] = sum;
}
