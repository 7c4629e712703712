// x Φ(x), Φ the normal distribution: 0.5 x erfc(-x / √2)
fn activate(x: vec4f) -> vec4f { return 0.5 * x * erfc4(-0.70710678118654752 * x); }
