#!/usr/bin/env python3
"""Writes the unrolled kernels beside it: accumulators must be named, so their bodies are long. Run after a change here;
with --check it writes nothing and fails where a file is not what it would write.

A body is a chain of fma over ascending k for each accumulator: whatever the tile's shape, a sum has the same order
and so the same bits. A whole chain of four k is one expression, so an accumulator that was spilled is read and written
once for four.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
NOTE = "// Written by unroll.py.\n"


def lines(pattern, *ranges):
    """One line for each element of the ranges' product, {0}, {1}... replaced."""
    combos = [()]
    for r in ranges:
        combos = [c + (i,) for c in combos for i in r]
    return "".join(pattern.format(*c) + "\n" for c in combos)


def indent(text, by):
    return "".join(" " * by + line + "\n" if line else "\n" for line in text.splitlines())


def chain(acc, a, b):
    """acc + a.x b0 + a.y b1 + a.z b2 + a.w b3, in this order."""
    for j, c in enumerate("xyzw"):
        acc = f"fma(vec4f({a}.{c}), {b.format(j)}, {acc})"
    return acc


def pick(rows, quads):
    """Cases that set s0, s1... to a row's accumulators."""

    def row(r):
        return " ".join(f"s{q} = c{r}_{q};" for q in range(quads))

    return "".join(f"case {r}u: {{ {row(r)} }}\n" for r in range(rows - 1)) + f"default: {{ {row(rows - 1)} }}\n"


def matmul_registers(rows, cols):
    quads = cols // 4
    fmas = "".join(
        f"c{r}_{q} = {chain(f'c{r}_{q}', f'a{r}', f'b{{}}_{q}')};\n" for r in range(rows) for q in range(quads)
    )
    loads = "".join(
        "".join(f"let b{j}_{q} = load_b(w + {q}u);\n" for q in range(quads)) + "w += stride;\n" for j in range(4)
    )
    return f"""// y = act(x Wᵀ + b) + residual. A thread computes {rows} rows by {cols} columns and shares nothing: on a software adapter
// a load costs as much as many fma, and a barrier more. A lane's columns are beside its neighbour's.
{NOTE}@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {{
    let row = group.y * {rows}u;
    let col = (group.x * 8u + lane.x) * {cols}u;
    if col >= params.n {{ return; }}
{indent(lines("let x{0} = row_a(row + {0}u);", range(rows)), 4)}\
{indent(lines("var c{0}_{1} = vec4f(0.0);", range(rows), range(quads)), 4)}\
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {{
{indent(lines("let a{0} = load_a(x{0}, k);", range(rows)), 8)}\
{indent(loads, 8)}\
{indent(fmas, 8)}\
    }}
    // Stores and the activation stand once, in a loop, or they would be most of what there is to compile.
    let count = min({rows}u, params.m - row);
    for (var r = 0u; r < count; r++) {{
{indent(lines("var s{0}: vec4f;", range(quads)), 8)}\
        switch r {{
{indent(pick(rows, quads), 12)}\
        }}
        for (var q = 0u; q < {quads}u; q++) {{
            var sum = s0;
            switch q {{
{indent("".join(f"case {q}u: {{ sum = s{q}; }}" + chr(10) for q in range(1, quads)), 16)}\
                default: {{}}
            }}
            store(row + r, col + q * 4u, sum);
        }}
    }}
}}
"""


def matmul_thin():
    rows = 4
    fmas = "".join(f"c{r} = {chain(f'c{r}', f'a{r}', 'b{}')};\n" for r in range(rows))
    return f"""// y = act(x Wᵀ + b) + residual, for few columns (a head's two logits): lanes lie along the rows, so that none is idle.
// A thread computes {rows} rows by 4 columns and shares nothing.
{NOTE}@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {{
    let row = id.x * {rows}u;
    let col = id.y * 4u;
    if row >= params.m {{ return; }}
{indent(lines("let x{0} = row_a(row + {0}u);", range(rows)), 4)}\
{indent(lines("var c{0} = vec4f(0.0);", range(rows)), 4)}\
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {{
{indent(lines("let a{0} = load_a(x{0}, k);", range(rows)), 8)}\
{indent(lines("let b{0} = load_b(w + {0}u * stride);", range(4)), 8)}\
        w += 4u * stride;
{indent(fmas, 8)}\
    }}
{indent(lines("store(row + {0}u, col, c{0});", range(rows)), 4)}\
}}
"""


