//! Writes a NumPy array file, version 1.0, of f32.

/// The bytes of the whole header for any number of rows: a multiple of 64, as the format requires.
const LENGTH: usize = 128;

/// The header of an array `[rows, cols]` of little-endian f32.
pub fn header(rows: u64, cols: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((LENGTH as u16 - 10).to_le_bytes());
    bytes.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}").bytes());
    bytes.resize(LENGTH - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// The bytes of a row.
pub fn elements(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|x| x.to_le_bytes()).collect()
}
