//! The gradients of attention. Of three workgroups, one gives dQ, one dK and one dV, so no two threads add to one element.

use super::attention::keep;
use super::text::{block, cases, dot, fill, lines, pairs, take, words};

const BINDINGS: &str = "\
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(3) var<storage, read> d_ctx: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;
";

const TITLE: &str = "\
// The gradients of attention's q, k and v, heads of ${size}. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
";

/// What a workgroup computes: dQ for some queries, or dK or dV for some keys.
///
/// A thread's own rows are `a` (and `b`), its sums `c`. It goes through the rows of the other side, `u` (and `w`): q with d_ctx, or k with v.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Queries,
    Keys,
    Values,
}

const ROLES: [Role; 3] = [Role::Queries, Role::Keys, Role::Values];

impl Role {
    fn name(self) -> &'static str {
        ["queries", "keys", "values"][self as usize]
    }

    fn by_query(self) -> bool {
        self == Role::Queries
    }

    /// Whether it needs dS, and so the product of the second vectors.
    fn has_products(self) -> bool {
        self != Role::Values
    }

    /// The names of a thread's own rows.
    fn owned(self) -> &'static [&'static str] {
        if self.has_products() { &["a", "b"] } else { &["a"] }
    }

    /// Where vector 0 or 1 of a row lies. `at` is the row's first vector in qkv; `out` is its first one in d_ctx.
    fn row(self, is_own: bool, at: &str, vector: usize) -> String {
        match (self.by_query() == is_own, vector) {
            (true, 0) => format!("qkv[{at}"),
            (true, _) => "d_ctx[out".into(),
            (false, 0) => format!("qkv[{at} + hidden"),
            (false, _) => format!("qkv[{at} + 2u * hidden"),
        }
    }

    fn scale(self) -> String {
        if self.has_products() { " * params.scale".into() } else { String::new() }
    }
}

/// The factor of the first vector of a thread's own row.
fn scaled(vector: usize) -> &'static str {
    if vector == 0 { " * params.scale" } else { "" }
}

/// One thread has `rows` queries or keys.
pub fn registers(size: usize, rows: usize) -> String {
    let title = fill(TITLE, &[("size", size.to_string())]);
    let values = [
        ("title", title),
        ("tokens", (8 * rows).to_string()),
        ("rows", rows.to_string()),
        ("bindings", BINDINGS.to_owned()),
        ("roles", ROLES.map(|role| registers_role(role, rows, size / 4)).concat()),
    ];
    fill(REGISTERS, &values)
}

const REGISTERS: &str = "\
${title}
// Of three workgroups one gives dQ, one dK and one dV, each for ${tokens} tokens, ${rows} a thread: no two threads add to one element.
${note}
${bindings}

${roles}

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x / 3u * 8u + lane.x) * ${rows}u;
    if token >= end { return; }
    switch group.x % 3u {
        case 0u: { queries(first, end, token, group.y); }
        case 1u: { keys(first, end, token, group.y); }
        default: { values(first, end, token, group.y); }
    }
}
";

