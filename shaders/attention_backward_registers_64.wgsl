// The gradients of attention's q, k and v, heads of 64. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
// Of three workgroups one gives dQ, one dK and one dV, each for 16 tokens, 2 a thread: no two threads add to one element.
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
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let count = min(2u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a0_8 = vec4f(0.0);
    var a0_9 = vec4f(0.0);
    var a0_10 = vec4f(0.0);
    var a0_11 = vec4f(0.0);
    var a0_12 = vec4f(0.0);
    var a0_13 = vec4f(0.0);
    var a0_14 = vec4f(0.0);
    var a0_15 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a1_8 = vec4f(0.0);
    var a1_9 = vec4f(0.0);
    var a1_10 = vec4f(0.0);
    var a1_11 = vec4f(0.0);
    var a1_12 = vec4f(0.0);
    var a1_13 = vec4f(0.0);
    var a1_14 = vec4f(0.0);
    var a1_15 = vec4f(0.0);
    var b0_0 = vec4f(0.0);
    var b0_1 = vec4f(0.0);
    var b0_2 = vec4f(0.0);
    var b0_3 = vec4f(0.0);
    var b0_4 = vec4f(0.0);
    var b0_5 = vec4f(0.0);
    var b0_6 = vec4f(0.0);
    var b0_7 = vec4f(0.0);
    var b0_8 = vec4f(0.0);
    var b0_9 = vec4f(0.0);
    var b0_10 = vec4f(0.0);
    var b0_11 = vec4f(0.0);
    var b0_12 = vec4f(0.0);
    var b0_13 = vec4f(0.0);
    var b0_14 = vec4f(0.0);
    var b0_15 = vec4f(0.0);
    var b1_0 = vec4f(0.0);
    var b1_1 = vec4f(0.0);
    var b1_2 = vec4f(0.0);
    var b1_3 = vec4f(0.0);
    var b1_4 = vec4f(0.0);
    var b1_5 = vec4f(0.0);
    var b1_6 = vec4f(0.0);
    var b1_7 = vec4f(0.0);
    var b1_8 = vec4f(0.0);
    var b1_9 = vec4f(0.0);
    var b1_10 = vec4f(0.0);
    var b1_11 = vec4f(0.0);
    var b1_12 = vec4f(0.0);
    var b1_13 = vec4f(0.0);
    var b1_14 = vec4f(0.0);
    var b1_15 = vec4f(0.0);
    var e0 = 0.0;
    var g0 = 0.0;
    var e1 = 0.0;
    var g1 = 0.0;
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
        let x0_8 = qkv[at + 8u] * params.scale;
        let x0_9 = qkv[at + 9u] * params.scale;
        let x0_10 = qkv[at + 10u] * params.scale;
        let x0_11 = qkv[at + 11u] * params.scale;
        let x0_12 = qkv[at + 12u] * params.scale;
        let x0_13 = qkv[at + 13u] * params.scale;
        let x0_14 = qkv[at + 14u] * params.scale;
        let x0_15 = qkv[at + 15u] * params.scale;
        let x1_0 = d_ctx[out + 0u];
        let x1_1 = d_ctx[out + 1u];
        let x1_2 = d_ctx[out + 2u];
        let x1_3 = d_ctx[out + 3u];
        let x1_4 = d_ctx[out + 4u];
        let x1_5 = d_ctx[out + 5u];
        let x1_6 = d_ctx[out + 6u];
        let x1_7 = d_ctx[out + 7u];
        let x1_8 = d_ctx[out + 8u];
        let x1_9 = d_ctx[out + 9u];
        let x1_10 = d_ctx[out + 10u];
        let x1_11 = d_ctx[out + 11u];
        let x1_12 = d_ctx[out + 12u];
        let x1_13 = d_ctx[out + 13u];
        let x1_14 = d_ctx[out + 14u];
        let x1_15 = d_ctx[out + 15u];
        switch i {
            case 0u: { e0 = lse[row]; g0 = delta[row]; a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; a0_8 = x0_8; a0_9 = x0_9; a0_10 = x0_10; a0_11 = x0_11; a0_12 = x0_12; a0_13 = x0_13; a0_14 = x0_14; a0_15 = x0_15; b0_0 = x1_0; b0_1 = x1_1; b0_2 = x1_2; b0_3 = x1_3; b0_4 = x1_4; b0_5 = x1_5; b0_6 = x1_6; b0_7 = x1_7; b0_8 = x1_8; b0_9 = x1_9; b0_10 = x1_10; b0_11 = x1_11; b0_12 = x1_12; b0_13 = x1_13; b0_14 = x1_14; b0_15 = x1_15; }
            case 1u: { e1 = lse[row]; g1 = delta[row]; a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; a1_8 = x0_8; a1_9 = x0_9; a1_10 = x0_10; a1_11 = x0_11; a1_12 = x0_12; a1_13 = x0_13; a1_14 = x0_14; a1_15 = x0_15; b1_0 = x1_0; b1_1 = x1_1; b1_2 = x1_2; b1_3 = x1_3; b1_4 = x1_4; b1_5 = x1_5; b1_6 = x1_6; b1_7 = x1_7; b1_8 = x1_8; b1_9 = x1_9; b1_10 = x1_10; b1_11 = x1_11; b1_12 = x1_12; b1_13 = x1_13; b1_14 = x1_14; b1_15 = x1_15; }
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
    var c0_8 = vec4f(0.0);
    var c0_9 = vec4f(0.0);
    var c0_10 = vec4f(0.0);
    var c0_11 = vec4f(0.0);
    var c0_12 = vec4f(0.0);
    var c0_13 = vec4f(0.0);
    var c0_14 = vec4f(0.0);
    var c0_15 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c1_8 = vec4f(0.0);
    var c1_9 = vec4f(0.0);
    var c1_10 = vec4f(0.0);
    var c1_11 = vec4f(0.0);
    var c1_12 = vec4f(0.0);
    var c1_13 = vec4f(0.0);
    var c1_14 = vec4f(0.0);
    var c1_15 = vec4f(0.0);
    let key = site_key(control[0], params.site);
    let r0 = row_key(key, (token + 0u) * params.heads + head);
    let r1 = row_key(key, (token + 1u) * params.heads + head);
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
        let u8 = qkv[at + hidden + 8u];
        let u9 = qkv[at + hidden + 9u];
        let u10 = qkv[at + hidden + 10u];
        let u11 = qkv[at + hidden + 11u];
        let u12 = qkv[at + hidden + 12u];
        let u13 = qkv[at + hidden + 13u];
        let u14 = qkv[at + hidden + 14u];
        let u15 = qkv[at + hidden + 15u];
        let w0 = qkv[at + 2u * hidden + 0u];
        let w1 = qkv[at + 2u * hidden + 1u];
        let w2 = qkv[at + 2u * hidden + 2u];
        let w3 = qkv[at + 2u * hidden + 3u];
        let w4 = qkv[at + 2u * hidden + 4u];
        let w5 = qkv[at + 2u * hidden + 5u];
        let w6 = qkv[at + 2u * hidden + 6u];
        let w7 = qkv[at + 2u * hidden + 7u];
        let w8 = qkv[at + 2u * hidden + 8u];
        let w9 = qkv[at + 2u * hidden + 9u];
        let w10 = qkv[at + 2u * hidden + 10u];
        let w11 = qkv[at + 2u * hidden + 11u];
        let w12 = qkv[at + 2u * hidden + 12u];
        let w13 = qkv[at + 2u * hidden + 13u];
        let w14 = qkv[at + 2u * hidden + 14u];
        let w15 = qkv[at + 2u * hidden + 15u];
        let p0 = exp(dot(fma(a0_15, u15, fma(a0_14, u14, fma(a0_13, u13, fma(a0_12, u12, fma(a0_11, u11, fma(a0_10, u10, fma(a0_9, u9, fma(a0_8, u8, fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))))))))))), vec4f(1.0)) - e0);
        let p1 = exp(dot(fma(a1_15, u15, fma(a1_14, u14, fma(a1_13, u13, fma(a1_12, u12, fma(a1_11, u11, fma(a1_10, u10, fma(a1_9, u9, fma(a1_8, u8, fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))))))))))), vec4f(1.0)) - e1);
        var m0 = 1.0;
        var m1 = 1.0;
        if params.threshold > 0u {
            m0 = keep(r0, t - first, params.threshold, params.keep_scale);
            m1 = keep(r1, t - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * (dot(fma(b0_15, w15, fma(b0_14, w14, fma(b0_13, w13, fma(b0_12, w12, fma(b0_11, w11, fma(b0_10, w10, fma(b0_9, w9, fma(b0_8, w8, fma(b0_7, w7, fma(b0_6, w6, fma(b0_5, w5, fma(b0_4, w4, fma(b0_3, w3, fma(b0_2, w2, fma(b0_1, w1, b0_0 * w0))))))))))))))), vec4f(1.0)) * m0 - g0);
        let s1 = p1 * (dot(fma(b1_15, w15, fma(b1_14, w14, fma(b1_13, w13, fma(b1_12, w12, fma(b1_11, w11, fma(b1_10, w10, fma(b1_9, w9, fma(b1_8, w8, fma(b1_7, w7, fma(b1_6, w6, fma(b1_5, w5, fma(b1_4, w4, fma(b1_3, w3, fma(b1_2, w2, fma(b1_1, w1, b1_0 * w0))))))))))))))), vec4f(1.0)) * m1 - g1);
        c0_0 = fma(vec4f(s0), u0, c0_0);
        c1_0 = fma(vec4f(s1), u0, c1_0);
        c0_1 = fma(vec4f(s0), u1, c0_1);
        c1_1 = fma(vec4f(s1), u1, c1_1);
        c0_2 = fma(vec4f(s0), u2, c0_2);
        c1_2 = fma(vec4f(s1), u2, c1_2);
        c0_3 = fma(vec4f(s0), u3, c0_3);
        c1_3 = fma(vec4f(s1), u3, c1_3);
        c0_4 = fma(vec4f(s0), u4, c0_4);
        c1_4 = fma(vec4f(s1), u4, c1_4);
        c0_5 = fma(vec4f(s0), u5, c0_5);
        c1_5 = fma(vec4f(s1), u5, c1_5);
        c0_6 = fma(vec4f(s0), u6, c0_6);
        c1_6 = fma(vec4f(s1), u6, c1_6);
        c0_7 = fma(vec4f(s0), u7, c0_7);
        c1_7 = fma(vec4f(s1), u7, c1_7);
        c0_8 = fma(vec4f(s0), u8, c0_8);
        c1_8 = fma(vec4f(s1), u8, c1_8);
        c0_9 = fma(vec4f(s0), u9, c0_9);
        c1_9 = fma(vec4f(s1), u9, c1_9);
        c0_10 = fma(vec4f(s0), u10, c0_10);
        c1_10 = fma(vec4f(s1), u10, c1_10);
        c0_11 = fma(vec4f(s0), u11, c0_11);
        c1_11 = fma(vec4f(s1), u11, c1_11);
        c0_12 = fma(vec4f(s0), u12, c0_12);
        c1_12 = fma(vec4f(s1), u12, c1_12);
        c0_13 = fma(vec4f(s0), u13, c0_13);
        c1_13 = fma(vec4f(s1), u13, c1_13);
        c0_14 = fma(vec4f(s0), u14, c0_14);
        c1_14 = fma(vec4f(s1), u14, c1_14);
        c0_15 = fma(vec4f(s0), u15, c0_15);
        c1_15 = fma(vec4f(s1), u15, c1_15);
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
        var s8: vec4f;
        var s9: vec4f;
        var s10: vec4f;
        var s11: vec4f;
        var s12: vec4f;
        var s13: vec4f;
        var s14: vec4f;
        var s15: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; s8 = c0_8; s9 = c0_9; s10 = c0_10; s11 = c0_11; s12 = c0_12; s13 = c0_13; s14 = c0_14; s15 = c0_15; }
            default: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; s8 = c1_8; s9 = c1_9; s10 = c1_10; s11 = c1_11; s12 = c1_12; s13 = c1_13; s14 = c1_14; s15 = c1_15; }
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
        d_qkv[to + 8u] = s8 * params.scale;
        d_qkv[to + 9u] = s9 * params.scale;
        d_qkv[to + 10u] = s10 * params.scale;
        d_qkv[to + 11u] = s11 * params.scale;
        d_qkv[to + 12u] = s12 * params.scale;
        d_qkv[to + 13u] = s13 * params.scale;
        d_qkv[to + 14u] = s14 * params.scale;
        d_qkv[to + 15u] = s15 * params.scale;
    }
}

