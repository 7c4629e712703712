// y = one row a sequence: its first token's, or the mean, the largest or the scaled sum of all its tokens' rows, column by
// column. One thread a column of a sequence; it walks the tokens in order, so that a sequence's bits are its own.
struct Params { sequences: u32, cols: u32, mode: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

const FIRST = 0u;
const MEAN = 1u;
const MAX = 2u;
const SUM_BY_ROOT = 3u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let rows = arrayLength(&x) / params.cols;
    let first = min(bounds[id.y], rows - 1u);
    let end = min(bounds[id.y + 1u], rows);
    var value = x[first * params.cols + id.x];
    if params.mode != FIRST {
        for (var t = first + 1u; t < end; t++) {
            let next = x[t * params.cols + id.x];
            if params.mode == MAX { value = max(value, next); } else { value += next; }
        }
    }
    let n = f32(end - first);
    if params.mode == MEAN { value /= n; } else if params.mode == SUM_BY_ROOT { value /= sqrt(n); }
    y[id.y * params.cols + id.x] = value;
}