fn registers_role(role: Role, rows: usize, quads: usize) -> String {
    let owned = role.owned();
    let by_query = role.by_query();
    let load = |v: usize, d: usize| format!("let x{v}_{d} = {} + {d}u]{};", role.row(true, "at", v), scaled(v));
    let own = |r: usize| {
        let terms = if by_query { format!("e{r} = lse[row]; g{r} = delta[row]; ") } else { String::new() };
        let rows = owned.iter().enumerate().map(|(v, n)| words(quads, |d| format!("{n}{r}_{d} = x{v}_{d};")));
        format!("case {r}u: {{ {terms}{} }}", rows.collect::<Vec<_>>().join(" "))
    };
    // The log-sum-exp and delta of a query: a thread's own, or those of the row that it is at.
    let index = |r: usize| if by_query { r.to_string() } else { String::new() };
    let p = |r: usize| {
        let score = dot(quads, |d| format!("a{r}_{d}"), |d| format!("u{d}"));
        format!("let p{r} = exp({score} - e{});", index(r))
    };
    let choice = |r: usize| match by_query {
        true => format!("m{r} = {};", keep(&format!("r{r}"), "t - first")),
        false => format!("m{r} = {};", keep("choices", &format!("token + {r}u - first"))),
    };
    let choices = if by_query { "" } else { "let choices = row_key(key, row);\n" }.to_owned() + &lines(rows, choice);
    let s = |r: usize| match role.has_products() {
        true => {
            let product = dot(quads, |d| format!("b{r}_{d}"), |d| format!("w{d}"));
            format!("let s{r} = p{r} * ({product} * m{r} - g{});", index(r))
        }
        false => format!("let s{r} = p{r} * m{r};"),
    };
    let source = if role.has_products() { "u" } else { "w" };
    let key = "let key = site_key(control[0], params.site);\n".to_owned();
    let row_key = |r: usize| format!("let r{r} = row_key(key, (token + {r}u) * params.heads + head);");
    let terms = lines(rows, |r| format!("var e{r} = 0.0;\nvar g{r} = 0.0;"));
    let needs_out = (0..owned.len()).any(|v| role.row(true, "at", v).starts_with("d_ctx"));
    let values = [
        ("name", role.name().into()),
        ("rows", rows.to_string()),
        ("quads", quads.to_string()),
        ("owned", owned.iter().map(|n| pairs(rows, quads, |r, d| format!("var {n}{r}_{d} = vec4f(0.0);"))).collect()),
        ("terms", if by_query { terms } else { String::new() }),
        ("own out", if needs_out { "let out = (token + i) * hidden + column;".into() } else { String::new() }),
        ("own row", if by_query { "let row = (token + i) * params.heads + head;".into() } else { String::new() }),
        ("load", pairs(owned.len(), quads, load)),
        ("own", lines(rows, own)),
        ("sums", pairs(rows, quads, |r, d| format!("var c{r}_{d} = vec4f(0.0);"))),
        ("key", if by_query { key + &lines(rows, row_key) } else { key }),
        ("out", if by_query { String::new() } else { "let out = t * hidden + column;".into() }),
        ("row", if by_query { String::new() } else { "let row = t * params.heads + head;\nlet e = lse[row];".into() }),
        ("g", if role == Role::Keys { "let g = delta[row];".into() } else { String::new() }),
        ("u", lines(quads, |d| format!("let u{d} = {} + {d}u];", role.row(false, "at", 0)))),
        ("w", lines(quads, |d| format!("let w{d} = {} + {d}u];", role.row(false, "at", 1)))),
        ("p", lines(rows, p)),
        ("m", lines(rows, |r| format!("var m{r} = 1.0;"))),
        ("drop", block("if params.threshold > 0u", &choices)),
        ("s", lines(rows, s)),
        ("add", pairs(quads, rows, |d, r| format!("c{r}_{d} = fma(vec4f(s{r}), {source}{d}, c{r}_{d});"))),
        ("row's sums", lines(quads, |d| format!("var s{d}: vec4f;"))),
        ("take", cases(rows, |r| take(r, quads))),
        ("part", (role as usize).to_string()),
        ("stores", lines(quads, |d| format!("d_qkv[to + {d}u] = s{d}{};", role.scale()))),
    ];
    fill(REGISTERS_ROLE, &values)
}