fn keys(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let count = min(2u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a0_8 = vec4f(0.0);
    var a0_9 = vec4f(0.0);
    var a0_10 = vec4f(0.0);
    var a0_11 = vec4f(0.0);
    var a0_12 = vec4f(0.0);
    var a0_13 = vec4f(0.0);
    var a0_14 = vec4f(0.0);
    var a0_15 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a1_8 = vec4f(0.0);
    var a1_9 = vec4f(0.0);
    var a1_10 = vec4f(0.0);
    var a1_11 = vec4f(0.0);
    var a1_12 = vec4f(0.0);
    var a1_13 = vec4f(0.0);
    var a1_14 = vec4f(0.0);
    var a1_15 = vec4f(0.0);
    var b0_0 = vec4f(0.0);
    var b0_1 = vec4f(0.0);
    var b0_2 = vec4f(0.0);
    var b0_3 = vec4f(0.0);
    var b0_4 = vec4f(0.0);
    var b0_5 = vec4f(0.0);
    var b0_6 = vec4f(0.0);
    var b0_7 = vec4f(0.0);
    var b0_8 = vec4f(0.0);
    var b0_9 = vec4f(0.0);
    var b0_10 = vec4f(0.0);
    var b0_11 = vec4f(0.0);
    var b0_12 = vec4f(0.0);
    var b0_13 = vec4f(0.0);
    var b0_14 = vec4f(0.0);
    var b0_15 = vec4f(0.0);
    var b1_0 = vec4f(0.0);
    var b1_1 = vec4f(0.0);
    var b1_2 = vec4f(0.0);
    var b1_3 = vec4f(0.0);
    var b1_4 = vec4f(0.0);
    var b1_5 = vec4f(0.0);
    var b1_6 = vec4f(0.0);
    var b1_7 = vec4f(0.0);
    var b1_8 = vec4f(0.0);
    var b1_9 = vec4f(0.0);
    var b1_10 = vec4f(0.0);
    var b1_11 = vec4f(0.0);
    var b1_12 = vec4f(0.0);
    var b1_13 = vec4f(0.0);
    var b1_14 = vec4f(0.0);
    var b1_15 = vec4f(0.0);
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
        let x0_8 = qkv[at + hidden + 8u] * params.scale;
        let x0_9 = qkv[at + hidden + 9u] * params.scale;
        let x0_10 = qkv[at + hidden + 10u] * params.scale;
        let x0_11 = qkv[at + hidden + 11u] * params.scale;
        let x0_12 = qkv[at + hidden + 12u] * params.scale;
        let x0_13 = qkv[at + hidden + 13u] * params.scale;
        let x0_14 = qkv[at + hidden + 14u] * params.scale;
        let x0_15 = qkv[at + hidden + 15u] * params.scale;
        let x1_0 = qkv[at + 2u * hidden + 0u];
        let x1_1 = qkv[at + 2u * hidden + 1u];
        let x1_2 = qkv[at + 2u * hidden + 2u];
        let x1_3 = qkv[at + 2u * hidden + 3u];
        let x1_4 = qkv[at + 2u * hidden + 4u];
        let x1_5 = qkv[at + 2u * hidden + 5u];
        let x1_6 = qkv[at + 2u * hidden + 6u];
        let x1_7 = qkv[at + 2u * hidden + 7u];
        let x1_8 = qkv[at + 2u * hidden + 8u];
        let x1_9 = qkv[at + 2u * hidden + 9u];
        let x1_10 = qkv[at + 2u * hidden + 10u];
        let x1_11 = qkv[at + 2u * hidden + 11u];
        let x1_12 = qkv[at + 2u * hidden + 12u];
        let x1_13 = qkv[at + 2u * hidden + 13u];
        let x1_14 = qkv[at + 2u * hidden + 14u];
        let x1_15 = qkv[at + 2u * hidden + 15u];
        switch i {
            case 0u: { a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; a0_8 = x0_8; a0_9 = x0_9; a0_10 = x0_10; a0_11 = x0_11; a0_12 = x0_12; a0_13 = x0_13; a0_14 = x0_14; a0_15 = x0_15; b0_0 = x1_0; b0_1 = x1_1; b0_2 = x1_2; b0_3 = x1_3; b0_4 = x1_4; b0_5 = x1_5; b0_6 = x1_6; b0_7 = x1_7; b0_8 = x1_8; b0_9 = x1_9; b0_10 = x1_10; b0_11 = x1_11; b0_12 = x1_12; b0_13 = x1_13; b0_14 = x1_14; b0_15 = x1_15; }
            case 1u: { a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; a1_8 = x0_8; a1_9 = x0_9; a1_10 = x0_10; a1_11 = x0_11; a1_12 = x0_12; a1_13 = x0_13; a1_14 = x0_14; a1_15 = x0_15; b1_0 = x1_0; b1_1 = x1_1; b1_2 = x1_2; b1_3 = x1_3; b1_4 = x1_4; b1_5 = x1_5; b1_6 = x1_6; b1_7 = x1_7; b1_8 = x1_8; b1_9 = x1_9; b1_10 = x1_10; b1_11 = x1_11; b1_12 = x1_12; b1_13 = x1_13; b1_14 = x1_14; b1_15 = x1_15; }
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
    var c0_8 = vec4f(0.0);
    var c0_9 = vec4f(0.0);
    var c0_10 = vec4f(0.0);
    var c0_11 = vec4f(0.0);
    var c0_12 = vec4f(0.0);
    var c0_13 = vec4f(0.0);
    var c0_14 = vec4f(0.0);
    var c0_15 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c1_8 = vec4f(0.0);
    var c1_9 = vec4f(0.0);
    var c1_10 = vec4f(0.0);
    var c1_11 = vec4f(0.0);
    var c1_12 = vec4f(0.0);
    var c1_13 = vec4f(0.0);
    var c1_14 = vec4f(0.0);
    var c1_15 = vec4f(0.0);
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
        let u8 = qkv[at + 8u];
        let u9 = qkv[at + 9u];
        let u10 = qkv[at + 10u];
        let u11 = qkv[at + 11u];
        let u12 = qkv[at + 12u];
        let u13 = qkv[at + 13u];
        let u14 = qkv[at + 14u];
        let u15 = qkv[at + 15u];
        let w0 = d_ctx[out + 0u];
        let w1 = d_ctx[out + 1u];
        let w2 = d_ctx[out + 2u];
        let w3 = d_ctx[out + 3u];
        let w4 = d_ctx[out + 4u];
        let w5 = d_ctx[out + 5u];
        let w6 = d_ctx[out + 6u];
        let w7 = d_ctx[out + 7u];
        let w8 = d_ctx[out + 8u];
        let w9 = d_ctx[out + 9u];
        let w10 = d_ctx[out + 10u];
        let w11 = d_ctx[out + 11u];
        let w12 = d_ctx[out + 12u];
        let w13 = d_ctx[out + 13u];
        let w14 = d_ctx[out + 14u];
        let w15 = d_ctx[out + 15u];
        let p0 = exp(dot(fma(a0_15, u15, fma(a0_14, u14, fma(a0_13, u13, fma(a0_12, u12, fma(a0_11, u11, fma(a0_10, u10, fma(a0_9, u9, fma(a0_8, u8, fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))))))))))), vec4f(1.0)) - e);
        let p1 = exp(dot(fma(a1_15, u15, fma(a1_14, u14, fma(a1_13, u13, fma(a1_12, u12, fma(a1_11, u11, fma(a1_10, u10, fma(a1_9, u9, fma(a1_8, u8, fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))))))))))), vec4f(1.0)) - e);
        var m0 = 1.0;
        var m1 = 1.0;
        if params.threshold > 0u {
            let choices = row_key(key, row);
            m0 = keep(choices, token + 0u - first, params.threshold, params.keep_scale);
            m1 = keep(choices, token + 1u - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * (dot(fma(b0_15, w15, fma(b0_14, w14, fma(b0_13, w13, fma(b0_12, w12, fma(b0_11, w11, fma(b0_10, w10, fma(b0_9, w9, fma(b0_8, w8, fma(b0_7, w7, fma(b0_6, w6, fma(b0_5, w5, fma(b0_4, w4, fma(b0_3, w3, fma(b0_2, w2, fma(b0_1, w1, b0_0 * w0))))))))))))))), vec4f(1.0)) * m0 - g);
        let s1 = p1 * (dot(fma(b1_15, w15, fma(b1_14, w14, fma(b1_13, w13, fma(b1_12, w12, fma(b1_11, w11, fma(b1_10, w10, fma(b1_9, w9, fma(b1_8, w8, fma(b1_7, w7, fma(b1_6, w6, fma(b1_5, w5, fma(b1_4, w4, fma(b1_3, w3, fma(b1_2, w2, fma(b1_1, w1, b1_0 * w0))))))))))))))), vec4f(1.0)) * m1 - g);
        c0_0 = fma(vec4f(s0), u0, c0_0);
        c1_0 = fma(vec4f(s1), u0, c1_0);
        c0_1 = fma(vec4f(s0), u1, c0_1);
        c1_1 = fma(vec4f(s1), u1, c1_1);
        c0_2 = fma(vec4f(s0), u2, c0_2);
        c1_2 = fma(vec4f(s1), u2, c1_2);
        c0_3 = fma(vec4f(s0), u3, c0_3);
        c1_3 = fma(vec4f(s1), u3, c1_3);
        c0_4 = fma(vec4f(s0), u4, c0_4);
        c1_4 = fma(vec4f(s1), u4, c1_4);
        c0_5 = fma(vec4f(s0), u5, c0_5);
        c1_5 = fma(vec4f(s1), u5, c1_5);
        c0_6 = fma(vec4f(s0), u6, c0_6);
        c1_6 = fma(vec4f(s1), u6, c1_6);
        c0_7 = fma(vec4f(s0), u7, c0_7);
        c1_7 = fma(vec4f(s1), u7, c1_7);
        c0_8 = fma(vec4f(s0), u8, c0_8);
        c1_8 = fma(vec4f(s1), u8, c1_8);
        c0_9 = fma(vec4f(s0), u9, c0_9);
        c1_9 = fma(vec4f(s1), u9, c1_9);
        c0_10 = fma(vec4f(s0), u10, c0_10);
        c1_10 = fma(vec4f(s1), u10, c1_10);
        c0_11 = fma(vec4f(s0), u11, c0_11);
        c1_11 = fma(vec4f(s1), u11, c1_11);
        c0_12 = fma(vec4f(s0), u12, c0_12);
        c1_12 = fma(vec4f(s1), u12, c1_12);
        c0_13 = fma(vec4f(s0), u13, c0_13);
        c1_13 = fma(vec4f(s1), u13, c1_13);
        c0_14 = fma(vec4f(s0), u14, c0_14);
        c1_14 = fma(vec4f(s1), u14, c1_14);
        c0_15 = fma(vec4f(s0), u15, c0_15);
        c1_15 = fma(vec4f(s1), u15, c1_15);
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
        var s8: vec4f;
        var s9: vec4f;
        var s10: vec4f;
        var s11: vec4f;
        var s12: vec4f;
        var s13: vec4f;
        var s14: vec4f;
        var s15: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; s8 = c0_8; s9 = c0_9; s10 = c0_10; s11 = c0_11; s12 = c0_12; s13 = c0_13; s14 = c0_14; s15 = c0_15; }
            default: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; s8 = c1_8; s9 = c1_9; s10 = c1_10; s11 = c1_11; s12 = c1_12; s13 = c1_13; s14 = c1_14; s15 = c1_15; }
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
        d_qkv[to + 8u] = s8 * params.scale;
        d_qkv[to + 9u] = s9 * params.scale;
        d_qkv[to + 10u] = s10 * params.scale;
        d_qkv[to + 11u] = s11 * params.scale;
        d_qkv[to + 12u] = s12 * params.scale;
        d_qkv[to + 13u] = s13 * params.scale;
        d_qkv[to + 14u] = s14 * params.scale;
        d_qkv[to + 15u] = s15 * params.scale;
    }
}

