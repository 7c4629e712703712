// The gradients of attention's q, k and v, heads of 64. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
// Of three workgroups one gives dQ, one dK and one dV, each for 64 tokens, one a thread, from 16 tokens of the other side at a
// time in shared memory: no two threads add to one element.
// Written by unroll.py.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(3) var<storage, read> d_ctx: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;

var<workgroup> tile_u: array<vec4f, 256>;
var<workgroup> tile_w: array<vec4f, 256>;
// Log-sum-exp and delta of queries, and their keys of dropout's hash.
var<workgroup> tile_terms: array<vec2f, 16>;
var<workgroup> tile_row: array<u32, 16>;

fn queries(first: u32, end: u32, block: u32, thread: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let token = block + thread;
    let mine = min(token, end - 1u);
    let at = mine * 3u * hidden + column;
    let out = mine * hidden + column;
    let a0 = qkv[at + 0u] * params.scale;
    let a1 = qkv[at + 1u] * params.scale;
    let a2 = qkv[at + 2u] * params.scale;
    let a3 = qkv[at + 3u] * params.scale;
    let a4 = qkv[at + 4u] * params.scale;
    let a5 = qkv[at + 5u] * params.scale;
    let a6 = qkv[at + 6u] * params.scale;
    let a7 = qkv[at + 7u] * params.scale;
    let a8 = qkv[at + 8u] * params.scale;
    let a9 = qkv[at + 9u] * params.scale;
    let a10 = qkv[at + 10u] * params.scale;
    let a11 = qkv[at + 11u] * params.scale;
    let a12 = qkv[at + 12u] * params.scale;
    let a13 = qkv[at + 13u] * params.scale;
    let a14 = qkv[at + 14u] * params.scale;
    let a15 = qkv[at + 15u] * params.scale;
    let b0 = d_ctx[out + 0u];
    let b1 = d_ctx[out + 1u];
    let b2 = d_ctx[out + 2u];
    let b3 = d_ctx[out + 3u];
    let b4 = d_ctx[out + 4u];
    let b5 = d_ctx[out + 5u];
    let b6 = d_ctx[out + 6u];
    let b7 = d_ctx[out + 7u];
    let b8 = d_ctx[out + 8u];
    let b9 = d_ctx[out + 9u];
    let b10 = d_ctx[out + 10u];
    let b11 = d_ctx[out + 11u];
    let b12 = d_ctx[out + 12u];
    let b13 = d_ctx[out + 13u];
    let b14 = d_ctx[out + 14u];
    let b15 = d_ctx[out + 15u];
    let row = mine * params.heads + head;
    let e = lse[row];
    let g = delta[row];
    let key = site_key(control[0], params.site);
    let choices = row_key(key, row);
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    var c4 = vec4f(0.0);
    var c5 = vec4f(0.0);
    var c6 = vec4f(0.0);
    var c7 = vec4f(0.0);
    var c8 = vec4f(0.0);
    var c9 = vec4f(0.0);
    var c10 = vec4f(0.0);
    var c11 = vec4f(0.0);
    var c12 = vec4f(0.0);
    var c13 = vec4f(0.0);
    var c14 = vec4f(0.0);
    var c15 = vec4f(0.0);
    for (var tile = first; tile < end; tile += 16u) {
        workgroupBarrier();
        for (var i = thread; i < 256u; i += 64u) {
            let other = min(tile + i / 16u, end - 1u);
            let begin = other * 3u * hidden + column + i % 16u;
            tile_u[i] = qkv[begin + hidden];
            tile_w[i] = qkv[begin + 2u * hidden];
        }
        workgroupBarrier();
        let count = min(16u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * 16u;
            let p = exp(dot(fma(a15, tile_u[at + 15u], fma(a14, tile_u[at + 14u], fma(a13, tile_u[at + 13u], fma(a12, tile_u[at + 12u], fma(a11, tile_u[at + 11u], fma(a10, tile_u[at + 10u], fma(a9, tile_u[at + 9u], fma(a8, tile_u[at + 8u], fma(a7, tile_u[at + 7u], fma(a6, tile_u[at + 6u], fma(a5, tile_u[at + 5u], fma(a4, tile_u[at + 4u], fma(a3, tile_u[at + 3u], fma(a2, tile_u[at + 2u], fma(a1, tile_u[at + 1u], a0 * tile_u[at + 0u]))))))))))))))), vec4f(1.0)) - e);
            var m = 1.0;
            if params.threshold > 0u { m = keep(choices, tile + t - first, params.threshold, params.keep_scale); }
            let s = p * (dot(fma(b15, tile_w[at + 15u], fma(b14, tile_w[at + 14u], fma(b13, tile_w[at + 13u], fma(b12, tile_w[at + 12u], fma(b11, tile_w[at + 11u], fma(b10, tile_w[at + 10u], fma(b9, tile_w[at + 9u], fma(b8, tile_w[at + 8u], fma(b7, tile_w[at + 7u], fma(b6, tile_w[at + 6u], fma(b5, tile_w[at + 5u], fma(b4, tile_w[at + 4u], fma(b3, tile_w[at + 3u], fma(b2, tile_w[at + 2u], fma(b1, tile_w[at + 1u], b0 * tile_w[at + 0u]))))))))))))))), vec4f(1.0)) * m - g);
            c0 = fma(vec4f(s), tile_u[at + 0u], c0);
            c1 = fma(vec4f(s), tile_u[at + 1u], c1);
            c2 = fma(vec4f(s), tile_u[at + 2u], c2);
            c3 = fma(vec4f(s), tile_u[at + 3u], c3);
            c4 = fma(vec4f(s), tile_u[at + 4u], c4);
            c5 = fma(vec4f(s), tile_u[at + 5u], c5);
            c6 = fma(vec4f(s), tile_u[at + 6u], c6);
            c7 = fma(vec4f(s), tile_u[at + 7u], c7);
            c8 = fma(vec4f(s), tile_u[at + 8u], c8);
            c9 = fma(vec4f(s), tile_u[at + 9u], c9);
            c10 = fma(vec4f(s), tile_u[at + 10u], c10);
            c11 = fma(vec4f(s), tile_u[at + 11u], c11);
            c12 = fma(vec4f(s), tile_u[at + 12u], c12);
            c13 = fma(vec4f(s), tile_u[at + 13u], c13);
            c14 = fma(vec4f(s), tile_u[at + 14u], c14);
            c15 = fma(vec4f(s), tile_u[at + 15u], c15);
        }
    }
    if token < end {
        let to = token * 3u * hidden + 0u * hidden + column;
        d_qkv[to + 0u] = c0 * params.scale;
        d_qkv[to + 1u] = c1 * params.scale;
        d_qkv[to + 2u] = c2 * params.scale;
        d_qkv[to + 3u] = c3 * params.scale;
        d_qkv[to + 4u] = c4 * params.scale;
        d_qkv[to + 5u] = c5 * params.scale;
        d_qkv[to + 6u] = c6 * params.scale;
        d_qkv[to + 7u] = c7 * params.scale;
        d_qkv[to + 8u] = c8 * params.scale;
        d_qkv[to + 9u] = c9 * params.scale;
        d_qkv[to + 10u] = c10 * params.scale;
        d_qkv[to + 11u] = c11 * params.scale;
        d_qkv[to + 12u] = c12 * params.scale;
        d_qkv[to + 13u] = c13 * params.scale;
        d_qkv[to + 14u] = c14 * params.scale;
        d_qkv[to + 15u] = c15 * params.scale;
    }
}

