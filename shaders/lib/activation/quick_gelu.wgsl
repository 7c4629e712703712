// x sigmoid(1.702 x)
fn activate(x: vec4f) -> vec4f { return x * sigmoid4(1.702 * x); }
