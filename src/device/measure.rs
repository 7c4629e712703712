use super::{Cancel, Device};
use crate::error::Result;
pub async fn gemm_gflops(_d: &Device) -> Result<f64> {
    let _ = Cancel::new();
    Ok(1.0)
}
