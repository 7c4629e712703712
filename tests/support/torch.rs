//! Files in the format of `torch.save`, made without the code under test.

use super::checkpoint::Tensor;

/// A record of an archive: its name, its bytes, and the method that its header claims.
pub struct Record {
    pub name: String,
    pub bytes: Vec<u8>,
    pub method: u16,
}

/// The pickle of a dictionary of these tensors; `dict` is the callable that makes it.
pub fn pickle(tensors: &[Tensor], dict: &str) -> Vec<u8> {
    let mut out = b"\x80\x02c".to_vec();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let int = |out: &mut Vec<u8>, n: usize| {
        out.push(b'J');
        out.extend((n as i32).to_le_bytes());
    };
    out.extend(dict.as_bytes());
    out.extend(b")Rq\x00(");
    for (key, tensor) in tensors.iter().enumerate() {
        let kind = match tensor.dtype.as_str() {
            "F32" => "Float",
            "F16" => "Half",
            "BF16" => "BFloat16",
            "F64" => "Double",
            "I64" => "Long",
            other => panic!("{other}"),
        };
        text(&mut out, &tensor.name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{kind}Storage\n").bytes());
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        let count: usize = tensor.shape.iter().product();
        int(&mut out, count);
        out.extend(b"tQ");
        int(&mut out, 0);
        out.push(b'(');
        tensor.shape.iter().for_each(|dim| int(&mut out, *dim));
        out.extend(b"t(");
        (1..=tensor.shape.len()).for_each(|at| int(&mut out, tensor.shape[at..].iter().product()));
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

/// The records of a file with these tensors.
pub fn records(tensors: &[Tensor]) -> Vec<Record> {
    let record = |name: &str, bytes: &[u8]| Record { name: format!("archive/{name}"), bytes: bytes.into(), method: 0 };
    let mut records =
        vec![record("data.pkl", &pickle(tensors, "collections\nOrderedDict\n")), record("byteorder", b"little")];
    records.extend(tensors.iter().enumerate().map(|(key, t)| record(&format!("data/{key}"), &t.bytes)));
    records.push(record("version", b"3\n"));
    records
}

/// A zip archive of these records.
pub fn zip(records: &[Record]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for Record { name, bytes, method } in records {
        let offset = out.len() as u32;
        let mut fields = vec![0u8, 0];
        fields.extend(method.to_le_bytes());
        // Time, date and checksum are ignored.
        fields.extend([0; 8]);
        fields.extend([(bytes.len() as u32).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat());
        fields.extend((name.len() as u16).to_le_bytes());
        out.extend(b"PK\x03\x04\0\0");
        out.extend(&fields);
        out.extend([0, 0]);
        out.extend(name.as_bytes());
        out.extend(bytes);
        list.extend(b"PK\x01\x02\0\0\0\0");
        list.extend(&fields);
        list.extend([0; 12]);
        list.extend(offset.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (at, count) = (out.len() as u32, (records.len() as u16).to_le_bytes());
    let size = (list.len() as u32).to_le_bytes();
    out.extend(list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend([size, at.to_le_bytes()].concat());
    out.extend([0, 0]);
    out
}

/// `pytorch_model.bin` with these tensors.
pub fn bin(tensors: &[Tensor]) -> Vec<u8> {
    zip(&records(tensors))
}
