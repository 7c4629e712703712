use super::*;
pub fn attention(_p: &Pool, ctx: &mut [f32], qkv: &[f32], bounds: &[u32], heads: usize, d: usize, scale: f32) {
    let h = heads * d;
    for w in bounds.windows(2) {
        for n in 0..heads {
            for t in w[0] as usize..w[1] as usize {
                let q = &qkv[t * 3 * h + n * d..][..d];
                let s: Vec<f32> = (w[0] as usize..w[1] as usize)
                    .map(|u| q.iter().zip(&qkv[u * 3 * h + h + n * d..][..d]).map(|(a, b)| a * b).sum::<f32>() * scale)
                    .collect();
                let m = s.iter().copied().fold(f32::MIN, f32::max);
                let e: Vec<f32> = s.iter().map(|x| (x - m).exp()).collect();
                let z: f32 = e.iter().sum();
                for c in 0..d {
                    ctx[t * h + n * d + c] = e
                        .iter()
                        .enumerate()
                        .map(|(i, p)| p * qkv[(w[0] as usize + i) * 3 * h + 2 * h + n * d + c])
                        .sum::<f32>()
                        / z;
                }
            }
        }
    }
}
