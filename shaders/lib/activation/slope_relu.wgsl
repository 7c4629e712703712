// The derivative of max(x, 0)
fn slope(x: vec4f) -> vec4f { return select(vec4f(0.0), vec4f(1.0), x > vec4f(0.0)); }
