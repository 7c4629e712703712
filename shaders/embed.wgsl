// y[t] = word[ids[t].x] + kind[ids[t].y] + position[ids[t].z], in this order. 16 rows of a column a thread.
@group(0) @binding(0) var<storage, read> word: array<f32>;
@group(0) @binding(1) var<storage, read> kind: array<f32>;
@group(0) @binding(2) var<storage, read> position: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let end = min(id.y * 16u + 16u, params.rows);
    for (var t = id.y * 16u; t < end; t++) {
        let w = min(ids[t * 3u], arrayLength(&word) / params.cols - 1u);
        let k = min(ids[t * 3u + 1u], arrayLength(&kind) / params.cols - 1u);
        let p = min(ids[t * 3u + 2u], arrayLength(&position) / params.cols - 1u);
        let sum = word[w * params.cols + id.x] + kind[k * params.cols + id.x];
        y[t * params.cols + id.x] = sum + position[p * params.cols + id.x];
    }
}
