// The derivative of tanh(x)
fn slope(x: vec4f) -> vec4f {
    let t = tanh4(x);
    return 1.0 - t * t;
}
