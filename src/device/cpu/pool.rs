#[derive(Debug)]
pub struct Pool(usize);
impl Pool {
    pub fn new(n: usize) -> Self {
        Self(n.max(1))
    }
    pub fn threads(&self) -> usize {
        self.0
    }
}
