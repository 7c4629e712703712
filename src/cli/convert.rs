//! `cloze convert`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloze::Result;
use cloze::tensor::DType;

use super::common::Common;
use super::show;

/// Store a model in another data type, or merge a LoRA adapter into its base. i8 takes a quarter of the size of f32.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze convert --model bert-base-qa --dtype i8 --output bert-base-qa-i8
  cloze convert --model my-adapter --dtype f32 --output my-model")]
pub struct ConvertArgs {
    /// Data type of the matrices; i8 is symmetric with one scale per row, and other tensors are f32
    #[arg(long, value_enum)]
    pub dtype: Dtype,
    /// Directory of the new model
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Dtype {
    F32,
    F16,
    I8,
}

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
            "merged": converted.is_merged,
        }));
    }
    let megabytes = converted.bytes as f64 / 1e6;
    show::line(&format!(
        "{}: {} tensors, {megabytes:.1} MB in {}{}",
        args.output.display(),
        converted.tensors,
        dtype.name(),
        if converted.is_merged { ", the adapter merged into its base in f32" } else { "" }
    ))
}
