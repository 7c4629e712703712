// y = one row a sequence: its first token's, or the mean, the largest or the scaled sum of all its tokens' rows, column by
// column. One thread a column of a sequence; it walks the tokens in order, so that a sequence's bits are its own.
override MODE: u32;

const FIRST = 0u;
const MEAN = 1u;
const MAX = 2u;

struct Params { sequences: u32, cols: u32, mode: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let first = bounds[id.y];
    let end = bounds[id.y + 1u];
    var value = x[first * params.cols + id.x];
    if MODE != FIRST {
        for (var t = first + 1u; t < end; t++) {
            let next = x[t * params.cols + id.x];
            if MODE == MAX { value = max(value, next); } else { value += next; }
        }
    }
    let n = f32(end - first);
    if MODE == MEAN { value /= n; } else if MODE > MAX { value /= sqrt(n); }
    y[id.y * params.cols + id.x] = value;
}
