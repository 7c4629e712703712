// x, or x Φ(x) with Φ the normal distribution: 0.5 x erfc(-x / √2). Both in one, as a BERT needs both and each kernel
// that is compiled takes a software adapter half a second.
fn activate(x: vec4f) -> vec4f {
    if params.activation == 0u { return x; }
    return 0.5 * x * erfc4(-0.70710678118654752 * x);
}
