"""Attention, forward and back."""

from unroll_text import NOTE, dot, indent, lines, pick

ATTENTION_HEAD = """@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;
"""

TRAIN_HEAD = """@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
"""

TRAIN_FORWARD_HEAD = TRAIN_HEAD + """@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;
"""

FORWARD = "ctx = softmax(Q Kᵀ scale) V, heads of"
TRAIN_FORWARD = "ctx = M softmax(Q Kᵀ scale) V and lse = log Σ exp, M being dropout's choice, heads of"


def keep(row, col):
    """Dropout's choice for a probability."""
    return f"keep({row}, {col}, params.threshold, params.keep_scale)"


def registers(size, queries, train=False):
    quads = size // 4
    qs, ds = range(queries), range(quads)
    scores = "".join(f"let s{q} = {dot(f'q{q}_{{}}', 'k{}', quads)};\n" for q in qs)
    softmax = "".join(
        f"""let n{q} = max(m{q}, s{q});
let f{q} = exp(m{q} - n{q});
let p{q} = exp(s{q} - n{q});
m{q} = n{q};
l{q} = fma(l{q}, f{q}, p{q});
"""
        for q in qs
    )
    values = "".join(
        f"let v{d} = qkv[at + 2u * hidden + {d}u];\n"
        + "".join(f"c{q}_{d} = fma(vec4f(p{q}), v{d}, c{q}_{d} * f{q});\n" for q in qs)
        for d in ds
    )
    give = pick(queries, quads)
    for q in qs:
        give = give.replace(f"s0 = c{q}_0;", f"{f'm = m{q}; ' if train else ''}l = l{q}; s0 = c{q}_0;")
    drop = rows = largest = logs = ""
    if train:
        kept = "".join(f"p{q} *= {keep(f'r{q}', 't - first')};\n" for q in qs)
        softmax = softmax.replace("let p", "var p")
        drop = f"if params.threshold > 0u {{\n{indent(kept, 4)}}}\n"
        rows = "let key = site_key(control[0], params.site);\n" + "".join(
            f"let r{q} = row_key(key, (token + {q}u) * params.heads + group.y);\n" for q in qs
        )
        largest = "var m: f32;\n"
        logs = "lse[(token + q) * params.heads + group.y] = m + log(l);\n"
    take = "".join(f"case {q}u: {{ {' '.join(f'q{q}_{d} = k{d};' for d in ds)} }}\n" for q in qs)
    return f"""// {TRAIN_FORWARD if train else FORWARD} {size}. A thread carries {queries} queries of one head through the keys of their sequence
// with a running maximum m and sum l (online softmax), so that a key is loaded once for all of them. No barrier.
{NOTE}{TRAIN_FORWARD_HEAD if train else ATTENTION_HEAD}
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {{
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x * 8u + lane.x) * {queries}u;
    if token >= end {{ return; }}
    // In vectors of four.
    let hidden = params.heads * {quads}u;
    let head = group.y * {quads}u;
    let count = min({queries}u, end - token);
    // Loads and stores of queries stand once, in a loop, or they would be most of what there is to compile.
{indent(lines("var q{0}_{1} = vec4f(0.0);", qs, ds), 4)}\
    for (var q = 0u; q < count; q++) {{
        let at = (token + q) * 3u * hidden + head;
{indent(lines("let k{0} = qkv[at + {0}u] * params.scale;", ds), 8)}\
        switch q {{
{indent(take, 12)}\
            default: {{}}
        }}
    }}
{indent(lines("var c{0}_{1} = vec4f(0.0);", qs, ds), 4)}\
{indent(lines("var m{0} = -3.0e38;", qs), 4)}\
{indent(lines("var l{0} = 0.0;", qs), 4)}\
{indent(rows, 4)}\
    var at = first * 3u * hidden + head;
    for (var t = first; t < end; t++) {{
{indent(lines("let k{0} = qkv[at + hidden + {0}u];", ds), 8)}\
{indent(scores, 8)}\
{indent(softmax, 8)}\
{indent(drop, 8)}\
{indent(values, 8)}\
        at += 3u * hidden;
    }}
    for (var q = 0u; q < count; q++) {{
{indent(lines("var s{0}: vec4f;", ds), 8)}\
        var l: f32;
{indent(largest, 8)}\
        switch q {{
{indent(give, 12)}\
        }}
        let out = (token + q) * hidden + head;
{indent(lines("ctx[out + {0}u] = s{0} / l;", ds), 8)}\
{indent(logs, 8)}\
    }}
}}
"""


