// The gradients of attention's q, k and v, heads of 32. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
// Of three workgroups one gives dQ, one dK and one dV, each for 32 tokens, 4 a thread: no two threads add to one element.
// Written by unroll.py.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(3) var<storage, read> d_ctx: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;


fn queries(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 8u;
    let column = head * 8u;
    let count = min(4u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a2_0 = vec4f(0.0);
    var a2_1 = vec4f(0.0);
    var a2_2 = vec4f(0.0);
    var a2_3 = vec4f(0.0);
    var a2_4 = vec4f(0.0);
    var a2_5 = vec4f(0.0);
    var a2_6 = vec4f(0.0);
    var a2_7 = vec4f(0.0);
    var a3_0 = vec4f(0.0);
    var a3_1 = vec4f(0.0);
    var a3_2 = vec4f(0.0);
    var a3_3 = vec4f(0.0);
    var a3_4 = vec4f(0.0);
    var a3_5 = vec4f(0.0);
    var a3_6 = vec4f(0.0);
    var a3_7 = vec4f(0.0);
    var b0_0 = vec4f(0.0);
    var b0_1 = vec4f(0.0);
    var b0_2 = vec4f(0.0);
    var b0_3 = vec4f(0.0);
    var b0_4 = vec4f(0.0);
    var b0_5 = vec4f(0.0);
    var b0_6 = vec4f(0.0);
    var b0_7 = vec4f(0.0);
    var b1_0 = vec4f(0.0);
    var b1_1 = vec4f(0.0);
    var b1_2 = vec4f(0.0);
    var b1_3 = vec4f(0.0);
    var b1_4 = vec4f(0.0);
    var b1_5 = vec4f(0.0);
    var b1_6 = vec4f(0.0);
    var b1_7 = vec4f(0.0);
    var b2_0 = vec4f(0.0);
    var b2_1 = vec4f(0.0);
    var b2_2 = vec4f(0.0);
    var b2_3 = vec4f(0.0);
    var b2_4 = vec4f(0.0);
    var b2_5 = vec4f(0.0);
    var b2_6 = vec4f(0.0);
    var b2_7 = vec4f(0.0);
    var b3_0 = vec4f(0.0);
    var b3_1 = vec4f(0.0);
    var b3_2 = vec4f(0.0);
    var b3_3 = vec4f(0.0);
    var b3_4 = vec4f(0.0);
    var b3_5 = vec4f(0.0);
    var b3_6 = vec4f(0.0);
    var b3_7 = vec4f(0.0);
    var e0 = 0.0;
    var g0 = 0.0;
    var e1 = 0.0;
    var g1 = 0.0;
    var e2 = 0.0;
    var g2 = 0.0;
    var e3 = 0.0;
    var g3 = 0.0;
    for (var i = 0u; i < count; i++) {
        let at = (token + i) * 3u * hidden + column;
        let out = (token + i) * hidden + column;
        let row = (token + i) * params.heads + head;
        let x0_0 = qkv[at + 0u] * params.scale;
        let x0_1 = qkv[at + 1u] * params.scale;
        let x0_2 = qkv[at + 2u] * params.scale;
        let x0_3 = qkv[at + 3u] * params.scale;
        let x0_4 = qkv[at + 4u] * params.scale;
        let x0_5 = qkv[at + 5u] * params.scale;
        let x0_6 = qkv[at + 6u] * params.scale;
        let x0_7 = qkv[at + 7u] * params.scale;
        let x1_0 = d_ctx[out + 0u];
        let x1_1 = d_ctx[out + 1u];
        let x1_2 = d_ctx[out + 2u];
        let x1_3 = d_ctx[out + 3u];
        let x1_4 = d_ctx[out + 4u];
        let x1_5 = d_ctx[out + 5u];
        let x1_6 = d_ctx[out + 6u];
        let x1_7 = d_ctx[out + 7u];
        switch i {
            case 0u: { e0 = lse[row]; g0 = delta[row]; a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; b0_0 = x1_0; b0_1 = x1_1; b0_2 = x1_2; b0_3 = x1_3; b0_4 = x1_4; b0_5 = x1_5; b0_6 = x1_6; b0_7 = x1_7; }
            case 1u: { e1 = lse[row]; g1 = delta[row]; a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; b1_0 = x1_0; b1_1 = x1_1; b1_2 = x1_2; b1_3 = x1_3; b1_4 = x1_4; b1_5 = x1_5; b1_6 = x1_6; b1_7 = x1_7; }
            case 2u: { e2 = lse[row]; g2 = delta[row]; a2_0 = x0_0; a2_1 = x0_1; a2_2 = x0_2; a2_3 = x0_3; a2_4 = x0_4; a2_5 = x0_5; a2_6 = x0_6; a2_7 = x0_7; b2_0 = x1_0; b2_1 = x1_1; b2_2 = x1_2; b2_3 = x1_3; b2_4 = x1_4; b2_5 = x1_5; b2_6 = x1_6; b2_7 = x1_7; }
            case 3u: { e3 = lse[row]; g3 = delta[row]; a3_0 = x0_0; a3_1 = x0_1; a3_2 = x0_2; a3_3 = x0_3; a3_4 = x0_4; a3_5 = x0_5; a3_6 = x0_6; a3_7 = x0_7; b3_0 = x1_0; b3_1 = x1_1; b3_2 = x1_2; b3_3 = x1_3; b3_4 = x1_4; b3_5 = x1_5; b3_6 = x1_6; b3_7 = x1_7; }
            default: {}
        }
    }
    var c0_0 = vec4f(0.0);
    var c0_1 = vec4f(0.0);
    var c0_2 = vec4f(0.0);
    var c0_3 = vec4f(0.0);
    var c0_4 = vec4f(0.0);
    var c0_5 = vec4f(0.0);
    var c0_6 = vec4f(0.0);
    var c0_7 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c2_1 = vec4f(0.0);
    var c2_2 = vec4f(0.0);
    var c2_3 = vec4f(0.0);
    var c2_4 = vec4f(0.0);
    var c2_5 = vec4f(0.0);
    var c2_6 = vec4f(0.0);
    var c2_7 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    var c3_1 = vec4f(0.0);
    var c3_2 = vec4f(0.0);
    var c3_3 = vec4f(0.0);
    var c3_4 = vec4f(0.0);
    var c3_5 = vec4f(0.0);
    var c3_6 = vec4f(0.0);
    var c3_7 = vec4f(0.0);
    let key = site_key(control[0], params.site);
    let r0 = row_key(key, (token + 0u) * params.heads + head);
    let r1 = row_key(key, (token + 1u) * params.heads + head);
    let r2 = row_key(key, (token + 2u) * params.heads + head);
    let r3 = row_key(key, (token + 3u) * params.heads + head);
    for (var t = first; t < end; t++) {
        let at = t * 3u * hidden + column;
        let u0 = qkv[at + hidden + 0u];
        let u1 = qkv[at + hidden + 1u];
        let u2 = qkv[at + hidden + 2u];
        let u3 = qkv[at + hidden + 3u];
        let u4 = qkv[at + hidden + 4u];
        let u5 = qkv[at + hidden + 5u];
        let u6 = qkv[at + hidden + 6u];
        let u7 = qkv[at + hidden + 7u];
        let w0 = qkv[at + 2u * hidden + 0u];
        let w1 = qkv[at + 2u * hidden + 1u];
        let w2 = qkv[at + 2u * hidden + 2u];
        let w3 = qkv[at + 2u * hidden + 3u];
        let w4 = qkv[at + 2u * hidden + 4u];
        let w5 = qkv[at + 2u * hidden + 5u];
        let w6 = qkv[at + 2u * hidden + 6u];
        let w7 = qkv[at + 2u * hidden + 7u];
        let p0 = exp(dot(fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))), vec4f(1.0)) - e0);
        let p1 = exp(dot(fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))), vec4f(1.0)) - e1);
        let p2 = exp(dot(fma(a2_7, u7, fma(a2_6, u6, fma(a2_5, u5, fma(a2_4, u4, fma(a2_3, u3, fma(a2_2, u2, fma(a2_1, u1, a2_0 * u0))))))), vec4f(1.0)) - e2);
        let p3 = exp(dot(fma(a3_7, u7, fma(a3_6, u6, fma(a3_5, u5, fma(a3_4, u4, fma(a3_3, u3, fma(a3_2, u2, fma(a3_1, u1, a3_0 * u0))))))), vec4f(1.0)) - e3);
        var m0 = 1.0;
        var m1 = 1.0;
        var m2 = 1.0;
        var m3 = 1.0;
        if params.threshold > 0u {
            m0 = keep(r0, t - first, params.threshold, params.keep_scale);
            m1 = keep(r1, t - first, params.threshold, params.keep_scale);
            m2 = keep(r2, t - first, params.threshold, params.keep_scale);
            m3 = keep(r3, t - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * (dot(fma(b0_7, w7, fma(b0_6, w6, fma(b0_5, w5, fma(b0_4, w4, fma(b0_3, w3, fma(b0_2, w2, fma(b0_1, w1, b0_0 * w0))))))), vec4f(1.0)) * m0 - g0);
        let s1 = p1 * (dot(fma(b1_7, w7, fma(b1_6, w6, fma(b1_5, w5, fma(b1_4, w4, fma(b1_3, w3, fma(b1_2, w2, fma(b1_1, w1, b1_0 * w0))))))), vec4f(1.0)) * m1 - g1);
        let s2 = p2 * (dot(fma(b2_7, w7, fma(b2_6, w6, fma(b2_5, w5, fma(b2_4, w4, fma(b2_3, w3, fma(b2_2, w2, fma(b2_1, w1, b2_0 * w0))))))), vec4f(1.0)) * m2 - g2);
        let s3 = p3 * (dot(fma(b3_7, w7, fma(b3_6, w6, fma(b3_5, w5, fma(b3_4, w4, fma(b3_3, w3, fma(b3_2, w2, fma(b3_1, w1, b3_0 * w0))))))), vec4f(1.0)) * m3 - g3);
        c0_0 = fma(vec4f(s0), u0, c0_0);
        c1_0 = fma(vec4f(s1), u0, c1_0);
        c2_0 = fma(vec4f(s2), u0, c2_0);
        c3_0 = fma(vec4f(s3), u0, c3_0);
        c0_1 = fma(vec4f(s0), u1, c0_1);
        c1_1 = fma(vec4f(s1), u1, c1_1);
        c2_1 = fma(vec4f(s2), u1, c2_1);
        c3_1 = fma(vec4f(s3), u1, c3_1);
        c0_2 = fma(vec4f(s0), u2, c0_2);
        c1_2 = fma(vec4f(s1), u2, c1_2);
        c2_2 = fma(vec4f(s2), u2, c2_2);
        c3_2 = fma(vec4f(s3), u2, c3_2);
        c0_3 = fma(vec4f(s0), u3, c0_3);
        c1_3 = fma(vec4f(s1), u3, c1_3);
        c2_3 = fma(vec4f(s2), u3, c2_3);
        c3_3 = fma(vec4f(s3), u3, c3_3);
        c0_4 = fma(vec4f(s0), u4, c0_4);
        c1_4 = fma(vec4f(s1), u4, c1_4);
        c2_4 = fma(vec4f(s2), u4, c2_4);
        c3_4 = fma(vec4f(s3), u4, c3_4);
        c0_5 = fma(vec4f(s0), u5, c0_5);
        c1_5 = fma(vec4f(s1), u5, c1_5);
        c2_5 = fma(vec4f(s2), u5, c2_5);
        c3_5 = fma(vec4f(s3), u5, c3_5);
        c0_6 = fma(vec4f(s0), u6, c0_6);
        c1_6 = fma(vec4f(s1), u6, c1_6);
        c2_6 = fma(vec4f(s2), u6, c2_6);
        c3_6 = fma(vec4f(s3), u6, c3_6);
        c0_7 = fma(vec4f(s0), u7, c0_7);
        c1_7 = fma(vec4f(s1), u7, c1_7);
        c2_7 = fma(vec4f(s2), u7, c2_7);
        c3_7 = fma(vec4f(s3), u7, c3_7);
    }
    for (var i = 0u; i < count; i++) {
        var s0: vec4f;
        var s1: vec4f;
        var s2: vec4f;
        var s3: vec4f;
        var s4: vec4f;
        var s5: vec4f;
        var s6: vec4f;
        var s7: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; }
            case 1u: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; }
            case 2u: { s0 = c2_0; s1 = c2_1; s2 = c2_2; s3 = c2_3; s4 = c2_4; s5 = c2_5; s6 = c2_6; s7 = c2_7; }
            default: { s0 = c3_0; s1 = c3_1; s2 = c3_2; s3 = c3_3; s4 = c3_4; s5 = c3_5; s6 = c3_6; s7 = c3_7; }
        }
        let to = (token + i) * 3u * hidden + 0u * hidden + column;
        d_qkv[to + 0u] = s0 * params.scale;
        d_qkv[to + 1u] = s1 * params.scale;
        d_qkv[to + 2u] = s2 * params.scale;
        d_qkv[to + 3u] = s3 * params.scale;
        d_qkv[to + 4u] = s4 * params.scale;
        d_qkv[to + 5u] = s5 * params.scale;
        d_qkv[to + 6u] = s6 * params.scale;
        d_qkv[to + 7u] = s7 * params.scale;
    }
}

