// The derivative of x above zero, 0.01 x below
fn slope(x: vec4f) -> vec4f { return select(vec4f(0.01), vec4f(1.0), x > vec4f(0.0)); }
