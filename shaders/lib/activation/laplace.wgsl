// Φ((x - 0.707107) / 0.282095)
fn activate(x: vec4f) -> vec4f { return 0.5 * erfc4((0.707107 - x) * 2.5066264); }