fn keys(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 8u;
    let column = head * 8u;
    let count = min(4u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a2_0 = vec4f(0.0);
    var a2_1 = vec4f(0.0);
    var a2_2 = vec4f(0.0);
    var a2_3 = vec4f(0.0);
    var a2_4 = vec4f(0.0);
    var a2_5 = vec4f(0.0);
    var a2_6 = vec4f(0.0);
    var a2_7 = vec4f(0.0);
    var a3_0 = vec4f(0.0);
    var a3_1 = vec4f(0.0);
    var a3_2 = vec4f(0.0);
    var a3_3 = vec4f(0.0);
    var a3_4 = vec4f(0.0);
    var a3_5 = vec4f(0.0);
    var a3_6 = vec4f(0.0);
    var a3_7 = vec4f(0.0);
    var b0_0 = vec4f(0.0);
    var b0_1 = vec4f(0.0);
    var b0_2 = vec4f(0.0);
    var b0_3 = vec4f(0.0);
    var b0_4 = vec4f(0.0);
    var b0_5 = vec4f(0.0);
    var b0_6 = vec4f(0.0);
    var b0_7 = vec4f(0.0);
    var b1_0 = vec4f(0.0);
    var b1_1 = vec4f(0.0);
    var b1_2 = vec4f(0.0);
    var b1_3 = vec4f(0.0);
    var b1_4 = vec4f(0.0);
    var b1_5 = vec4f(0.0);
    var b1_6 = vec4f(0.0);
    var b1_7 = vec4f(0.0);
    var b2_0 = vec4f(0.0);
    var b2_1 = vec4f(0.0);
    var b2_2 = vec4f(0.0);
    var b2_3 = vec4f(0.0);
    var b2_4 = vec4f(0.0);
    var b2_5 = vec4f(0.0);
    var b2_6 = vec4f(0.0);
    var b2_7 = vec4f(0.0);
    var b3_0 = vec4f(0.0);
    var b3_1 = vec4f(0.0);
    var b3_2 = vec4f(0.0);
    var b3_3 = vec4f(0.0);
    var b3_4 = vec4f(0.0);
    var b3_5 = vec4f(0.0);
    var b3_6 = vec4f(0.0);
    var b3_7 = vec4f(0.0);
    for (var i = 0u; i < count; i++) {
        let at = (token + i) * 3u * hidden + column;
        let x0_0 = qkv[at + hidden + 0u] * params.scale;
        let x0_1 = qkv[at + hidden + 1u] * params.scale;
        let x0_2 = qkv[at + hidden + 2u] * params.scale;
        let x0_3 = qkv[at + hidden + 3u] * params.scale;
        let x0_4 = qkv[at + hidden + 4u] * params.scale;
        let x0_5 = qkv[at + hidden + 5u] * params.scale;
        let x0_6 = qkv[at + hidden + 6u] * params.scale;
        let x0_7 = qkv[at + hidden + 7u] * params.scale;
        let x1_0 = qkv[at + 2u * hidden + 0u];
        let x1_1 = qkv[at + 2u * hidden + 1u];
        let x1_2 = qkv[at + 2u * hidden + 2u];
        let x1_3 = qkv[at + 2u * hidden + 3u];
        let x1_4 = qkv[at + 2u * hidden + 4u];
        let x1_5 = qkv[at + 2u * hidden + 5u];
        let x1_6 = qkv[at + 2u * hidden + 6u];
        let x1_7 = qkv[at + 2u * hidden + 7u];
        switch i {
            case 0u: { a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; b0_0 = x1_0; b0_1 = x1_1; b0_2 = x1_2; b0_3 = x1_3; b0_4 = x1_4; b0_5 = x1_5; b0_6 = x1_6; b0_7 = x1_7; }
            case 1u: { a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; b1_0 = x1_0; b1_1 = x1_1; b1_2 = x1_2; b1_3 = x1_3; b1_4 = x1_4; b1_5 = x1_5; b1_6 = x1_6; b1_7 = x1_7; }
            case 2u: { a2_0 = x0_0; a2_1 = x0_1; a2_2 = x0_2; a2_3 = x0_3; a2_4 = x0_4; a2_5 = x0_5; a2_6 = x0_6; a2_7 = x0_7; b2_0 = x1_0; b2_1 = x1_1; b2_2 = x1_2; b2_3 = x1_3; b2_4 = x1_4; b2_5 = x1_5; b2_6 = x1_6; b2_7 = x1_7; }
            case 3u: { a3_0 = x0_0; a3_1 = x0_1; a3_2 = x0_2; a3_3 = x0_3; a3_4 = x0_4; a3_5 = x0_5; a3_6 = x0_6; a3_7 = x0_7; b3_0 = x1_0; b3_1 = x1_1; b3_2 = x1_2; b3_3 = x1_3; b3_4 = x1_4; b3_5 = x1_5; b3_6 = x1_6; b3_7 = x1_7; }
            default: {}
        }
    }
    var c0_0 = vec4f(0.0);
    var c0_1 = vec4f(0.0);
    var c0_2 = vec4f(0.0);
    var c0_3 = vec4f(0.0);
    var c0_4 = vec4f(0.0);
    var c0_5 = vec4f(0.0);
    var c0_6 = vec4f(0.0);
    var c0_7 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c2_1 = vec4f(0.0);
    var c2_2 = vec4f(0.0);
    var c2_3 = vec4f(0.0);
    var c2_4 = vec4f(0.0);
    var c2_5 = vec4f(0.0);
    var c2_6 = vec4f(0.0);
    var c2_7 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    var c3_1 = vec4f(0.0);
    var c3_2 = vec4f(0.0);
    var c3_3 = vec4f(0.0);
    var c3_4 = vec4f(0.0);
    var c3_5 = vec4f(0.0);
    var c3_6 = vec4f(0.0);
    var c3_7 = vec4f(0.0);
    let key = site_key(control[0], params.site);
    for (var t = first; t < end; t++) {
        let at = t * 3u * hidden + column;
        let out = t * hidden + column;
        let row = t * params.heads + head;
        let e = lse[row];
        let g = delta[row];
        let u0 = qkv[at + 0u];
        let u1 = qkv[at + 1u];
        let u2 = qkv[at + 2u];
        let u3 = qkv[at + 3u];
        let u4 = qkv[at + 4u];
        let u5 = qkv[at + 5u];
        let u6 = qkv[at + 6u];
        let u7 = qkv[at + 7u];
        let w0 = d_ctx[out + 0u];
        let w1 = d_ctx[out + 1u];
        let w2 = d_ctx[out + 2u];
        let w3 = d_ctx[out + 3u];
        let w4 = d_ctx[out + 4u];
        let w5 = d_ctx[out + 5u];
        let w6 = d_ctx[out + 6u];
        let w7 = d_ctx[out + 7u];
        let p0 = exp(dot(fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))), vec4f(1.0)) - e);
        let p1 = exp(dot(fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))), vec4f(1.0)) - e);
        let p2 = exp(dot(fma(a2_7, u7, fma(a2_6, u6, fma(a2_5, u5, fma(a2_4, u4, fma(a2_3, u3, fma(a2_2, u2, fma(a2_1, u1, a2_0 * u0))))))), vec4f(1.0)) - e);
        let p3 = exp(dot(fma(a3_7, u7, fma(a3_6, u6, fma(a3_5, u5, fma(a3_4, u4, fma(a3_3, u3, fma(a3_2, u2, fma(a3_1, u1, a3_0 * u0))))))), vec4f(1.0)) - e);
        var m0 = 1.0;
        var m1 = 1.0;
        var m2 = 1.0;
        var m3 = 1.0;
        if params.threshold > 0u {
            let choices = row_key(key, row);
            m0 = keep(choices, token + 0u - first, params.threshold, params.keep_scale);
            m1 = keep(choices, token + 1u - first, params.threshold, params.keep_scale);
            m2 = keep(choices, token + 2u - first, params.threshold, params.keep_scale);
            m3 = keep(choices, token + 3u - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * (dot(fma(b0_7, w7, fma(b0_6, w6, fma(b0_5, w5, fma(b0_4, w4, fma(b0_3, w3, fma(b0_2, w2, fma(b0_1, w1, b0_0 * w0))))))), vec4f(1.0)) * m0 - g);
        let s1 = p1 * (dot(fma(b1_7, w7, fma(b1_6, w6, fma(b1_5, w5, fma(b1_4, w4, fma(b1_3, w3, fma(b1_2, w2, fma(b1_1, w1, b1_0 * w0))))))), vec4f(1.0)) * m1 - g);
        let s2 = p2 * (dot(fma(b2_7, w7, fma(b2_6, w6, fma(b2_5, w5, fma(b2_4, w4, fma(b2_3, w3, fma(b2_2, w2, fma(b2_1, w1, b2_0 * w0))))))), vec4f(1.0)) * m2 - g);
        let s3 = p3 * (dot(fma(b3_7, w7, fma(b3_6, w6, fma(b3_5, w5, fma(b3_4, w4, fma(b3_3, w3, fma(b3_2, w2, fma(b3_1, w1, b3_0 * w0))))))), vec4f(1.0)) * m3 - g);
        c0_0 = fma(vec4f(s0), u0, c0_0);
        c1_0 = fma(vec4f(s1), u0, c1_0);
        c2_0 = fma(vec4f(s2), u0, c2_0);
        c3_0 = fma(vec4f(s3), u0, c3_0);
        c0_1 = fma(vec4f(s0), u1, c0_1);
        c1_1 = fma(vec4f(s1), u1, c1_1);
        c2_1 = fma(vec4f(s2), u1, c2_1);
        c3_1 = fma(vec4f(s3), u1, c3_1);
        c0_2 = fma(vec4f(s0), u2, c0_2);
        c1_2 = fma(vec4f(s1), u2, c1_2);
        c2_2 = fma(vec4f(s2), u2, c2_2);
        c3_2 = fma(vec4f(s3), u2, c3_2);
        c0_3 = fma(vec4f(s0), u3, c0_3);
        c1_3 = fma(vec4f(s1), u3, c1_3);
        c2_3 = fma(vec4f(s2), u3, c2_3);
        c3_3 = fma(vec4f(s3), u3, c3_3);
        c0_4 = fma(vec4f(s0), u4, c0_4);
        c1_4 = fma(vec4f(s1), u4, c1_4);
        c2_4 = fma(vec4f(s2), u4, c2_4);
        c3_4 = fma(vec4f(s3), u4, c3_4);
        c0_5 = fma(vec4f(s0), u5, c0_5);
        c1_5 = fma(vec4f(s1), u5, c1_5);
        c2_5 = fma(vec4f(s2), u5, c2_5);
        c3_5 = fma(vec4f(s3), u5, c3_5);
        c0_6 = fma(vec4f(s0), u6, c0_6);
        c1_6 = fma(vec4f(s1), u6, c1_6);
        c2_6 = fma(vec4f(s2), u6, c2_6);
        c3_6 = fma(vec4f(s3), u6, c3_6);
        c0_7 = fma(vec4f(s0), u7, c0_7);
        c1_7 = fma(vec4f(s1), u7, c1_7);
        c2_7 = fma(vec4f(s2), u7, c2_7);
        c3_7 = fma(vec4f(s3), u7, c3_7);
    }
    for (var i = 0u; i < count; i++) {
        var s0: vec4f;
        var s1: vec4f;
        var s2: vec4f;
        var s3: vec4f;
        var s4: vec4f;
        var s5: vec4f;
        var s6: vec4f;
        var s7: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; }
            case 1u: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; }
            case 2u: { s0 = c2_0; s1 = c2_1; s2 = c2_2; s3 = c2_3; s4 = c2_4; s5 = c2_5; s6 = c2_6; s7 = c2_7; }
            default: { s0 = c3_0; s1 = c3_1; s2 = c3_2; s3 = c3_3; s4 = c3_4; s5 = c3_5; s6 = c3_6; s7 = c3_7; }
        }
        let to = (token + i) * 3u * hidden + 1u * hidden + column;
        d_qkv[to + 0u] = s0 * params.scale;
        d_qkv[to + 1u] = s1 * params.scale;
        d_qkv[to + 2u] = s2 * params.scale;
        d_qkv[to + 3u] = s3 * params.scale;
        d_qkv[to + 4u] = s4 * params.scale;
        d_qkv[to + 5u] = s5 * params.scale;
        d_qkv[to + 6u] = s6 * params.scale;
        d_qkv[to + 7u] = s7 * params.scale;
    }
}

