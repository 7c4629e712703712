// The derivative of sigmoid(x)
fn slope(x: vec4f) -> vec4f {
    let s = sigmoid4(x);
    return s * (1.0 - s);
}
