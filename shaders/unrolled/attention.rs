//! Attention: `ctx = softmax(Q Kᵀ scale) V`, for inference and (with dropout and the sums of the softmax) for training.

use super::text::{block, cases, dot, fill, lines, pairs, take, words};

const INFERENCE_BINDINGS: &str = "\
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;
";

const TRAINING_BINDINGS: &str = "\
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;
";

fn title(train: bool) -> String {
    match train {
        false => "ctx = softmax(Q Kᵀ scale) V, heads of".into(),
        true => "ctx = M softmax(Q Kᵀ scale) V and lse = log Σ exp, M being dropout's choice, heads of".into(),
    }
}

fn bindings(train: bool) -> String {
    if train { TRAINING_BINDINGS.into() } else { INFERENCE_BINDINGS.into() }
}

/// The choice of dropout for a probability.
pub fn keep(row: &str, col: &str) -> String {
    format!("keep({row}, {col}, params.threshold, params.keep_scale)")
}

/// Text that only training has.
fn only(train: bool, text: String) -> String {
    if train { text } else { String::new() }
}

/// One thread carries `queries` queries through the keys.
pub fn registers(size: usize, queries: usize, train: bool) -> String {
    let quads = size / 4;
    let score = |q: usize| format!("let s{q} = {};", dot(quads, |d| format!("q{q}_{d}"), |d| format!("k{d}")));
    let p = if train { "var" } else { "let" };
    let softmax = |q: usize| fill(SOFTMAX, &[("q", q.to_string()), ("p", p.into())]);
    let value = |d: usize| {
        let load = format!("let v{d} = qkv[at + 2u * hidden + {d}u];\n");
        load + &lines(queries, |q| format!("c{q}_{d} = fma(vec4f(p{q}), v{d}, c{q}_{d} * f{q});"))
    };
    let kept = lines(queries, |q| format!("p{q} *= {};", keep(&format!("r{q}"), "t - first")));
    let row = |q: usize| format!("let r{q} = row_key(key, (token + {q}u) * params.heads + group.y);");
    let keys = "let key = site_key(control[0], params.site);\n".to_owned() + &lines(queries, row);
    let largest = |q: usize| only(train, format!("m = m{q}; "));
    let values = [
        ("title", title(train)),
        ("size", size.to_string()),
        ("queries", queries.to_string()),
        ("quads", quads.to_string()),
        ("bindings", bindings(train)),
        ("q", pairs(queries, quads, |q, d| format!("var q{q}_{d} = vec4f(0.0);"))),
        ("scaled", lines(quads, |d| format!("let k{d} = qkv[at + {d}u] * params.scale;"))),
        ("own", lines(queries, |q| format!("case {q}u: {{ {} }}", words(quads, |d| format!("q{q}_{d} = k{d};"))))),
        ("sums", pairs(queries, quads, |q, d| format!("var c{q}_{d} = vec4f(0.0);"))),
        ("m", lines(queries, |q| format!("var m{q} = -3.0e38;"))),
        ("l", lines(queries, |q| format!("var l{q} = 0.0;"))),
        ("row keys", only(train, keys)),
        ("k", lines(quads, |d| format!("let k{d} = qkv[at + hidden + {d}u];"))),
        ("scores", lines(queries, score)),
        ("softmax", (0..queries).map(softmax).collect()),
        ("drop", only(train, block("if params.threshold > 0u", &kept))),
        ("values", (0..quads).map(value).collect()),
        ("query's sums", lines(quads, |d| format!("var s{d}: vec4f;"))),
        ("largest", only(train, "var m: f32;".into())),
        ("take", cases(queries, |q| format!("{}l = l{q}; {}", largest(q), take(q, quads)))),
        ("stores", lines(quads, |d| format!("ctx[out + {d}u] = s{d} / l;"))),
        ("logs", only(train, "lse[(token + q) * params.heads + group.y] = m + log(l);".into())),
    ];
    fill(REGISTERS, &values)
}

const SOFTMAX: &str = "\
let n${q} = max(m${q}, s${q});
let f${q} = exp(m${q} - n${q});
${p} p${q} = exp(s${q} - n${q});
m${q} = n${q};
l${q} = fma(l${q}, f${q}, p${q});
";

