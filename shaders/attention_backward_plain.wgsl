// The gradients of attention's q, k and v, any head size. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
// Every other workgroup takes 8 queries, for dQ, the ones between 8 keys, for dK and dV: no two threads add to one element.
override HEAD_SIZE: u32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(3) var<storage, read> d_ctx: array<f32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

// M P and dS for query token `q` and key token `k` of the sequence that begins at `first`.
fn pair(q: u32, k: u32, first: u32, head: u32) -> vec2f {
    let hidden = params.heads * HEAD_SIZE;
    let query = q * 3u * hidden + head * HEAD_SIZE;
    let key = k * 3u * hidden + hidden + head * HEAD_SIZE;
    let out = q * hidden + head * HEAD_SIZE;
    var s = 0.0;
    var d_p = 0.0;
    for (var d = 0u; d < HEAD_SIZE; d++) {
        s = fma(qkv[query + d], qkv[key + d], s);
        d_p = fma(d_ctx[out + d], qkv[key + hidden + d], d_p);
    }
    let row = q * params.heads + head;
    let p = exp(s * params.scale - lse[row]);
    let kept = keep(row_key(site_key(control[0], params.site), row), k - first, params.threshold, params.keep_scale);
    return vec2f(p * kept, p * (d_p * kept - delta[row]) * params.scale);
}

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x >> 1u) * 8u + lane.x;
    if token >= end { return; }
    let hidden = params.heads * HEAD_SIZE;
    let head = group.y * HEAD_SIZE;
    let mine = token * 3u * hidden + head;
    if (group.x & 1u) == 0u {
        for (var d = 0u; d < HEAD_SIZE; d++) { d_qkv[mine + d] = 0.0; }
        for (var t = first; t < end; t++) {
            let both = pair(token, t, first, group.y);
            let key = t * 3u * hidden + hidden + head;
            for (var d = 0u; d < HEAD_SIZE; d++) { d_qkv[mine + d] += both.y * qkv[key + d]; }
        }
        return;
    }
    let d_k = mine + hidden;
    let d_v = d_k + hidden;
    for (var d = 0u; d < HEAD_SIZE; d++) {
        d_qkv[d_k + d] = 0.0;
        d_qkv[d_v + d] = 0.0;
    }
    for (var t = first; t < end; t++) {
        let both = pair(t, token, first, group.y);
        let query = t * 3u * hidden + head;
        let out = t * hidden + head;
        for (var d = 0u; d < HEAD_SIZE; d++) {
            d_qkv[d_k + d] += both.y * qkv[query + d];
            d_qkv[d_v + d] += both.x * d_ctx[out + d];
        }
    }
}
