//! Matrix products: `y = act(x Wᵀ + b) + residual`.

use super::text::{cases, chain, fill, lines, pairs, take};

/// One thread computes `rows` rows and `cols` columns.
pub fn registers(rows: usize, cols: usize) -> String {
    let quads = cols / 4;
    let sum = |r: usize, q: usize| chain(&format!("c{r}_{q}"), &format!("a{r}"), |j| format!("b{j}_{q}"));
    let loads = (0..4).map(|j| lines(quads, |q| format!("let b{j}_{q} = load_b(w + {q}u);")) + "w += stride;\n");
    let pick = (1..quads).map(|q| format!("case {q}u: {{ sum = s{q}; }}\n")).collect();
    let values = [
        ("rows", rows.to_string()),
        ("cols", cols.to_string()),
        ("quads", quads.to_string()),
        ("own rows", lines(rows, |r| format!("let x{r} = row_a(row + {r}u);"))),
        ("sums", pairs(rows, quads, |r, q| format!("var c{r}_{q} = vec4f(0.0);"))),
        ("a", lines(rows, |r| format!("let a{r} = load_a(x{r}, k);"))),
        ("b", loads.collect()),
        ("fmas", pairs(rows, quads, |r, q| format!("c{r}_{q} = {};", sum(r, q)))),
        ("row's sums", lines(quads, |q| format!("var s{q}: vec4f;"))),
        ("take", cases(rows, |r| take(r, quads))),
        ("pick", pick),
    ];
    fill(REGISTERS, &values)
}

const REGISTERS: &str = "\
// y = act(x Wᵀ + b) + residual. A thread computes ${rows} rows by ${cols} columns and shares nothing: on a software adapter
// a load costs as much as many fma, and a barrier more. A lane's columns are beside its neighbour's.
${note}
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let row = group.y * ${rows}u;
    let col = (group.x * 8u + lane.x) * ${cols}u;
    if col >= params.n { return; }
    ${own rows}
    ${sums}
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {
        ${a}
        ${b}
        ${fmas}
    }
    // Stores and the activation stand once, in a loop, or they would be most of what there is to compile.
    let count = min(${rows}u, params.m - row);
    for (var r = 0u; r < count; r++) {
        ${row's sums}
        switch r {
            ${take}
        }
        for (var q = 0u; q < ${quads}u; q++) {
            var sum = s0;
            switch q {
                ${pick}
                default: {}
            }
            store(row + r, col + q * 4u, sum);
        }
    }
}
";

/// For few columns: one thread computes 4 rows and 4 columns.
pub fn thin() -> String {
    let rows = 4;
    let values = [
        ("rows", rows.to_string()),
        ("own rows", lines(rows, |r| format!("let x{r} = row_a(row + {r}u);"))),
        ("sums", lines(rows, |r| format!("var c{r} = vec4f(0.0);"))),
        ("a", lines(rows, |r| format!("let a{r} = load_a(x{r}, k);"))),
        ("b", lines(4, |j| format!("let b{j} = load_b(w + {j}u * stride);"))),
        (
            "fmas",
            lines(rows, |r| format!("c{r} = {};", chain(&format!("c{r}"), &format!("a{r}"), |j| format!("b{j}")))),
        ),
        ("stores", lines(rows, |r| format!("store(row + {r}u, col, c{r});"))),
    ];
    fill(THIN, &values)
}

const THIN: &str = "\
// y = act(x Wᵀ + b) + residual, for few columns (a head's two logits): lanes lie along the rows, so that none is idle.
// A thread computes ${rows} rows by 4 columns and shares nothing.
${note}
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x * ${rows}u;
    let col = id.y * 4u;
    if row >= params.m { return; }
    ${own rows}
    ${sums}
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {
        ${a}
        ${b}
        w += 4u * stride;
        ${fmas}
    }
    ${stores}
}
";

/// A tile of `size` rows and columns of y, 16 of K at a time. One thread computes 4 rows and `width` columns.
pub fn tiles(size: usize, width: usize) -> String {
    let quads = width / 4;
    let (tx, ty) = (size / width, size / 4);
    let threads = tx * ty;
    // The vectors of a tile's row.
    let across = size / 4;
    let sum = |r: usize, q: usize| chain(&format!("c{r}_{q}"), &format!("a{r}"), |j| format!("b{j}_{q}"));
    let load = |turn: usize| fill(FILL, &[("offset", (turn * threads).to_string()), ("across", across.to_string())]);
    let tile_b = |j: usize, q: usize| format!("let b{j}_{q} = tile_b[(k * 4u + {j}u) * {across}u + x + {q}u * {tx}u];");
    let store = |r: usize, q: usize| format!("store(row + y + {r}u * {ty}u, col + (x + {q}u * {tx}u) * 4u, c{r}_{q});");
    let values = [
        ("size", size.to_string()),
        ("width", width.to_string()),
        ("vectors of a", (size * 5).to_string()),
        ("vectors of b", (size * 4).to_string()),
        ("tx", tx.to_string()),
        ("ty", ty.to_string()),
        ("sums", pairs(4, quads, |r, q| format!("var c{r}_{q} = vec4f(0.0);"))),
        ("fill", (0..size * 4 / threads).map(load).collect()),
        ("a", lines(4, |r| format!("let a{r} = tile_a[(y + {r}u * {ty}u) * 5u + k];"))),
        ("b", pairs(4, quads, tile_b)),
        ("fmas", pairs(4, quads, |r, q| format!("c{r}_{q} = {};", sum(r, q)))),
        ("stores", pairs(4, quads, store)),
    ];
    fill(TILES, &values)
}

const TILES: &str = "\
// y = act(x Wᵀ + b) + residual. A workgroup computes ${size} x ${size} of y, a thread 4 rows by ${width} columns, from tiles of x and
// W that hold 16 of K in shared memory. Rows of x's tile are 5 vectors apart, not 4: no two threads hit one bank.
${note}
var<workgroup> tile_a: array<vec4f, ${vectors of a}>;
var<workgroup> tile_b: array<vec4f, ${vectors of b}>;

@compute @workgroup_size(${tx}, ${ty})
fn main(
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3u,
) {
    let row = group.y * ${size}u;
    let col = group.x * ${size}u;
    let x = local.x;
    let y = local.y;
    ${sums}
    for (var first = 0u; first < params.k; first += 16u) {
        workgroupBarrier();
        ${fill}
        workgroupBarrier();
        for (var k = 0u; k < 4u; k++) {
            ${a}
            ${b}
            ${fmas}
        }
    }
    ${stores}
}
";

const FILL: &str = "\
{
    let i = thread + ${offset}u;
    let k = first + (i & 3u) * 4u;
    var a = vec4f(0.0);
    if k < params.k { a = load_a(row_a(row + (i >> 2u)), k); }
    tile_a[(i >> 2u) * 5u + (i & 3u)] = a;
    tile_b[i] = load_b(((first + i / ${across}u) * packed_n() + col) / 4u + i % ${across}u);
}
";