def matmul_tiles(size, width):
    """A size x size tile of y, 4 rows by `width` columns a thread, 16 of K at a time."""
    quads = width // 4
    tx, ty = size // width, size // 4
    threads = tx * ty
    across = size // 4  # quads of columns in a tile
    turns = range(size * 4 // threads)
    fmas = "".join(f"c{r}_{q} = {chain(f'c{r}_{q}', f'a{r}', f'b{{}}_{q}')};\n" for r in range(4) for q in range(quads))
    body = (
        lines(f"let a{{0}} = tile_a[(y + {{0}}u * {ty}u) * 5u + k];", range(4))
        + lines(f"let b{{0}}_{{1}} = tile_b[(k * 4u + {{0}}u) * {across}u + x + {{1}}u * {tx}u];", range(4), range(quads))
        + fmas
    )
    fill = "".join(
        f"""{{
    let i = thread + {t * threads}u;
    let k = first + (i & 3u) * 4u;
    var a = vec4f(0.0);
    if k < params.k {{ a = load_a(row_a(row + (i >> 2u)), k); }}
    tile_a[(i >> 2u) * 5u + (i & 3u)] = a;
    tile_b[i] = load_b(((first + i / {across}u) * packed_n() + col) / 4u + i % {across}u);
}}
"""
        for t in turns
    )
    return f"""// y = act(x Wᵀ + b) + residual. A workgroup computes {size} x {size} of y, a thread 4 rows by {width} columns, from tiles of x and
// W that hold 16 of K in shared memory. Rows of x's tile are 5 vectors apart, not 4: no two threads hit one bank.
{NOTE}var<workgroup> tile_a: array<vec4f, {size * 5}>;
var<workgroup> tile_b: array<vec4f, {size * 4}>;

@compute @workgroup_size({tx}, {ty})
fn main(
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3u,
) {{
    let row = group.y * {size}u;
    let col = group.x * {size}u;
    let x = local.x;
    let y = local.y;
{indent(lines("var c{0}_{1} = vec4f(0.0);", range(4), range(quads)), 4)}\
    for (var first = 0u; first < params.k; first += 16u) {{
        workgroupBarrier();
{indent(fill, 8)}\
        workgroupBarrier();
        for (var k = 0u; k < 4u; k++) {{
{indent(body, 12)}\
        }}
    }}
{indent(lines(f"store(row + y + {{0}}u * {ty}u, col + (x + {{1}}u * {tx}u) * 4u, c{{0}}_{{1}});", range(4), range(quads)), 4)}\
}}
"""


def dot(q, k, quads):
    """The dot product of two vectors of quads: four partial sums, then across."""
    sums = f"{q.format(0)} * {k.format(0)}"
    for i in range(1, quads):
        sums = f"fma({q.format(i)}, {k.format(i)}, {sums})"
    return f"dot({sums}, vec4f(1.0))"


ATTENTION_HEAD = """struct Params { tokens: u32, sequences: u32, longest: u32, heads: u32, head_size: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;
"""


def attention_registers(size, queries):
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
        give = give.replace(f"s0 = c{q}_0;", f"l = l{q}; s0 = c{q}_0;")
    take = "".join(f"case {q}u: {{ {' '.join(f'q{q}_{d} = k{d};' for d in ds)} }}\n" for q in qs)
    return f"""// ctx = softmax(Q Kᵀ scale) V, heads of {size}. A thread carries {queries} queries of one head through the keys of their sequence
// with a running maximum m and sum l (online softmax), so that a key is loaded once for all of them. No barrier.
{NOTE}{ATTENTION_HEAD}
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
    var at = first * 3u * hidden + head;
    for (var t = first; t < end; t++) {{
{indent(lines("let k{0} = qkv[at + hidden + {0}u];", ds), 8)}\
{indent(scores, 8)}\
{indent(softmax, 8)}\
{indent(values, 8)}\
        at += 3u * hidden;
    }}
    for (var q = 0u; q < count; q++) {{
{indent(lines("var s{0}: vec4f;", ds), 8)}\
        var l: f32;
        switch q {{
{indent(give, 12)}\
        }}
        let out = (token + q) * hidden + head;
{indent(lines("ctx[out + {0}u] = s{0} / l;", ds), 8)}\
    }}
}}
"""


def attention_tiles(size):
    quads = size // 4
    ds = range(quads)
    keys = 1024 // size  # K and V tiles take 4 KiB each
    return f"""// ctx = softmax(Q Kᵀ scale) V, heads of {size}. A workgroup takes 64 queries of one head, one a thread, through the keys of their
// sequence, {keys} at a time in shared memory, with a running maximum m and sum l (online softmax).
{NOTE}{ATTENTION_HEAD}
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
            let p = exp(s - n);
            m = n;
            l = fma(l, f, p);
{indent(lines("c{0} = fma(vec4f(p), tile_v[at + {0}u], c{0} * f);", ds), 12)}\
        }}
    }}
    if token < end {{
        let r = 1.0 / l;
        let at = token * hidden + head;
{indent(lines("ctx[at + {0}u] = c{0} * r;", ds), 8)}\
    }}
}}
"""


KERNELS = {
    "matmul_registers_12x16": matmul_registers(12, 16),
    "matmul_registers_thin": matmul_thin(),
    "matmul_tiles_32x32": matmul_tiles(32, 4),
    "matmul_tiles_64x64": matmul_tiles(64, 8),
    "attention_registers_32": attention_registers(32, 4),
    "attention_registers_64": attention_registers(64, 4),
    "attention_tiles_32": attention_tiles(32),
    "attention_tiles_64": attention_tiles(64),
}

if __name__ == "__main__":
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in KERNELS.items():
        file = HERE / f"{name}.wgsl"
        if check and (not file.exists() or file.read_text() != text):
            stale.append(file.name)
        elif not check:
            file.write_text(text)
    if stale:
        sys.exit(f"not as unroll.py writes them: {', '.join(stale)}")
