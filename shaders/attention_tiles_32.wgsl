// ctx = softmax(Q Kᵀ scale) V, heads of 32. A workgroup takes 64 queries of one head, one a thread, through the keys of their
// sequence, 32 at a time in shared memory, with a running maximum m and sum l (online softmax).
// Written by unroll.py.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;

var<workgroup> tile_k: array<vec4f, 256>;
var<workgroup> tile_v: array<vec4f, 256>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + group.x * 64u + local.x;
    // The same for the whole workgroup, as the barriers want it.
    if first + group.x * 64u >= end { return; }
    // In vectors of four.
    let hidden = params.heads * 8u;
    let head = group.y * 8u;
    let query = min(token, end - 1u) * 3u * hidden + head;
    let q0 = qkv[query + 0u] * params.scale;
    let q1 = qkv[query + 1u] * params.scale;
    let q2 = qkv[query + 2u] * params.scale;
    let q3 = qkv[query + 3u] * params.scale;
    let q4 = qkv[query + 4u] * params.scale;
    let q5 = qkv[query + 5u] * params.scale;
    let q6 = qkv[query + 6u] * params.scale;
    let q7 = qkv[query + 7u] * params.scale;
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    var c4 = vec4f(0.0);
    var c5 = vec4f(0.0);
    var c6 = vec4f(0.0);
    var c7 = vec4f(0.0);
    var m = -3.0e38;
    var l = 0.0;
    for (var tile = first; tile < end; tile += 32u) {
        workgroupBarrier();
        for (var i = local.x; i < 256u; i += 64u) {
            let at = min(tile + i / 8u, end - 1u) * 3u * hidden + head + i % 8u;
            tile_k[i] = qkv[at + hidden];
            tile_v[i] = qkv[at + 2u * hidden];
        }
        workgroupBarrier();
        let count = min(32u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * 8u;
            let s = dot(fma(q7, tile_k[at + 7u], fma(q6, tile_k[at + 6u], fma(q5, tile_k[at + 5u], fma(q4, tile_k[at + 4u], fma(q3, tile_k[at + 3u], fma(q2, tile_k[at + 2u], fma(q1, tile_k[at + 1u], q0 * tile_k[at + 0u]))))))), vec4f(1.0));
            let n = max(m, s);
            let f = exp(m - n);
            let p = exp(s - n);
            m = n;
            l = fma(l, f, p);
            c0 = fma(vec4f(p), tile_v[at + 0u], c0 * f);
            c1 = fma(vec4f(p), tile_v[at + 1u], c1 * f);
            c2 = fma(vec4f(p), tile_v[at + 2u], c2 * f);
            c3 = fma(vec4f(p), tile_v[at + 3u], c3 * f);
            c4 = fma(vec4f(p), tile_v[at + 4u], c4 * f);
            c5 = fma(vec4f(p), tile_v[at + 5u], c5 * f);
            c6 = fma(vec4f(p), tile_v[at + 6u], c6 * f);
            c7 = fma(vec4f(p), tile_v[at + 7u], c7 * f);
        }
    }
    if token < end {
        let r = 1.0 / l;
        let at = token * hidden + head;
        ctx[at + 0u] = c0 * r;
        ctx[at + 1u] = c1 * r;
        ctx[at + 2u] = c2 * r;
        ctx[at + 3u] = c3 * r;
        ctx[at + 4u] = c4 * r;
        ctx[at + 5u] = c5 * r;
        ctx[at + 6u] = c6 * r;
        ctx[at + 7u] = c7 * r;
    }
}
