// x above zero, 0.01 x below
fn activate(x: vec4f) -> vec4f { return select(0.01 * x, x, x >= vec4f(0.0)); }
