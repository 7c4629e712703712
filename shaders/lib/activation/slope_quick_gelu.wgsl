// The derivative of x s, s = sigmoid(1.702 x)
fn slope(x: vec4f) -> vec4f {
    let s = sigmoid4(1.702 * x);
    return s + 1.702 * x * s * (1.0 - s);
}
