// y [cols, pitch] = xᵀ, filled up with zeros from `rows` to `pitch`. A thread copies 16 rows of a column.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let end = min(id.y * 16u + 16u, params.pitch);
    for (var r = id.y * 16u; r < end; r++) {
        var value = 0.0;
        if r < params.rows { value = x[r * params.cols + id.x]; }
        y[id.x * params.pitch + r] = value;
    }
}
