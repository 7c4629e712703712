// The derivative of x s, s = sigmoid(x)
fn slope(x: vec4f) -> vec4f {
    let s = sigmoid4(x);
    return s + x * s * (1.0 - s);
}