fn keys(first: u32, end: u32, block: u32, thread: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let token = block + thread;
    let mine = min(token, end - 1u);
    let at = mine * 3u * hidden + column;
    let a0 = qkv[at + hidden + 0u] * params.scale;
    let a1 = qkv[at + hidden + 1u] * params.scale;
    let a2 = qkv[at + hidden + 2u] * params.scale;
    let a3 = qkv[at + hidden + 3u] * params.scale;
    let a4 = qkv[at + hidden + 4u] * params.scale;
    let a5 = qkv[at + hidden + 5u] * params.scale;
    let a6 = qkv[at + hidden + 6u] * params.scale;
    let a7 = qkv[at + hidden + 7u] * params.scale;
    let a8 = qkv[at + hidden + 8u] * params.scale;
    let a9 = qkv[at + hidden + 9u] * params.scale;
    let a10 = qkv[at + hidden + 10u] * params.scale;
    let a11 = qkv[at + hidden + 11u] * params.scale;
    let a12 = qkv[at + hidden + 12u] * params.scale;
    let a13 = qkv[at + hidden + 13u] * params.scale;
    let a14 = qkv[at + hidden + 14u] * params.scale;
    let a15 = qkv[at + hidden + 15u] * params.scale;
    let b0 = qkv[at + 2u * hidden + 0u];
    let b1 = qkv[at + 2u * hidden + 1u];
    let b2 = qkv[at + 2u * hidden + 2u];
    let b3 = qkv[at + 2u * hidden + 3u];
    let b4 = qkv[at + 2u * hidden + 4u];
    let b5 = qkv[at + 2u * hidden + 5u];
    let b6 = qkv[at + 2u * hidden + 6u];
    let b7 = qkv[at + 2u * hidden + 7u];
    let b8 = qkv[at + 2u * hidden + 8u];
    let b9 = qkv[at + 2u * hidden + 9u];
    let b10 = qkv[at + 2u * hidden + 10u];
    let b11 = qkv[at + 2u * hidden + 11u];
    let b12 = qkv[at + 2u * hidden + 12u];
    let b13 = qkv[at + 2u * hidden + 13u];
    let b14 = qkv[at + 2u * hidden + 14u];
    let b15 = qkv[at + 2u * hidden + 15u];
    let key = site_key(control[0], params.site);
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    var c4 = vec4f(0.0);
    var c5 = vec4f(0.0);
    var c6 = vec4f(0.0);
    var c7 = vec4f(0.0);
    var c8 = vec4f(0.0);
    var c9 = vec4f(0.0);
    var c10 = vec4f(0.0);
    var c11 = vec4f(0.0);
    var c12 = vec4f(0.0);
    var c13 = vec4f(0.0);
    var c14 = vec4f(0.0);
    var c15 = vec4f(0.0);
    for (var tile = first; tile < end; tile += 16u) {
        workgroupBarrier();
        for (var i = thread; i < 256u; i += 64u) {
            let other = min(tile + i / 16u, end - 1u);
            let begin = other * 3u * hidden + column + i % 16u;
            let out = other * hidden + column + i % 16u;
            tile_u[i] = qkv[begin];
            tile_w[i] = d_ctx[out];
        }
        if thread < 16u {
            let row = min(tile + thread, end - 1u) * params.heads + head;
            tile_terms[thread] = vec2f(lse[row], delta[row]);
            tile_row[thread] = row_key(key, row);
        }
        workgroupBarrier();
        let count = min(16u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * 16u;
            let e = tile_terms[t].x;
            let g = tile_terms[t].y;
            let p = exp(dot(fma(a15, tile_u[at + 15u], fma(a14, tile_u[at + 14u], fma(a13, tile_u[at + 13u], fma(a12, tile_u[at + 12u], fma(a11, tile_u[at + 11u], fma(a10, tile_u[at + 10u], fma(a9, tile_u[at + 9u], fma(a8, tile_u[at + 8u], fma(a7, tile_u[at + 7u], fma(a6, tile_u[at + 6u], fma(a5, tile_u[at + 5u], fma(a4, tile_u[at + 4u], fma(a3, tile_u[at + 3u], fma(a2, tile_u[at + 2u], fma(a1, tile_u[at + 1u], a0 * tile_u[at + 0u]))))))))))))))), vec4f(1.0)) - e);
            var m = 1.0;
            if params.threshold > 0u { m = keep(tile_row[t], token - first, params.threshold, params.keep_scale); }
            let s = p * (dot(fma(b15, tile_w[at + 15u], fma(b14, tile_w[at + 14u], fma(b13, tile_w[at + 13u], fma(b12, tile_w[at + 12u], fma(b11, tile_w[at + 11u], fma(b10, tile_w[at + 10u], fma(b9, tile_w[at + 9u], fma(b8, tile_w[at + 8u], fma(b7, tile_w[at + 7u], fma(b6, tile_w[at + 6u], fma(b5, tile_w[at + 5u], fma(b4, tile_w[at + 4u], fma(b3, tile_w[at + 3u], fma(b2, tile_w[at + 2u], fma(b1, tile_w[at + 1u], b0 * tile_w[at + 0u]))))))))))))))), vec4f(1.0)) * m - g);
            c0 = fma(vec4f(s), tile_u[at + 0u], c0);
            c1 = fma(vec4f(s), tile_u[at + 1u], c1);
            c2 = fma(vec4f(s), tile_u[at + 2u], c2);
            c3 = fma(vec4f(s), tile_u[at + 3u], c3);
            c4 = fma(vec4f(s), tile_u[at + 4u], c4);
            c5 = fma(vec4f(s), tile_u[at + 5u], c5);
            c6 = fma(vec4f(s), tile_u[at + 6u], c6);
            c7 = fma(vec4f(s), tile_u[at + 7u], c7);
            c8 = fma(vec4f(s), tile_u[at + 8u], c8);
            c9 = fma(vec4f(s), tile_u[at + 9u], c9);
            c10 = fma(vec4f(s), tile_u[at + 10u], c10);
            c11 = fma(vec4f(s), tile_u[at + 11u], c11);
            c12 = fma(vec4f(s), tile_u[at + 12u], c12);
            c13 = fma(vec4f(s), tile_u[at + 13u], c13);
            c14 = fma(vec4f(s), tile_u[at + 14u], c14);
            c15 = fma(vec4f(s), tile_u[at + 15u], c15);
        }
    }
    if token < end {
        let to = token * 3u * hidden + 1u * hidden + column;
        d_qkv[to + 0u] = c0 * params.scale;
        d_qkv[to + 1u] = c1 * params.scale;
        d_qkv[to + 2u] = c2 * params.scale;
        d_qkv[to + 3u] = c3 * params.scale;
        d_qkv[to + 4u] = c4 * params.scale;
        d_qkv[to + 5u] = c5 * params.scale;
        d_qkv[to + 6u] = c6 * params.scale;
        d_qkv[to + 7u] = c7 * params.scale;
        d_qkv[to + 8u] = c8 * params.scale;
        d_qkv[to + 9u] = c9 * params.scale;
        d_qkv[to + 10u] = c10 * params.scale;
        d_qkv[to + 11u] = c11 * params.scale;
        d_qkv[to + 12u] = c12 * params.scale;
        d_qkv[to + 13u] = c13 * params.scale;
        d_qkv[to + 14u] = c14 * params.scale;
        d_qkv[to + 15u] = c15 * params.scale;
    }
}

