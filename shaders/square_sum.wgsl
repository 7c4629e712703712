// y[j] += the sum of x[i]² over i = j, j + parts, j + 2 parts... One thread an element of y.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.parts { return; }
    var sum = 0.0;
    for (var i = id.x; i < params.len; i += params.parts) { sum = fma(x[i], x[i], sum); }
    y[id.x] += sum;
}
