//! `cloze convert`

use cloze::Result;
use cloze::tensor::DType;

use super::args::{Common, ConvertArgs, Dtype};
use super::show;

pub fn run(args: &ConvertArgs, common: &Common) -> Result<()> {
    let source = common.required_model_dir()?;
    let dtype = match args.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::I8 => DType::I8,
    };
    let converted = cloze::checkpoint::convert(source, &args.output, dtype)?;
    if common.json {
        let output = args.output.to_string_lossy();
        return show::json(&serde_json::json!({
            "output": output, "dtype": dtype.name(), "tensors": converted.tensors, "bytes": converted.bytes,
        }));
    }
    let megabytes = converted.bytes as f64 / 1e6;
    show::line(&format!(
        "{}: {} tensors, {megabytes:.1} MB in {}",
        args.output.display(),
        converted.tensors,
        dtype.name()
    ))
}