fn values(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 8u;
    let column = head * 8u;
    let count = min(4u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a2_0 = vec4f(0.0);
    var a2_1 = vec4f(0.0);
    var a2_2 = vec4f(0.0);
    var a2_3 = vec4f(0.0);
    var a2_4 = vec4f(0.0);
    var a2_5 = vec4f(0.0);
    var a2_6 = vec4f(0.0);
    var a2_7 = vec4f(0.0);
    var a3_0 = vec4f(0.0);
    var a3_1 = vec4f(0.0);
    var a3_2 = vec4f(0.0);
    var a3_3 = vec4f(0.0);
    var a3_4 = vec4f(0.0);
    var a3_5 = vec4f(0.0);
    var a3_6 = vec4f(0.0);
    var a3_7 = vec4f(0.0);
    for (var i = 0u; i < count; i++) {
        let at = (token + i) * 3u * hidden + column;
        let x0_0 = qkv[at + hidden + 0u] * params.scale;
        let x0_1 = qkv[at + hidden + 1u] * params.scale;
        let x0_2 = qkv[at + hidden + 2u] * params.scale;
        let x0_3 = qkv[at + hidden + 3u] * params.scale;
        let x0_4 = qkv[at + hidden + 4u] * params.scale;
        let x0_5 = qkv[at + hidden + 5u] * params.scale;
        let x0_6 = qkv[at + hidden + 6u] * params.scale;
        let x0_7 = qkv[at + hidden + 7u] * params.scale;
        switch i {
            case 0u: { a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; }
            case 1u: { a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; }
            case 2u: { a2_0 = x0_0; a2_1 = x0_1; a2_2 = x0_2; a2_3 = x0_3; a2_4 = x0_4; a2_5 = x0_5; a2_6 = x0_6; a2_7 = x0_7; }
            case 3u: { a3_0 = x0_0; a3_1 = x0_1; a3_2 = x0_2; a3_3 = x0_3; a3_4 = x0_4; a3_5 = x0_5; a3_6 = x0_6; a3_7 = x0_7; }
            default: {}
        }
    }
    var c0_0 = vec4f(0.0);
    var c0_1 = vec4f(0.0);
    var c0_2 = vec4f(0.0);
    var c0_3 = vec4f(0.0);
    var c0_4 = vec4f(0.0);
    var c0_5 = vec4f(0.0);
    var c0_6 = vec4f(0.0);
    var c0_7 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c2_1 = vec4f(0.0);
    var c2_2 = vec4f(0.0);
    var c2_3 = vec4f(0.0);
    var c2_4 = vec4f(0.0);
    var c2_5 = vec4f(0.0);
    var c2_6 = vec4f(0.0);
    var c2_7 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    var c3_1 = vec4f(0.0);
    var c3_2 = vec4f(0.0);
    var c3_3 = vec4f(0.0);
    var c3_4 = vec4f(0.0);
    var c3_5 = vec4f(0.0);
    var c3_6 = vec4f(0.0);
    var c3_7 = vec4f(0.0);
    let key = site_key(control[0], params.site);
    for (var t = first; t < end; t++) {
        let at = t * 3u * hidden + column;
        let out = t * hidden + column;
        let row = t * params.heads + head;
        let e = lse[row];
        let u0 = qkv[at + 0u];
        let u1 = qkv[at + 1u];
        let u2 = qkv[at + 2u];
        let u3 = qkv[at + 3u];
        let u4 = qkv[at + 4u];
        let u5 = qkv[at + 5u];
        let u6 = qkv[at + 6u];
        let u7 = qkv[at + 7u];
        let w0 = d_ctx[out + 0u];
        let w1 = d_ctx[out + 1u];
        let w2 = d_ctx[out + 2u];
        let w3 = d_ctx[out + 3u];
        let w4 = d_ctx[out + 4u];
        let w5 = d_ctx[out + 5u];
        let w6 = d_ctx[out + 6u];
        let w7 = d_ctx[out + 7u];
        let p0 = exp(dot(fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))), vec4f(1.0)) - e);
        let p1 = exp(dot(fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))), vec4f(1.0)) - e);
        let p2 = exp(dot(fma(a2_7, u7, fma(a2_6, u6, fma(a2_5, u5, fma(a2_4, u4, fma(a2_3, u3, fma(a2_2, u2, fma(a2_1, u1, a2_0 * u0))))))), vec4f(1.0)) - e);
        let p3 = exp(dot(fma(a3_7, u7, fma(a3_6, u6, fma(a3_5, u5, fma(a3_4, u4, fma(a3_3, u3, fma(a3_2, u2, fma(a3_1, u1, a3_0 * u0))))))), vec4f(1.0)) - e);
        var m0 = 1.0;
        var m1 = 1.0;
        var m2 = 1.0;
        var m3 = 1.0;
        if params.threshold > 0u {
            let choices = row_key(key, row);
            m0 = keep(choices, token + 0u - first, params.threshold, params.keep_scale);
            m1 = keep(choices, token + 1u - first, params.threshold, params.keep_scale);
            m2 = keep(choices, token + 2u - first, params.threshold, params.keep_scale);
            m3 = keep(choices, token + 3u - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * m0;
        let s1 = p1 * m1;
        let s2 = p2 * m2;
        let s3 = p3 * m3;
        c0_0 = fma(vec4f(s0), w0, c0_0);
        c1_0 = fma(vec4f(s1), w0, c1_0);
        c2_0 = fma(vec4f(s2), w0, c2_0);
        c3_0 = fma(vec4f(s3), w0, c3_0);
        c0_1 = fma(vec4f(s0), w1, c0_1);
        c1_1 = fma(vec4f(s1), w1, c1_1);
        c2_1 = fma(vec4f(s2), w1, c2_1);
        c3_1 = fma(vec4f(s3), w1, c3_1);
        c0_2 = fma(vec4f(s0), w2, c0_2);
        c1_2 = fma(vec4f(s1), w2, c1_2);
        c2_2 = fma(vec4f(s2), w2, c2_2);
        c3_2 = fma(vec4f(s3), w2, c3_2);
        c0_3 = fma(vec4f(s0), w3, c0_3);
        c1_3 = fma(vec4f(s1), w3, c1_3);
        c2_3 = fma(vec4f(s2), w3, c2_3);
        c3_3 = fma(vec4f(s3), w3, c3_3);
        c0_4 = fma(vec4f(s0), w4, c0_4);
        c1_4 = fma(vec4f(s1), w4, c1_4);
        c2_4 = fma(vec4f(s2), w4, c2_4);
        c3_4 = fma(vec4f(s3), w4, c3_4);
        c0_5 = fma(vec4f(s0), w5, c0_5);
        c1_5 = fma(vec4f(s1), w5, c1_5);
        c2_5 = fma(vec4f(s2), w5, c2_5);
        c3_5 = fma(vec4f(s3), w5, c3_5);
        c0_6 = fma(vec4f(s0), w6, c0_6);
        c1_6 = fma(vec4f(s1), w6, c1_6);
        c2_6 = fma(vec4f(s2), w6, c2_6);
        c3_6 = fma(vec4f(s3), w6, c3_6);
        c0_7 = fma(vec4f(s0), w7, c0_7);
        c1_7 = fma(vec4f(s1), w7, c1_7);
        c2_7 = fma(vec4f(s2), w7, c2_7);
        c3_7 = fma(vec4f(s3), w7, c3_7);
    }
    for (var i = 0u; i < count; i++) {
        var s0: vec4f;
        var s1: vec4f;
        var s2: vec4f;
        var s3: vec4f;
        var s4: vec4f;
        var s5: vec4f;
        var s6: vec4f;
        var s7: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; }
            case 1u: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; }
            case 2u: { s0 = c2_0; s1 = c2_1; s2 = c2_2; s3 = c2_3; s4 = c2_4; s5 = c2_5; s6 = c2_6; s7 = c2_7; }
            default: { s0 = c3_0; s1 = c3_1; s2 = c3_2; s3 = c3_3; s4 = c3_4; s5 = c3_5; s6 = c3_6; s7 = c3_7; }
        }
        let to = (token + i) * 3u * hidden + 2u * hidden + column;
        d_qkv[to + 0u] = s0;
        d_qkv[to + 1u] = s1;
        d_qkv[to + 2u] = s2;
        d_qkv[to + 3u] = s3;
        d_qkv[to + 4u] = s4;
        d_qkv[to + 5u] = s5;
        d_qkv[to + 6u] = s6;
        d_qkv[to + 7u] = s7;
    }
}

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x / 3u * 8u + lane.x) * 4u;
    if token >= end { return; }
    switch group.x % 3u {
        case 0u: { queries(first, end, token, group.y); }
        case 1u: { keys(first, end, token, group.y); }
        default: { values(first, end, token, group.y); }
    }
}
