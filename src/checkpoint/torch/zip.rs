//! Reads the zip archive that `torch.save` writes. Its records are not compressed, so they are used in place.

use std::collections::HashMap;
use std::ops::Range;

/// The most records, far more than the tensors of any model.
const MOST_RECORDS: u64 = 1 << 17;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_BYTES: usize = 20;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// The longest comment at the end.
const LONGEST_COMMENT: usize = 0xffff;

/// Whether a file begins like a zip archive.
pub(super) fn is_zip(file: &[u8]) -> bool {
    u32_at(file, 0) == Some(LOCAL)
}

/// The range of each record's bytes in the file, by the record's name.
///
/// # Errors
/// A description of the fault.
pub(super) fn records(file: &[u8]) -> Result<HashMap<&str, Range<usize>>, String> {
    let cut = || "the list of its records is damaged: the file may be truncated".to_owned();
    let (count, mut at) = directory(file).ok_or_else(cut)?;
    if count > MOST_RECORDS {
        return Err(format!("{count} records are more than any model has"));
    }
    let mut records = HashMap::new();
    for _ in 0..count {
        let entry = Central::read(file, at).ok_or_else(cut)?;
        let name = entry.name;
        if entry.is_encrypted {
            return Err(format!("the record {name:?} is encrypted"));
        }
        if entry.method != 0 || entry.packed != entry.size {
            return Err(format!("the record {name:?} is compressed, which torch.save never does"));
        }
        let place = entry.place(file).ok_or_else(|| format!("the record {name:?} does not lie inside the file"))?;
        if records.insert(name, place).is_some() {
            return Err(format!("the record {name:?} is there twice"));
        }
        at = entry.end;
    }
    Ok(records)
}

/// The number of records, and the start of their list.
fn directory(file: &[u8]) -> Option<(u64, usize)> {
    let last = file.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(LONGEST_COMMENT);
    // The last record whose comment ends exactly where the file ends.
    let fits = |at: &usize| {
        u32_at(file, *at) == Some(END)
            && u16_at(file, at + 20).is_some_and(|n| at + END_BYTES + usize::from(n) == file.len())
    };
    let end = (first..=last).rev().find(fits)?;
    let locator = end.checked_sub(LOCATOR_BYTES).filter(|at| u32_at(file, *at) == Some(LOCATOR_64));
    if let Some(locator) = locator {
        let at = usize::try_from(u64_at(file, locator + 8)?).ok()?;
        if u32_at(file, at)? != END_64 || at.checked_add(END_64_BYTES)? > file.len() {
            return None;
        }
        return Some((u64_at(file, at + 32)?, usize::try_from(u64_at(file, at + 48)?).ok()?));
    }
    Some((u16_at(file, end + 10)?.into(), u32_at(file, end + 16)? as usize))
}

/// An entry of the list.
struct Central<'a> {
    name: &'a str,
    is_encrypted: bool,
    method: u16,
    packed: u64,
    size: u64,
    /// The place of the record's own header.
    offset: u64,
    /// The place of the next entry.
    end: usize,
}

impl<'a> Central<'a> {
    fn read(file: &'a [u8], at: usize) -> Option<Self> {
        if u32_at(file, at)? != CENTRAL {
            return None;
        }
        let length = |field: usize| u16_at(file, at + field).map(usize::from);
        let name_at = at.checked_add(CENTRAL_BYTES)?;
        let extra_at = name_at + length(28)?;
        let comment_at = extra_at + length(30)?;
        let name = std::str::from_utf8(file.get(name_at..extra_at)?).ok()?;
        let extra = file.get(extra_at..comment_at)?;
        let mut wide = wide_fields(extra);
        let mut field = |at: usize| match u32_at(file, at)? {
            u32::MAX => wide.next(),
            n => Some(u64::from(n)),
        };
        // The extra field has these values in this order, each only if the narrow field is full.
        let size = field(at + 24)?;
        let packed = field(at + 20)?;
        let offset = field(at + 42)?;
        let is_encrypted = u16_at(file, at + 8)? & 1 != 0;
        let method = u16_at(file, at + 10)?;
        Some(Self { name, is_encrypted, method, packed, size, offset, end: comment_at + length(32)? })
    }

    fn place(&self, file: &[u8]) -> Option<Range<usize>> {
        let at = usize::try_from(self.offset).ok()?;
        if u32_at(file, at)? != LOCAL {
            return None;
        }
        let length = |field: usize| u16_at(file, at + field).map(usize::from);
        let start = at.checked_add(LOCAL_BYTES)? + length(26)? + length(28)?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        file.get(start..end).map(|_| start..end)
    }
}

/// The numbers in the extra field of large archives.
fn wide_fields(extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = extra;
    let mut found: &[u8] = &[];
    while let (Some(id), Some(size)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let Some(body) = rest.get(4..4 + usize::from(size)) else { break };
        if id == 1 {
            found = body;
        }
        rest = &rest[4 + usize::from(size)..];
    }
    found.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

fn bytes_at<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    bytes_at(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    bytes_at(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    bytes_at(file, at).map(u64::from_le_bytes)
}