fn values(first: u32, end: u32, block: u32, thread: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let token = block + thread;
    let mine = min(token, end - 1u);
    let at = mine * 3u * hidden + column;
    let a0 = qkv[at + hidden + 0u] * params.scale;
    let a1 = qkv[at + hidden + 1u] * params.scale;
    let a2 = qkv[at + hidden + 2u] * params.scale;
    let a3 = qkv[at + hidden + 3u] * params.scale;
    let a4 = qkv[at + hidden + 4u] * params.scale;
    let a5 = qkv[at + hidden + 5u] * params.scale;
    let a6 = qkv[at + hidden + 6u] * params.scale;
    let a7 = qkv[at + hidden + 7u] * params.scale;
    let a8 = qkv[at + hidden + 8u] * params.scale;
    let a9 = qkv[at + hidden + 9u] * params.scale;
    let a10 = qkv[at + hidden + 10u] * params.scale;
    let a11 = qkv[at + hidden + 11u] * params.scale;
    let a12 = qkv[at + hidden + 12u] * params.scale;
    let a13 = qkv[at + hidden + 13u] * params.scale;
    let a14 = qkv[at + hidden + 14u] * params.scale;
    let a15 = qkv[at + hidden + 15u] * params.scale;
    let key = site_key(control[0], params.site);
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    var c4 = vec4f(0.0);
    var c5 = vec4f(0.0);
    var c6 = vec4f(0.0);
    var c7 = vec4f(0.0);
    var c8 = vec4f(0.0);
    var c9 = vec4f(0.0);
    var c10 = vec4f(0.0);
    var c11 = vec4f(0.0);
    var c12 = vec4f(0.0);
    var c13 = vec4f(0.0);
    var c14 = vec4f(0.0);
    var c15 = vec4f(0.0);
    for (var tile = first; tile < end; tile += 16u) {
        workgroupBarrier();
        for (var i = thread; i < 256u; i += 64u) {
            let other = min(tile + i / 16u, end - 1u);
            let begin = other * 3u * hidden + column + i % 16u;
            let out = other * hidden + column + i % 16u;
            tile_u[i] = qkv[begin];
            tile_w[i] = d_ctx[out];
        }
        if thread < 16u {
            let row = min(tile + thread, end - 1u) * params.heads + head;
            tile_terms[thread] = vec2f(lse[row], delta[row]);
            tile_row[thread] = row_key(key, row);
        }
        workgroupBarrier();
        let count = min(16u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * 16u;
            let e = tile_terms[t].x;
            let p = exp(dot(fma(a15, tile_u[at + 15u], fma(a14, tile_u[at + 14u], fma(a13, tile_u[at + 13u], fma(a12, tile_u[at + 12u], fma(a11, tile_u[at + 11u], fma(a10, tile_u[at + 10u], fma(a9, tile_u[at + 9u], fma(a8, tile_u[at + 8u], fma(a7, tile_u[at + 7u], fma(a6, tile_u[at + 6u], fma(a5, tile_u[at + 5u], fma(a4, tile_u[at + 4u], fma(a3, tile_u[at + 3u], fma(a2, tile_u[at + 2u], fma(a1, tile_u[at + 1u], a0 * tile_u[at + 0u]))))))))))))))), vec4f(1.0)) - e);
            var m = 1.0;
            if params.threshold > 0u { m = keep(tile_row[t], token - first, params.threshold, params.keep_scale); }
            let s = p * m;
            c0 = fma(vec4f(s), tile_w[at + 0u], c0);
            c1 = fma(vec4f(s), tile_w[at + 1u], c1);
            c2 = fma(vec4f(s), tile_w[at + 2u], c2);
            c3 = fma(vec4f(s), tile_w[at + 3u], c3);
            c4 = fma(vec4f(s), tile_w[at + 4u], c4);
            c5 = fma(vec4f(s), tile_w[at + 5u], c5);
            c6 = fma(vec4f(s), tile_w[at + 6u], c6);
            c7 = fma(vec4f(s), tile_w[at + 7u], c7);
            c8 = fma(vec4f(s), tile_w[at + 8u], c8);
            c9 = fma(vec4f(s), tile_w[at + 9u], c9);
            c10 = fma(vec4f(s), tile_w[at + 10u], c10);
            c11 = fma(vec4f(s), tile_w[at + 11u], c11);
            c12 = fma(vec4f(s), tile_w[at + 12u], c12);
            c13 = fma(vec4f(s), tile_w[at + 13u], c13);
            c14 = fma(vec4f(s), tile_w[at + 14u], c14);
            c15 = fma(vec4f(s), tile_w[at + 15u], c15);
        }
    }
    if token < end {
        let to = token * 3u * hidden + 2u * hidden + column;
        d_qkv[to + 0u] = c0;
        d_qkv[to + 1u] = c1;
        d_qkv[to + 2u] = c2;
        d_qkv[to + 3u] = c3;
        d_qkv[to + 4u] = c4;
        d_qkv[to + 5u] = c5;
        d_qkv[to + 6u] = c6;
        d_qkv[to + 7u] = c7;
        d_qkv[to + 8u] = c8;
        d_qkv[to + 9u] = c9;
        d_qkv[to + 10u] = c10;
        d_qkv[to + 11u] = c11;
        d_qkv[to + 12u] = c12;
        d_qkv[to + 13u] = c13;
        d_qkv[to + 14u] = c14;
        d_qkv[to + 15u] = c15;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let block = first + group.x / 3u * 64u;
    // The same for the whole workgroup, as the barriers want it.
    if block >= end { return; }
    switch group.x % 3u {
        case 0u: { queries(first, end, block, local.x, group.y); }
        case 1u: { keys(first, end, block, local.x, group.y); }
        default: { values(first, end, block, local.x, group.y); }
    }
}