fn values(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * 16u;
    let column = head * 16u;
    let count = min(2u, end - token);
    var a0_0 = vec4f(0.0);
    var a0_1 = vec4f(0.0);
    var a0_2 = vec4f(0.0);
    var a0_3 = vec4f(0.0);
    var a0_4 = vec4f(0.0);
    var a0_5 = vec4f(0.0);
    var a0_6 = vec4f(0.0);
    var a0_7 = vec4f(0.0);
    var a0_8 = vec4f(0.0);
    var a0_9 = vec4f(0.0);
    var a0_10 = vec4f(0.0);
    var a0_11 = vec4f(0.0);
    var a0_12 = vec4f(0.0);
    var a0_13 = vec4f(0.0);
    var a0_14 = vec4f(0.0);
    var a0_15 = vec4f(0.0);
    var a1_0 = vec4f(0.0);
    var a1_1 = vec4f(0.0);
    var a1_2 = vec4f(0.0);
    var a1_3 = vec4f(0.0);
    var a1_4 = vec4f(0.0);
    var a1_5 = vec4f(0.0);
    var a1_6 = vec4f(0.0);
    var a1_7 = vec4f(0.0);
    var a1_8 = vec4f(0.0);
    var a1_9 = vec4f(0.0);
    var a1_10 = vec4f(0.0);
    var a1_11 = vec4f(0.0);
    var a1_12 = vec4f(0.0);
    var a1_13 = vec4f(0.0);
    var a1_14 = vec4f(0.0);
    var a1_15 = vec4f(0.0);
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
        let x0_8 = qkv[at + hidden + 8u] * params.scale;
        let x0_9 = qkv[at + hidden + 9u] * params.scale;
        let x0_10 = qkv[at + hidden + 10u] * params.scale;
        let x0_11 = qkv[at + hidden + 11u] * params.scale;
        let x0_12 = qkv[at + hidden + 12u] * params.scale;
        let x0_13 = qkv[at + hidden + 13u] * params.scale;
        let x0_14 = qkv[at + hidden + 14u] * params.scale;
        let x0_15 = qkv[at + hidden + 15u] * params.scale;
        switch i {
            case 0u: { a0_0 = x0_0; a0_1 = x0_1; a0_2 = x0_2; a0_3 = x0_3; a0_4 = x0_4; a0_5 = x0_5; a0_6 = x0_6; a0_7 = x0_7; a0_8 = x0_8; a0_9 = x0_9; a0_10 = x0_10; a0_11 = x0_11; a0_12 = x0_12; a0_13 = x0_13; a0_14 = x0_14; a0_15 = x0_15; }
            case 1u: { a1_0 = x0_0; a1_1 = x0_1; a1_2 = x0_2; a1_3 = x0_3; a1_4 = x0_4; a1_5 = x0_5; a1_6 = x0_6; a1_7 = x0_7; a1_8 = x0_8; a1_9 = x0_9; a1_10 = x0_10; a1_11 = x0_11; a1_12 = x0_12; a1_13 = x0_13; a1_14 = x0_14; a1_15 = x0_15; }
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
    var c0_8 = vec4f(0.0);
    var c0_9 = vec4f(0.0);
    var c0_10 = vec4f(0.0);
    var c0_11 = vec4f(0.0);
    var c0_12 = vec4f(0.0);
    var c0_13 = vec4f(0.0);
    var c0_14 = vec4f(0.0);
    var c0_15 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c1_8 = vec4f(0.0);
    var c1_9 = vec4f(0.0);
    var c1_10 = vec4f(0.0);
    var c1_11 = vec4f(0.0);
    var c1_12 = vec4f(0.0);
    var c1_13 = vec4f(0.0);
    var c1_14 = vec4f(0.0);
    var c1_15 = vec4f(0.0);
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
        let u8 = qkv[at + 8u];
        let u9 = qkv[at + 9u];
        let u10 = qkv[at + 10u];
        let u11 = qkv[at + 11u];
        let u12 = qkv[at + 12u];
        let u13 = qkv[at + 13u];
        let u14 = qkv[at + 14u];
        let u15 = qkv[at + 15u];
        let w0 = d_ctx[out + 0u];
        let w1 = d_ctx[out + 1u];
        let w2 = d_ctx[out + 2u];
        let w3 = d_ctx[out + 3u];
        let w4 = d_ctx[out + 4u];
        let w5 = d_ctx[out + 5u];
        let w6 = d_ctx[out + 6u];
        let w7 = d_ctx[out + 7u];
        let w8 = d_ctx[out + 8u];
        let w9 = d_ctx[out + 9u];
        let w10 = d_ctx[out + 10u];
        let w11 = d_ctx[out + 11u];
        let w12 = d_ctx[out + 12u];
        let w13 = d_ctx[out + 13u];
        let w14 = d_ctx[out + 14u];
        let w15 = d_ctx[out + 15u];
        let p0 = exp(dot(fma(a0_15, u15, fma(a0_14, u14, fma(a0_13, u13, fma(a0_12, u12, fma(a0_11, u11, fma(a0_10, u10, fma(a0_9, u9, fma(a0_8, u8, fma(a0_7, u7, fma(a0_6, u6, fma(a0_5, u5, fma(a0_4, u4, fma(a0_3, u3, fma(a0_2, u2, fma(a0_1, u1, a0_0 * u0))))))))))))))), vec4f(1.0)) - e);
        let p1 = exp(dot(fma(a1_15, u15, fma(a1_14, u14, fma(a1_13, u13, fma(a1_12, u12, fma(a1_11, u11, fma(a1_10, u10, fma(a1_9, u9, fma(a1_8, u8, fma(a1_7, u7, fma(a1_6, u6, fma(a1_5, u5, fma(a1_4, u4, fma(a1_3, u3, fma(a1_2, u2, fma(a1_1, u1, a1_0 * u0))))))))))))))), vec4f(1.0)) - e);
        var m0 = 1.0;
        var m1 = 1.0;
        if params.threshold > 0u {
            let choices = row_key(key, row);
            m0 = keep(choices, token + 0u - first, params.threshold, params.keep_scale);
            m1 = keep(choices, token + 1u - first, params.threshold, params.keep_scale);
        }
        let s0 = p0 * m0;
        let s1 = p1 * m1;
        c0_0 = fma(vec4f(s0), w0, c0_0);
        c1_0 = fma(vec4f(s1), w0, c1_0);
        c0_1 = fma(vec4f(s0), w1, c0_1);
        c1_1 = fma(vec4f(s1), w1, c1_1);
        c0_2 = fma(vec4f(s0), w2, c0_2);
        c1_2 = fma(vec4f(s1), w2, c1_2);
        c0_3 = fma(vec4f(s0), w3, c0_3);
        c1_3 = fma(vec4f(s1), w3, c1_3);
        c0_4 = fma(vec4f(s0), w4, c0_4);
        c1_4 = fma(vec4f(s1), w4, c1_4);
        c0_5 = fma(vec4f(s0), w5, c0_5);
        c1_5 = fma(vec4f(s1), w5, c1_5);
        c0_6 = fma(vec4f(s0), w6, c0_6);
        c1_6 = fma(vec4f(s1), w6, c1_6);
        c0_7 = fma(vec4f(s0), w7, c0_7);
        c1_7 = fma(vec4f(s1), w7, c1_7);
        c0_8 = fma(vec4f(s0), w8, c0_8);
        c1_8 = fma(vec4f(s1), w8, c1_8);
        c0_9 = fma(vec4f(s0), w9, c0_9);
        c1_9 = fma(vec4f(s1), w9, c1_9);
        c0_10 = fma(vec4f(s0), w10, c0_10);
        c1_10 = fma(vec4f(s1), w10, c1_10);
        c0_11 = fma(vec4f(s0), w11, c0_11);
        c1_11 = fma(vec4f(s1), w11, c1_11);
        c0_12 = fma(vec4f(s0), w12, c0_12);
        c1_12 = fma(vec4f(s1), w12, c1_12);
        c0_13 = fma(vec4f(s0), w13, c0_13);
        c1_13 = fma(vec4f(s1), w13, c1_13);
        c0_14 = fma(vec4f(s0), w14, c0_14);
        c1_14 = fma(vec4f(s1), w14, c1_14);
        c0_15 = fma(vec4f(s0), w15, c0_15);
        c1_15 = fma(vec4f(s1), w15, c1_15);
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
        var s8: vec4f;
        var s9: vec4f;
        var s10: vec4f;
        var s11: vec4f;
        var s12: vec4f;
        var s13: vec4f;
        var s14: vec4f;
        var s15: vec4f;
        switch i {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; s8 = c0_8; s9 = c0_9; s10 = c0_10; s11 = c0_11; s12 = c0_12; s13 = c0_13; s14 = c0_14; s15 = c0_15; }
            default: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; s8 = c1_8; s9 = c1_9; s10 = c1_10; s11 = c1_11; s12 = c1_12; s13 = c1_13; s14 = c1_14; s15 = c1_15; }
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
        d_qkv[to + 8u] = s8;
        d_qkv[to + 9u] = s9;
        d_qkv[to + 10u] = s10;
        d_qkv[to + 11u] = s11;
        d_qkv[to + 12u] = s12;
        d_qkv[to + 13u] = s13;
        d_qkv[to + 14u] = s14;
        d_qkv[to + 15u] = s15;
    }
}

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x / 3u * 8u + lane.x) * 2u;
    if token >= end { return; }
    switch group.x % 3u {
        case 0u: { queries(first, end, token, group.y); }
        case 1u: { keys(first, end, token, group.y); }
        default: { values(first, end, token, group.y); }
    }
}