def tiles(size, train=False):
    quads = size // 4
    ds = range(quads)
    drop = rows = logs = ""
    if train:
        drop = f"if params.threshold > 0u {{ p *= {keep('row', 'tile + t - first')}; }}\n"
        rows = "let row = row_key(site_key(control[0], params.site), token * params.heads + group.y);\n"
        logs = "lse[token * params.heads + group.y] = m + log(l);\n"
    keys = 1024 // size  # K and V tiles take 4 KiB each
    return f"""// {TRAIN_FORWARD if train else FORWARD} {size}. A workgroup takes 64 queries of one head, one a thread, through the keys of their
// sequence, {keys} at a time in shared memory, with a running maximum m and sum l (online softmax).
{NOTE}{TRAIN_FORWARD_HEAD if train else ATTENTION_HEAD}
var<workgroup> tile_k: array<vec4f, 256>;
var<workgroup> tile_v: array<vec4f, 256>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {{
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + group.x * 64u + local.x;
    // The same for the whole workgroup, as the barriers want it.
    if first + group.x * 64u >= end {{ return; }}
    // In vectors of four.
    let hidden = params.heads * {quads}u;
    let head = group.y * {quads}u;
    let query = min(token, end - 1u) * 3u * hidden + head;
{indent(lines("let q{0} = qkv[query + {0}u] * params.scale;", ds), 4)}\
{indent(lines("var c{0} = vec4f(0.0);", ds), 4)}\
    var m = -3.0e38;
    var l = 0.0;
{indent(rows, 4)}\
    for (var tile = first; tile < end; tile += {keys}u) {{
        workgroupBarrier();
        for (var i = local.x; i < 256u; i += 64u) {{
            let at = min(tile + i / {quads}u, end - 1u) * 3u * hidden + head + i % {quads}u;
            tile_k[i] = qkv[at + hidden];
            tile_v[i] = qkv[at + 2u * hidden];
        }}
        workgroupBarrier();
        let count = min({keys}u, end - tile);
        for (var t = 0u; t < count; t++) {{
            let at = t * {quads}u;
            let s = {dot('q{}', 'tile_k[at + {}u]', quads)};
            let n = max(m, s);
            let f = exp(m - n);
            {"var" if train else "let"} p = exp(s - n);
            m = n;
            l = fma(l, f, p);
{indent(drop, 12)}\
{indent(lines("c{0} = fma(vec4f(p), tile_v[at + {0}u], c{0} * f);", ds), 12)}\
        }}
    }}
    if token < end {{
        let r = 1.0 / l;
        let at = token * hidden + head;
{indent(lines("ctx[at + {0}u] = c{0} * r;", ds), 8)}\
{indent(logs, 8)}\
    }}
}}
"""


BACKWARD_HEAD = TRAIN_HEAD + """@group(0) @binding(3) var<storage, read> d_ctx: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;
"""

BACKWARD = """// The gradients of attention's q, k and v, heads of {size}. P is computed again from lse: P = exp(Q Kᵀ scale - lse). With M
// dropout's choice and dP = M (d_ctx Vᵀ): dS = P (dP - delta) scale, dQ = dS K, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
"""


class Role:
    """What a workgroup gives: dQ of some queries, or dK or dV of some keys. A thread's own rows are `a` (and `b`), sums `c`;
    it goes through the rows on the other side, `u` (and `w`): q with d_ctx, or k with v."""

    def __init__(self, name):
        self.name = name
        self.by_query = name == "queries"
        self.has_products = name != "values"
        self.part = ("queries", "keys", "values").index(name)

    def row(self, of_own, at, vector):
        """Where one of the two vectors of a row lies; `at` is the row's first vector in qkv, `out` that in d_ctx."""
        query = self.by_query == of_own
        if query:
            return f"qkv[{at}" if vector == 0 else "d_ctx[out"
        return f"qkv[{at} + {'hidden' if vector == 0 else '2u * hidden'}"


def backward_registers(size, rows):
    """`rows` queries or keys a thread."""
    quads = size // 4
    rs, ds = range(rows), range(quads)
    roles = "".join(registers_role(Role(name), rs, ds) for name in ("queries", "keys", "values"))
    return f"""{BACKWARD.format(size=size)}\
// Of three workgroups one gives dQ, one dK and one dV, each for {8 * rows} tokens, {rows} a thread: no two threads add to one element.
{NOTE}{BACKWARD_HEAD}
{roles}
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {{
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x / 3u * 8u + lane.x) * {rows}u;
    if token >= end {{ return; }}
    switch group.x % 3u {{
        case 0u: {{ queries(first, end, token, group.y); }}
        case 1u: {{ keys(first, end, token, group.y); }}
        default: {{ values(first, end, token, group.y); }}
    }}
}}
"""


