// y = x where the element's hash keeps it, scaled, else 0; plus the residual where there is one. 16 rows of a column a thread.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let key = site_key(control[0], params.site);
    let end = min(id.y * 16u + 16u, params.rows);
    for (var r = id.y * 16u; r < end; r++) {
        let i = r * params.cols + id.x;
        y[i] = x[i] * keep(row_key(key, r), id.x, params.threshold, params.scale) + residual_at(i);
    }
}
