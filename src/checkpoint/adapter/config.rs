//! Reads and writes `adapter_config.json`.

use serde_json::{Map, Value, json};

use super::patterns::{Patterns, Texts};
use super::{Adapter, Base, Lora};
use crate::checkpoint::Head;
use crate::error::{Error, Result, clip, clip_message};

/// The largest configuration of an adapter, in bytes. Even one that lists every layer is smaller.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The contents of the file.
#[derive(Debug)]
pub(super) struct Settings {
    pub lora: Lora,
    /// Whether the list of targets is complete. If not, the tensors decide which layers are adapted.
    pub is_listed: bool,
    pub head: Option<Head>,
    pub base: Base,
    /// The ranks of layers that have their own; `alphas` has the scales.
    pub ranks: Patterns,
    pub alphas: Patterns,
    /// Whether alpha is divided by the square root of the rank.
    pub is_rank_stabilized: bool,
    pub has_magnitudes: bool,
}

/// The names of the tasks in `peft`.
const TASKS: [(&str, Head); 4] = [
    ("SEQ_CLS", Head::SequenceClassification),
    ("TOKEN_CLS", Head::TokenClassification),
    ("QUESTION_ANS", Head::QuestionAnswering),
    ("FEATURE_EXTRACTION", Head::Encoder),
];

/// Keys of other kinds of adapters, unless they are null, false or empty. `fan_in_fan_out` is not among them: `peft`
/// ignores it for BERT's linear layers.
const OTHER_KINDS: [&str; 12] = [
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "megatron_config",
    "monteclora_config",
    "velora_config",
    "loftq_config",
    "corda_config",
    "lora_ga_config",
];

/// Initializations of A and B that do not change the base.
const PLAIN_BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

pub(super) fn parse(json: &[u8], file: &str) -> Result<Settings> {
    if json.len() > MAX_BYTES {
        return Err(malformed(file, format!("{} bytes is too large for an adapter's configuration", json.len())));
    }
    let keys: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|e| malformed(file, format!("not an adapter's configuration: {}", clip_message(&e))))?;
    refuse_other_kinds(&keys, file)?;
    let key = |name: &str| keys.get(name).filter(|value| !value.is_null());
    let wrong = |name: &str| malformed(file, format!("{name} is {}", shown(key(name))));
    let number = |name: &str, default: f64| key(name).map_or(Ok(default), |v| v.as_f64().ok_or_else(|| wrong(name)));
    let text = |name: &str| key(name).map(|v| v.as_str().ok_or_else(|| wrong(name))).transpose();

    let r = key("r").map_or(Some(8), Value::as_u64).and_then(|r| usize::try_from(r).ok()).ok_or_else(|| wrong("r"))?;
    let mut alpha = number("lora_alpha", 8.0)? as f32;
    let is = |name: &str| key(name) == Some(&Value::Bool(true));
    if is("use_rslora") {
        // rsLoRA divides by the square root of the rank.
        alpha *= (r as f32).sqrt();
    }
    // Parsed again, because the order of patterns matters.
    let Layers { rank_pattern, alpha_pattern } =
        serde_json::from_slice(json).map_err(|e| malformed(file, clip_message(&e)))?;
    let compiled =
        |name: &str, texts: Texts| texts.compile().map_err(|problem| malformed(file, format!("{name}: {problem}")));
    let (ranks, alphas) = (compiled("rank_pattern", rank_pattern)?, compiled("alpha_pattern", alpha_pattern)?);
    let listed = match key("target_modules") {
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("target_modules"))?
        }
        // It is a pattern over names. The tensors show what it matched.
        Some(Value::String(_)) => Vec::new(),
        _ => return Err(wrong("target_modules")),
    };
    let narrows = ["exclude_modules", "layers_to_transform"].iter().any(|name| keys.get(*name).is_some_and(is_set));
    let lora = Lora { r, alpha, dropout: number("lora_dropout", 0.0)? as f32, targets: listed };
    if let Some((_, problem, _)) = lora.fault() {
        return Err(malformed(file, problem));
    }
    let head = match text("task_type")? {
        None => None,
        Some(task) => match TASKS.iter().find(|(name, _)| *name == task) {
            Some((_, head)) => Some(*head),
            None => return Err(unsupported(format!("{file}: the task_type {:?}", clip(task)))),
        },
    };
    let model = text("base_model_name_or_path")?.unwrap_or_default().to_owned();
    let revision = text("revision")?.map(str::to_owned);
    let is_listed = !narrows && !lora.targets.is_empty();
    Ok(Settings {
        is_listed,
        lora,
        head,
        base: Base { model, revision, sha256: None },
        ranks,
        alphas,
        is_rank_stabilized: is("use_rslora"),
        has_magnitudes: is("use_dora"),
    })
}

/// Numbers by the names of layers.
#[derive(serde::Deserialize)]
struct Layers {
    #[serde(default)]
    rank_pattern: Texts,
    #[serde(default)]
    alpha_pattern: Texts,
}

/// Refuses adapters of other kinds, and names the reason.
fn refuse_other_kinds(keys: &Map<String, Value>, file: &str) -> Result<()> {
    let refuse = |key: &str| Err(unsupported(format!("{file}: {} = {}", clip(key), shown(keys.get(key)))));
    if keys.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        return refuse("peft_type");
    }
    // The tensors show which biases there are.
    if keys
        .get("bias")
        .is_some_and(|bias| is_set(bias) && !["none", "all", "lora_only"].map(Some).contains(&bias.as_str()))
    {
        return refuse("bias");
    }
    let begins = |value: &Value| value.as_str().is_some_and(|kind| !PLAIN_BEGINNINGS.contains(&kind));
    if keys.get("init_lora_weights").is_some_and(begins) {
        return refuse("init_lora_weights");
    }
    let is_other =
        |key: &str| OTHER_KINDS.contains(&key) || key.starts_with("use_") && !["use_rslora", "use_dora"].contains(&key);
    match keys.iter().find(|(key, value)| is_other(key) && is_set(value)) {
        Some((key, _)) => refuse(key),
        None => Ok(()),
    }
}