def registers_role(role, rs, ds):
    rows, quads = len(rs), len(ds)
    owned = "ab" if role.has_products else "a"
    needs_out = any("d_ctx" in role.row(True, "at", v) for v in range(len(owned)))
    load = "".join(
        f"let x{v}_{d} = {role.row(True, 'at', v)} + {d}u]{' * params.scale' if v == 0 else ''};\n"
        for v in range(len(owned))
        for d in ds
    )
    take = "".join(
        f"case {r}u: {{ "
        + (f"e{r} = lse[row]; g{r} = delta[row]; " if role.by_query else "")
        + " ".join(f"{n}{r}_{d} = x{v}_{d};" for v, n in enumerate(owned) for d in ds)
        + " }\n"
        for r in rs
    )
    streamed = "".join(f"let u{d} = {role.row(False, 'at', 0)} + {d}u];\n" for d in ds)
    streamed += "".join(f"let w{d} = {role.row(False, 'at', 1)} + {d}u];\n" for d in ds)
    own = "{r}" if role.by_query else ""
    pairs = "".join(f"let p{r} = exp({dot(f'a{r}_{{}}', 'u{}', quads)} - e{own.format(r=r)});\n" for r in rs)
    choices = ""
    for r in rs:
        where = (f"r{r}", "t - first") if role.by_query else ("choices", f"token + {r}u - first")
        choices += f"m{r} = {keep(*where)};\n"
    pairs += "".join(f"var m{r} = 1.0;\n" for r in rs)
    if not role.by_query:
        choices = "let choices = row_key(key, row);\n" + choices
    pairs += f"if params.threshold > 0u {{\n{indent(choices, 4)}}}\n"
    if role.has_products:
        for r in rs:
            product = dot(f"b{r}_{{}}", "w{}", quads)
            pairs += f"let s{r} = p{r} * ({product} * m{r} - g{own.format(r=r)});\n"
        pairs += "".join(f"c{r}_{d} = fma(vec4f(s{r}), u{d}, c{r}_{d});\n" for d in ds for r in rs)
    else:
        pairs += "".join(f"let s{r} = p{r} * m{r};\n" for r in rs)
        pairs += "".join(f"c{r}_{d} = fma(vec4f(s{r}), w{d}, c{r}_{d});\n" for d in ds for r in rs)
    terms = "".join(f"var e{r} = 0.0;\nvar g{r} = 0.0;\n" for r in rs) if role.by_query else ""
    keys = "let key = site_key(control[0], params.site);\n"
    if role.by_query:
        keys += "".join(f"let r{r} = row_key(key, (token + {r}u) * params.heads + head);\n" for r in rs)
    of_row = "" if role.by_query else "let row = t * params.heads + head;\nlet e = lse[row];\n"
    if role.has_products and not role.by_query:
        of_row += "let g = delta[row];\n"
    out_of_own = "let out = (token + i) * hidden + column;\n" if needs_out else ""
    row_of_own = "let row = (token + i) * params.heads + head;\n" if role.by_query else ""
    scale = " * params.scale" if role.has_products else ""
    return f"""
fn {role.name}(first: u32, end: u32, token: u32, head: u32) {{
    // In vectors of four.
    let hidden = params.heads * {quads}u;
    let column = head * {quads}u;
    let count = min({rows}u, end - token);
{indent(lines("var {0}{1}_{2} = vec4f(0.0);", owned, rs, ds), 4)}\
{indent(terms, 4)}\
    for (var i = 0u; i < count; i++) {{
        let at = (token + i) * 3u * hidden + column;
{indent(out_of_own + row_of_own + load, 8)}\
        switch i {{
{indent(take, 12)}\
            default: {{}}
        }}
    }}
{indent(lines("var c{0}_{1} = vec4f(0.0);", rs, ds), 4)}\
{indent(keys, 4)}\
    for (var t = first; t < end; t++) {{
        let at = t * 3u * hidden + column;
{indent("" if role.by_query else "let out = t * hidden + column;" + chr(10), 8)}\
{indent(of_row + streamed + pairs, 8)}\
    }}
    for (var i = 0u; i < count; i++) {{
{indent(lines("var s{0}: vec4f;", ds), 8)}\
        switch i {{
{indent(pick(rows, quads), 12)}\
        }}
        let to = (token + i) * 3u * hidden + {role.part}u * hidden + column;
{indent(lines(f"d_qkv[to + {{0}}u] = s{{0}}{scale};", ds), 8)}\
    }}
}}
"""


