// Partial sums of LayerNorm's parameters' gradients: d_gamma[p, c] = the sum of d_y n over the rows p, p + parts..., d_beta
// that of d_y, with n = (x - mean) s. One thread a column of a part.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_gamma: array<f32>;
@group(0) @binding(9) var<storage, read_write> d_beta: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    var gain = 0.0;
    var offset = 0.0;
    for (var r = id.y; r < params.rows; r += params.parts) {
        let at = r * params.cols + id.x;
        gain += d_y[at] * (x[at] - stats[r * 2u]) * stats[r * 2u + 1u];
        offset += d_y[at];
    }
    d_gamma[id.y * params.cols + id.x] = gain;
    d_beta[id.y * params.cols + id.x] = offset;
}
