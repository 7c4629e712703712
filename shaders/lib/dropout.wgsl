// Dropout's choice: a hash of where an element is, so that nothing has to be stored. The CPU's random.rs is the same.
fn mix32(word: u32) -> u32 {
    var x = word ^ (word >> 16u);
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}

fn site_key(step: u32, site: u32) -> u32 { return mix32(step ^ mix32(site + 0x9e3779b9u)); }

fn row_key(key: u32, row: u32) -> u32 { return mix32(row + key) ^ key; }

// `scale` where the element is kept, else 0.
fn keep(row_key: u32, col: u32, threshold: u32, scale: f32) -> f32 {
    return select(0.0, scale, mix32(row_key + col) >= threshold);
}