def backward_tiles(size):
    ds = range(size // 4)
    keys = 1024 // size  # Both tiles take 4 KiB.
    roles = "".join(tiles_role(Role(name), ds, keys) for name in ("queries", "keys", "values"))
    return f"""{BACKWARD.format(size=size)}\
// Of three workgroups one gives dQ, one dK and one dV, each for 64 tokens, one a thread, from {keys} tokens of the other side at a
// time in shared memory: no two threads add to one element.
{NOTE}{BACKWARD_HEAD}
var<workgroup> tile_u: array<vec4f, 256>;
var<workgroup> tile_w: array<vec4f, 256>;
// Log-sum-exp and delta of queries, and their keys of dropout's hash.
var<workgroup> tile_terms: array<vec2f, {keys}>;
var<workgroup> tile_row: array<u32, {keys}>;
{roles}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {{
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let block = first + group.x / 3u * 64u;
    // The same for the whole workgroup, as the barriers want it.
    if block >= end {{ return; }}
    switch group.x % 3u {{
        case 0u: {{ queries(first, end, block, local.x, group.y); }}
        case 1u: {{ keys(first, end, block, local.x, group.y); }}
        default: {{ values(first, end, block, local.x, group.y); }}
    }}
}}
"""


def tiles_role(role, ds, keys):
    quads = len(ds)
    owned = "ab" if role.has_products else "a"
    load = "".join(
        f"let {n}{d} = {role.row(True, 'at', v)} + {d}u]{' * params.scale' if v == 0 else ''};\n"
        for v, n in enumerate(owned)
        for d in ds
    )
    if "d_ctx" in load:
        load = "let out = mine * hidden + column;\n" + load
    key = "let key = site_key(control[0], params.site);\n"
    terms = fill = ""
    if role.by_query:
        load += "let row = mine * params.heads + head;\nlet e = lse[row];\nlet g = delta[row];\n"
        key += "let choices = row_key(key, row);\n"
        choice = keep("choices", "tile + t - first")
    else:
        terms = "let e = tile_terms[t].x;\n" + ("let g = tile_terms[t].y;\n" if role.has_products else "")
        fill = f"""if thread < {keys}u {{
    let row = min(tile + thread, end - 1u) * params.heads + head;
    tile_terms[thread] = vec2f(lse[row], delta[row]);
    tile_row[thread] = row_key(key, row);
}}
"""
        choice = keep("tile_row[t]", "token - first")
    out = "" if role.by_query else f"let out = other * hidden + column + i % {quads}u;\n"
    tile = "\n".join(f"tile_{n}[i] = {role.row(False, 'begin', v)}];" for v, n in enumerate("uw")) + "\n"
    pair = terms + f"let p = exp({dot('a{}', 'tile_u[at + {}u]', quads)} - e);\nvar m = 1.0;\n"
    pair += f"if params.threshold > 0u {{ m = {choice}; }}\n"
    if role.has_products:
        pair += f"let s = p * ({dot('b{}', 'tile_w[at + {}u]', quads)} * m - g);\n"
    else:
        pair += "let s = p * m;\n"
    source = "u" if role.has_products else "w"
    pair += "".join(f"c{d} = fma(vec4f(s), tile_{source}[at + {d}u], c{d});\n" for d in ds)
    scale = " * params.scale" if role.has_products else ""
    return f"""
fn {role.name}(first: u32, end: u32, block: u32, thread: u32, head: u32) {{
    // In vectors of four.
    let hidden = params.heads * {quads}u;
    let column = head * {quads}u;
    let token = block + thread;
    let mine = min(token, end - 1u);
    let at = mine * 3u * hidden + column;
{indent(load + key, 4)}\
{indent(lines("var c{0} = vec4f(0.0);", ds), 4)}\
    for (var tile = first; tile < end; tile += {keys}u) {{
        workgroupBarrier();
        for (var i = thread; i < 256u; i += 64u) {{
            let other = min(tile + i / {quads}u, end - 1u);
            let begin = other * 3u * hidden + column + i % {quads}u;
{indent(out + tile, 12)}\
        }}
{indent(fill, 8)}\
        workgroupBarrier();
        let count = min({keys}u, end - tile);
        for (var t = 0u; t < count; t++) {{
            let at = t * {quads}u;
{indent(pair, 12)}\
        }}
    }}
    if token < end {{
        let to = token * 3u * hidden + {role.part}u * hidden + column;
{indent(lines(f"d_qkv[to + {{0}}u] = c{{0}}{scale};", ds), 8)}\
    }}
}}
"""
