// The right side, packed in this run: [K', N'], padded with zeros.
@group(0) @binding(1) var<storage, read> w: array<vec4f>;

// Four outputs at one step of the sum, where at = (k N' + col) / 4.
fn load_b(at: u32) -> vec4f { return w[at]; }
