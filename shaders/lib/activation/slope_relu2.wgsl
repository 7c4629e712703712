// The derivative of max(x, 0)²
fn slope(x: vec4f) -> vec4f { return 2.0 * max(x, vec4f(0.0)); }
