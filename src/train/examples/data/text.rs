//! Plain text: lines, and empty lines between documents.

use super::{empty, lines};
use crate::error::Result;

/// Reads the documents of a file, with their line ends.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) for a line that is not UTF-8, and for a file without text.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let mut documents = vec![String::new()];
    for line in lines(file, bytes) {
        let (_, text) = line?;
        match documents.last_mut() {
            Some(last) if !text.trim().is_empty() => {
                last.push_str(text);
                last.push('\n');
            }
            Some(last) if !last.is_empty() => documents.push(String::new()),
            _ => {}
        }
    }
    documents.retain(|document| !document.is_empty());
    if documents.is_empty() { Err(empty(file)) } else { Ok(documents) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn empty_lines_end_documents() {
        let read = |text: &str| super::read("t.txt", text.as_bytes());
        assert_eq!(read("\n a\r\nb\n\n \nc").unwrap(), [" a\nb\n", "c\n"]);
        assert_eq!(read(" \n\n").unwrap_err().code(), "data");
        assert!(super::read("t.txt", b"a\n\xff").unwrap_err().to_string().contains("line 2"));
    }
}
