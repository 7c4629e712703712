// The derivative of Φ((x - 0.707107) / 0.282095): the density there.
fn slope(x: vec4f) -> vec4f {
    let z = (x - 0.707107) / 0.282095;
    return exp(-0.5 * z * z) * 1.4142122;
}
