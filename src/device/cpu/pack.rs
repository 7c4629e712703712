use crate::tensor::HostTensor;
#[derive(Debug)]
pub struct Panels {
    pub w: Vec<f32>,
    pub n: usize,
    pub k: usize,
}
impl Panels {
    pub fn pack(p: &[HostTensor<'_>]) -> Self {
        Self { w: p.iter().flat_map(|p| p.to_f32()).collect(), n: p.iter().map(|p| p.rows).sum(), k: p[0].cols }
    }
    pub fn bytes(&self) -> usize {
        self.w.len() * 4
    }
}
