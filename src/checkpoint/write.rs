//! Writes safetensors files, row by row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::DType;

/// A tensor to write.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u32>,
}

impl Planned {
    pub(crate) fn size(&self) -> u64 {
        self.shape.iter().fold(self.dtype.size() as u64, |n, d| n * u64::from(*d))
    }
}

/// Orders by type, widest first, then by name. So every tensor is aligned to its type, and equal tensors give equal
/// files.
pub(crate) fn order(a: &Planned, b: &Planned) -> std::cmp::Ordering {
    b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name))
}

/// The bytes before the data of these tensors, in this order.
pub(crate) fn header(tensors: &[Planned]) -> Vec<u8> {
    header_with(tensors, &[])
}

/// The same with texts in the metadata, by their names.
pub(crate) fn header_with(tensors: &[Planned], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut json = String::from(r#"{"__metadata__":{"format":"pt""#);
    for (name, text) in metadata {
        json += &format!(",{}:{}", serde_json::Value::from(*name), serde_json::Value::from(*text));
    }
    json.push('}');
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.size();
        let dtype = tensor.dtype.name().to_uppercase();
        let name = serde_json::Value::from(tensor.name.as_str());
        let shape: Vec<String> = tensor.shape.iter().map(u32::to_string).collect();
        let shape = shape.join(",");
        json += &format!(r#",{name}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#);
        start = end;
    }
    json.push('}');
    // The data begins at a multiple of eight.
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.into_bytes());
    bytes
}

/// Writes `tensors`, in this order, to the new file `path`. `fill` writes the bytes of the tensor with the given index.
/// Returns the size of the file.
pub(crate) fn safetensors(
    path: &Path,
    tensors: &[Planned],
    mut fill: impl FnMut(usize, &mut dyn Write) -> Result<()>,
) -> Result<u64> {
    let io = |e| Error::io("write", path, e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create_new(path).map_err(io)?);
    let header = header(tensors);
    file.write_all(&header).map_err(io)?;
    for index in 0..tensors.len() {
        fill(index, &mut file)?;
    }
    let file = file.into_inner().map_err(|e| io(e.into_error()))?;
    file.sync_all().map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let planned = header.len() as u64 + tensors.iter().map(Planned::size).sum::<u64>();
    assert_eq!(size, planned, "every tensor was written whole");
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_aligned_and_the_reference_reads_it() {
        let mut tensors = vec![
            Planned { name: "q\"1".into(), dtype: DType::I8, shape: vec![3, 5] },
            Planned { name: "b".into(), dtype: DType::BF16, shape: vec![7] },
            Planned { name: "a".into(), dtype: DType::F32, shape: vec![2, 2] },
        ];
        tensors.sort_by(order);
        assert_eq!(tensors.iter().map(|t| &*t.name).collect::<Vec<_>>(), ["a", "b", "q\"1"]);
        let mut bytes = header(&tensors);
        assert_eq!(bytes.len() % 8, 0);
        bytes.extend([0; 16 + 14 + 15]);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("q\"1").unwrap().shape(), [3, 5]);
        assert_eq!(super::super::header::parse(&bytes, "x").unwrap().0.len(), 3);
    }
}
