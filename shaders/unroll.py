#!/usr/bin/env python3
"""Writes the unrolled kernels beside it: accumulators must be named, so their bodies are long. Run after a change here;
with --check it writes nothing and fails where a file is not what it would write.

A body is a chain of fma over ascending k for each accumulator: whatever the tile's shape, a sum has the same order
and so the same bits. A whole chain of four k is one expression, so an accumulator that was spilled is read and written
once for four.
"""

import sys
from pathlib import Path

import unroll_attention as attention
from unroll_text import NOTE, chain, indent, lines, pick

HERE = Path(__file__).parent


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


KERNELS = {
    "matmul_registers_12x16": matmul_registers(12, 16),
    "matmul_registers_thin": matmul_thin(),
    "matmul_tiles_32x32": matmul_tiles(32, 4),
    "matmul_tiles_64x64": matmul_tiles(64, 8),
    "attention_registers_32": attention.registers(32, 4),
    "attention_registers_64": attention.registers(64, 4),
    "attention_tiles_32": attention.tiles(32),
    "attention_tiles_64": attention.tiles(64),
    "attention_train_registers_32": attention.registers(32, 4, train=True),
    "attention_train_registers_64": attention.registers(64, 2, train=True),
    "attention_train_tiles_32": attention.tiles(32, train=True),
    "attention_train_tiles_64": attention.tiles(64, train=True),
    "attention_backward_registers_32": attention.backward_registers(32, 4),
    "attention_backward_registers_64": attention.backward_registers(64, 2),
    "attention_backward_tiles_32": attention.backward_tiles(32),
    "attention_backward_tiles_64": attention.backward_tiles(64),
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
