// ctx = M softmax(Q Kᵀ scale) V for one head of one packed sequence, M being dropout's choice, and lse = log Σ exp of a
// query's scaled scores. One thread a query, any head size; nothing else is stored.
override HEAD_SIZE: u32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<f32>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

fn score(q: u32, k: u32) -> f32 {
    var s = 0.0;
    for (var d = 0u; d < HEAD_SIZE; d++) { s = fma(qkv[q + d], qkv[k + d], s); }
    return s * params.scale;
}

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let first = bounds[id.z];
    let end = bounds[id.z + 1u];
    let token = first + id.x;
    if token >= end { return; }
    let hidden = params.heads * HEAD_SIZE;
    let head = id.y * HEAD_SIZE;
    let q = token * 3u * hidden + head;
    let row = row_key(site_key(control[0], params.site), token * params.heads + id.y);
    var largest = -3.0e38;
    for (var t = first; t < end; t++) {
        largest = max(largest, score(q, t * 3u * hidden + hidden + head));
    }
    var sum = 0.0;
    let out = token * hidden + head;
    for (var d = 0u; d < HEAD_SIZE; d++) { ctx[out + d] = 0.0; }
    for (var t = first; t < end; t++) {
        let p = exp(score(q, t * 3u * hidden + hidden + head) - largest);
        let v = t * 3u * hidden + 2u * hidden + head;
        sum += p;
        let kept = p * keep(row, t - first, params.threshold, params.keep_scale);
        for (var d = 0u; d < HEAD_SIZE; d++) { ctx[out + d] += kept * qkv[v + d]; }
    }
    for (var d = 0u; d < HEAD_SIZE; d++) { ctx[out + d] /= sum; }
    lse[token * params.heads + id.y] = largest + log(sum);
}