/// Whether a key has a meaning: it is not null, false or empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("absent".into(), |value| clip(&value.to_string()))
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Config { file: file.into(), problem, help: super::OTHER.into() }
}

fn unsupported(what: String) -> Error {
    Error::Unsupported { what, help: "Give a LoRA adapter of BERT, or merge it in Python and give the model".into() }
}

pub(super) fn write(adapter: &Adapter) -> Result<Vec<u8>> {
    let Lora { r, alpha, dropout, targets } = &adapter.lora;
    let task = adapter.head.and_then(|head| TASKS.iter().find(|(_, known)| *known == head)).map(|(name, _)| *name);
    // Like peft, this writes whole numbers without a point.
    let number = |value: f32| match value.fract() == 0.0 && value.abs() < 1e9 {
        true => json!(value as i64),
        // Through text, because the f64 would have more digits than the f32.
        false => serde_json::from_str(&value.to_string()).unwrap_or_else(|_| json!(value)),
    };
    let mut whole: Vec<&str> = adapter.whole().map(|tensor| module_to_save(&tensor.name)).collect();
    whole.sort_unstable();
    whole.dedup();
    let config = json!({
        "peft_type": "LORA", "task_type": task, "base_model_name_or_path": adapter.base.model, "revision": adapter.base.revision,
        "auto_mapping": null, "inference_mode": true, "r": r, "lora_alpha": number(*alpha), "lora_dropout": number(*dropout),
        "target_modules": targets, "modules_to_save": if whole.is_empty() { Value::Null } else { json!(whole) },
        "bias": "none", "fan_in_fan_out": false, "init_lora_weights": true, "layers_pattern": null,
        "layers_to_transform": null, "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": false, "use_dora": false,
    });
    let mut text = serde_json::to_vec_pretty(&config).map_err(|e| Error::Config {
        file: "adapter_config.json".into(),
        problem: clip_message(&e),
        help: super::OTHER.into(),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// The module with which a tensor is saved.
fn module_to_save(name: &str) -> &str {
    let bare = name.strip_prefix("bert.").unwrap_or(name);
    match bare.strip_prefix("embeddings.") {
        Some(_) => bare.rsplit_once('.').map_or(bare, |(module, _)| module),
        None => bare.split('.').next().unwrap_or(bare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: Value) -> Result<Settings> {
        let mut keys = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["query"]});
        keys[key] = value;
        parse(keys.to_string().as_bytes(), "adapter_config.json")
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for (key, value) in [
            ("peft_type", json!("IA3")),
            ("peft_type", json!(null)),
            ("bias", json!("some")),
            ("use_something_new", json!(true)),
            ("init_lora_weights", json!("pissa")),
            ("trainable_token_indices", json!([1])),
            ("layer_replication", json!([[0, 2]])),
        ] {
            let error = with(key, value).expect_err(key);
            assert_eq!(error.code(), "unsupported");
            assert!(error.to_string().contains(key), "{error}");
        }
        let error = with("task_type", json!("CAUSAL_LM")).expect_err("a decoder's task");
        assert!(error.to_string().contains("CAUSAL_LM"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_are_errors() {
        for (key, value) in [
            ("r", json!(0)),
            ("r", json!(-1)),
            ("r", json!(2.5)),
            ("r", json!(u64::MAX)),
            ("lora_alpha", json!("8")),
            ("lora_alpha", json!(1e300)),
            ("lora_alpha", json!(0)),
            ("lora_dropout", json!(1)),
            ("rank_pattern", json!({"query": "2"})),
            ("alpha_pattern", json!({"(": 2})),
            ("target_modules", json!([1])),
            ("target_modules", json!(null)),
            ("base_model_name_or_path", json!(7)),
        ] {
            assert_eq!(with(key, value.clone()).expect_err(key).code(), "config", "{key} {value}");
        }
        for text in ["", "[]", r#"{"peft_type": "LORA", "lora_alpha": NaN}"#, &" ".repeat(MAX_BYTES + 1)] {
            assert_eq!(parse(text.as_bytes(), "a").expect_err("no configuration").code(), "config");
        }
    }

    #[test]
    fn what_is_read_means_the_same() {
        assert_eq!(with("use_rslora", json!(true)).unwrap().lora.scale(), 8.0 / 2.0);
        assert_eq!(with("init_lora_weights", json!("gaussian")).unwrap().lora.scale(), 2.0);
        assert_eq!(with("rank_pattern", json!({"query": 2})).unwrap().ranks.get("a.query"), Some(2.0));
        assert!(with("use_dora", json!(true)).unwrap().has_magnitudes);
        for (key, value) in [("bias", json!("all")), ("fan_in_fan_out", json!(true)), ("rank_pattern", json!(null))] {
            with(key, value).unwrap();
        }
        assert!(with("target_modules", json!(["query", "value"])).unwrap().is_listed);
        assert!(!with("target_modules", json!(".*query")).unwrap().is_listed);
        assert!(!with("layers_to_transform", json!([1])).unwrap().is_listed);
        assert_eq!(with("task_type", json!("TOKEN_CLS")).unwrap().head, Some(Head::TokenClassification));
        assert_eq!(with("base_model_name_or_path", json!("a/b")).unwrap().base.model, "a/b");
    }
}