const REGISTERS: &str = "\
// ${title} ${size}. A thread carries ${queries} queries of one head through the keys of their sequence
// with a running maximum m and sum l (online softmax), so that a key is loaded once for all of them. No barrier.
${note}
${bindings}

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x * 8u + lane.x) * ${queries}u;
    if token >= end { return; }
    // In vectors of four.
    let hidden = params.heads * ${quads}u;
    let head = group.y * ${quads}u;
    let count = min(${queries}u, end - token);
    // Loads and stores of queries stand once, in a loop, or they would be most of what there is to compile.
    ${q}
    for (var q = 0u; q < count; q++) {
        let at = (token + q) * 3u * hidden + head;
        ${scaled}
        switch q {
            ${own}
            default: {}
        }
    }
    ${sums}
    ${m}
    ${l}
    ${row keys}
    var at = first * 3u * hidden + head;
    for (var t = first; t < end; t++) {
        ${k}
        ${scores}
        ${softmax}
        ${drop}
        ${values}
        at += 3u * hidden;
    }
    for (var q = 0u; q < count; q++) {
        ${query's sums}
        var l: f32;
        ${largest}
        switch q {
            ${take}
        }
        let out = (token + q) * hidden + head;
        ${stores}
        ${logs}
    }
}
";

/// A workgroup takes 64 queries through tiles of keys and values.
pub fn tiles(size: usize, train: bool) -> String {
    let quads = size / 4;
    let choice = keep("row", "tile + t - first");
    let row = "let row = row_key(site_key(control[0], params.site), token * params.heads + group.y);";
    let values = [
        ("title", title(train)),
        ("size", size.to_string()),
        ("quads", quads.to_string()),
        // The tiles of K and V take 4 KiB each.
        ("keys", (1024 / size).to_string()),
        ("bindings", bindings(train)),
        ("q", lines(quads, |d| format!("let q{d} = qkv[query + {d}u] * params.scale;"))),
        ("sums", lines(quads, |d| format!("var c{d} = vec4f(0.0);"))),
        ("row key", only(train, row.into())),
        ("score", dot(quads, |d| format!("q{d}"), |d| format!("tile_k[at + {d}u]"))),
        ("p", if train { "var".into() } else { "let".into() }),
        ("drop", only(train, format!("if params.threshold > 0u {{ p *= {choice}; }}"))),
        ("values", lines(quads, |d| format!("c{d} = fma(vec4f(p), tile_v[at + {d}u], c{d} * f);"))),
        ("stores", lines(quads, |d| format!("ctx[at + {d}u] = c{d} * r;"))),
        ("logs", only(train, "lse[token * params.heads + group.y] = m + log(l);".into())),
    ];
    fill(TILES, &values)
}

const TILES: &str = "\
// ${title} ${size}. A workgroup takes 64 queries of one head, one a thread, through the keys of their
// sequence, ${keys} at a time in shared memory, with a running maximum m and sum l (online softmax).
${note}
${bindings}

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
    let hidden = params.heads * ${quads}u;
    let head = group.y * ${quads}u;
    let query = min(token, end - 1u) * 3u * hidden + head;
    ${q}
    ${sums}
    var m = -3.0e38;
    var l = 0.0;
    ${row key}
    for (var tile = first; tile < end; tile += ${keys}u) {
        workgroupBarrier();
        for (var i = local.x; i < 256u; i += 64u) {
            let at = min(tile + i / ${quads}u, end - 1u) * 3u * hidden + head + i % ${quads}u;
            tile_k[i] = qkv[at + hidden];
            tile_v[i] = qkv[at + 2u * hidden];
        }
        workgroupBarrier();
        let count = min(${keys}u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * ${quads}u;
            let s = ${score};
            let n = max(m, s);
            let f = exp(m - n);
            ${p} p = exp(s - n);
            m = n;
            l = fma(l, f, p);
            ${drop}
            ${values}
        }
    }
    if token < end {
        let r = 1.0 / l;
        let at = token * hidden + head;
        ${stores}
        ${logs}
    }
}
";
