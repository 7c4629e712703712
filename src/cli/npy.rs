//! A NumPy array file, version 1.0, of f32.

/// Bytes of the whole head, a multiple of 64 as the format asks, whatever the number of rows.
const LENGTH: usize = 128;

/// What stands before the elements of an array `[rows, cols]` of little-endian f32.
pub fn header(rows: u64, cols: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((LENGTH as u16 - 10).to_le_bytes());
    bytes.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}").bytes());
    bytes.resize(LENGTH - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// A row's bytes.
pub fn elements(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|x| x.to_le_bytes()).collect()
}
