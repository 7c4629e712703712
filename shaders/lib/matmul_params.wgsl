@group(0) @binding(12) var<uniform> params: Params;

// N and K, padded as the right side is.
fn packed_n() -> u32 { return (params.n + 63u) & ~63u; }
fn packed_k() -> u32 { return (params.k + 15u) & ~15u; }
