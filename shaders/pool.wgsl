// y = one row a sequence: by each pooling, side by side, its first or last token's row, or the mean, the mean weighted by place,
// the largest or the scaled sum of all its tokens' rows, column by column. The first `skip` tokens do not count. One thread a
// column of a sequence; it walks the tokens in order, so that a sequence's bits are its own.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> skip: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

const FIRST = 0u;
const MAX = 2u;
const SUM_BY_ROOT = 3u;
const WEIGHTED = 4u;
const LAST = 5u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let width = params.cols * params.poolings;
    if id.x >= width { return; }
    let col = id.x % params.cols;
    let mode = (params.modes >> (3u * (id.x / params.cols))) & 7u;
    let rows = arrayLength(&x) / params.cols;
    let first = min(bounds[id.y], rows - 1u);
    let end = min(bounds[id.y + 1u], rows);
    var start = first;
    if params.skips != 0u { start = min(first + skip[id.y], end); }
    var value = 0.0;
    if mode == FIRST || mode == LAST {
        if start < end {
            value = x[select(start, end - 1u, mode == LAST) * params.cols + col];
        } else if mode == FIRST {
            value = x[first * params.cols + col];
        }
    } else {
        var total = 0.0;
        for (var t = start; t < end; t++) {
            let next = x[t * params.cols + col];
            if mode == MAX {
                value = select(max(value, next), next, t == start);
            } else if mode == WEIGHTED {
                let weight = f32(t - first + 1u);
                total += weight;
                value += weight * next;
            } else {
                total += 1.0;
                value += next;
            }
        }
        total = max(total, 1e-9);
        if mode == SUM_BY_ROOT { value /= sqrt(total); } else if mode != MAX { value /= total; }
    }
    y[id.y * width + id.x] = value;
}
