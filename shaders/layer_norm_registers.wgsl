// y = (x - mean) / sqrt(var + eps) * gamma + beta. One thread a row: no barrier, which software adapters pay dearly.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let first = id.x * params.cols;
    var sum = 0.0;
    for (var c = 0u; c < params.cols; c++) { sum += x[first + c]; }
    let mean = sum / f32(params.cols);
    var squares = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let d = x[first + c] - mean;
        squares += d * d;
    }
    let scale = 1.0 / sqrt(squares / f32(params.cols) + params.eps);
    for (var c = 0u; c < params.cols; c++) {
        y[first + c] = (x[first + c] - mean) * scale * gamma[c] + beta[c];
    }
}