const REGISTERS_ROLE: &str = "
fn ${name}(first: u32, end: u32, token: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * ${quads}u;
    let column = head * ${quads}u;
    let count = min(${rows}u, end - token);
    ${owned}
    ${terms}
    for (var i = 0u; i < count; i++) {
        let at = (token + i) * 3u * hidden + column;
        ${own out}
        ${own row}
        ${load}
        switch i {
            ${own}
            default: {}
        }
    }
    ${sums}
    ${key}
    for (var t = first; t < end; t++) {
        let at = t * 3u * hidden + column;
        ${out}
        ${row}
        ${g}
        ${u}
        ${w}
        ${p}
        ${m}
        ${drop}
        ${s}
        ${add}
    }
    for (var i = 0u; i < count; i++) {
        ${row's sums}
        switch i {
            ${take}
        }
        let to = (token + i) * 3u * hidden + ${part}u * hidden + column;
        ${stores}
    }
}
";

/// One thread has one query or key; the other side comes in tiles.
pub fn tiles(size: usize) -> String {
    let keys = 1024 / size;
    let title = fill(TITLE, &[("size", size.to_string())]);
    let values = [
        ("title", title),
        // Both tiles take 4 KiB.
        ("keys", keys.to_string()),
        ("bindings", BINDINGS.to_owned()),
        ("roles", ROLES.map(|role| tiles_role(role, size / 4, keys)).concat()),
    ];
    fill(TILES, &values)
}

const TILES: &str = "\
${title}
// Of three workgroups one gives dQ, one dK and one dV, each for 64 tokens, one a thread, from ${keys} tokens of the other side at a
// time in shared memory: no two threads add to one element.
${note}
${bindings}

var<workgroup> tile_u: array<vec4f, 256>;
var<workgroup> tile_w: array<vec4f, 256>;
// Log-sum-exp and delta of queries, and their keys of dropout's hash.
var<workgroup> tile_terms: array<vec2f, ${keys}>;
var<workgroup> tile_row: array<u32, ${keys}>;
${roles}

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
";

fn tiles_role(role: Role, quads: usize, keys: usize) -> String {
    let owned = role.owned();
    let by_query = role.by_query();
    let load = |v: usize, d: usize| format!("let {}{d} = {} + {d}u]{};", owned[v], role.row(true, "at", v), scaled(v));
    let needs_out = (0..owned.len()).any(|v| role.row(true, "at", v).starts_with("d_ctx"));
    let own_row = "let row = mine * params.heads + head;\nlet e = lse[row];\nlet g = delta[row];";
    let terms = match role {
        Role::Queries => "",
        Role::Keys => "let e = tile_terms[t].x;\nlet g = tile_terms[t].y;",
        Role::Values => "let e = tile_terms[t].x;",
    };
    let choice = match by_query {
        true => keep("choices", "tile + t - first"),
        false => keep("tile_row[t]", "token - first"),
    };
    let product = || dot(quads, |d| format!("b{d}"), |d| format!("tile_w[at + {d}u]"));
    let source = if role.has_products() { "u" } else { "w" };
    let values = [
        ("name", role.name().into()),
        ("quads", quads.to_string()),
        ("keys", keys.to_string()),
        ("own out", if needs_out { "let out = mine * hidden + column;".into() } else { String::new() }),
        ("load", pairs(owned.len(), quads, load)),
        ("own row", if by_query { own_row.into() } else { String::new() }),
        ("choices", if by_query { "let choices = row_key(key, row);".into() } else { String::new() }),
        ("sums", lines(quads, |d| format!("var c{d} = vec4f(0.0);"))),
        ("out", if by_query { String::new() } else { format!("let out = other * hidden + column + i % {quads}u;") }),
        ("u", role.row(false, "begin", 0)),
        ("w", role.row(false, "begin", 1)),
        ("fill", if by_query { String::new() } else { fill(TILE_TERMS, &[("keys", keys.to_string())]) }),
        ("terms", terms.into()),
        ("score", dot(quads, |d| format!("a{d}"), |d| format!("tile_u[at + {d}u]"))),
        ("choice", choice),
        ("s", if role.has_products() { format!("p * ({} * m - g)", product()) } else { "p * m".into() }),
        ("add", lines(quads, |d| format!("c{d} = fma(vec4f(s), tile_{source}[at + {d}u], c{d});"))),
        ("part", (role as usize).to_string()),
        ("stores", lines(quads, |d| format!("d_qkv[to + {d}u] = c{d}{};", role.scale()))),
    ];
    fill(TILES_ROLE, &values)
}

const TILE_TERMS: &str = "\
if thread < ${keys}u {
    let row = min(tile + thread, end - 1u) * params.heads + head;
    tile_terms[thread] = vec2f(lse[row], delta[row]);
    tile_row[thread] = row_key(key, row);
}
";

const TILES_ROLE: &str = "
fn ${name}(first: u32, end: u32, block: u32, thread: u32, head: u32) {
    // In vectors of four.
    let hidden = params.heads * ${quads}u;
    let column = head * ${quads}u;
    let token = block + thread;
    let mine = min(token, end - 1u);
    let at = mine * 3u * hidden + column;
    ${own out}
    ${load}
    ${own row}
    let key = site_key(control[0], params.site);
    ${choices}
    ${sums}
    for (var tile = first; tile < end; tile += ${keys}u) {
        workgroupBarrier();
        for (var i = thread; i < 256u; i += 64u) {
            let other = min(tile + i / ${quads}u, end - 1u);
            let begin = other * 3u * hidden + column + i % ${quads}u;
            ${out}
            tile_u[i] = ${u}];
            tile_w[i] = ${w}];
        }
        ${fill}
        workgroupBarrier();
        let count = min(${keys}u, end - tile);
        for (var t = 0u; t < count; t++) {
            let at = t * ${quads}u;
            ${terms}
            let p = exp(${score} - e);
            var m = 1.0;
            if params.threshold > 0u { m = ${choice}; }
            let s = ${s};
            ${add}
        }
    }
    if token < end {
        let to = token * 3u * hidden + ${part}u * hidden + column;
        ${stores}
    }
}
";
