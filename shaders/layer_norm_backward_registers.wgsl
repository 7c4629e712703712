// d_x = s (g - mean(g) - n mean(g n)), with g = gamma d_y, n = (x - mean) s and s = 1 / sqrt(var + eps); stats = mean, s.
// One thread a row: no barrier.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(9) var<storage, read_write> stats: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let first = id.x * params.cols;
    let n = f32(params.cols);
    var sum = 0.0;
    for (var c = 0u; c < params.cols; c++) { sum += x[first + c]; }
    let mean = sum / n;
    var squares = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let d = x[first + c] - mean;
        squares += d * d;
    }
    let scale = 1.0 / sqrt(squares / n + params.eps);
    var g_sum = 0.0;
    var gn_sum = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let g = gamma[c] * d_y[first + c];
        g_sum += g;
        gn_sum += g * (x[first + c] - mean) * scale;
    }
    for (var c = 0u; c < params.cols; c++) {
        let g = gamma[c] * d_y[first + c];
        d_x[first + c] = scale * (g - g_sum / n - (x[first + c] - mean) * scale * (gn_sum / n));
    }
    stats[id.x * 2u] = mean;
    stats[id.x * 2u + 1u] = scale;
}
