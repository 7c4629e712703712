//! Real configurations, and broken ones.

use super::*;

fn parse(json: &str) -> Result<Config> {
    Config::from_json(json.as_bytes(), "config.json")
}

fn refused(json: &str, code: &str, says: &str) {
    let error = parse(json).expect_err(json);
    assert_eq!(error.code(), code, "{json}: {error}");
    assert!(error.to_string().contains(says), "{json}: {error}");
}

#[test]
fn absent_keys_take_the_reference_values() {
    let config = parse("{}").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!((config.head_size(), config.num_hidden_layers), (64, 12));
    // bert-base without its pooler.
    assert_eq!(config.encoder_parameters(), 109_482_240 - 590_592);
}

#[test]
fn keys_are_read() {
    let config = parse(
        r#"{"model_type": "bert", "architectures": ["BertForQuestionAnswering"], "hidden_size": 32,
            "num_attention_heads": 4, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "pad_token_id": null,
            "id2label": {"0": "no", "1": "yes"}, "quantization": {"format": "i8-rows"}, "unknown": [1, {}]}"#,
    )
    .unwrap();
    assert!(config.is_architecture("BertForQuestionAnswering"));
    assert_eq!((config.hidden_size, config.head_size(), config.pad_token_id), (32, 8, None));
    assert_eq!(parse(r#"{"vocab_size": 100, "pad_token_id": -1}"#).unwrap().pad_token_id, Some(99));
    assert_eq!(parse(r#"{}"#).unwrap().pad_token_id, Some(0));
    assert_eq!(config.hidden_act, "gelu_new");
    assert_eq!((config.label(1), config.label(2)), ("yes".into(), "LABEL_2".into()));
}

#[test]
fn labels_are_counted_and_named() {
    let labels = |json: &str| {
        let config = parse(json).unwrap();
        (config.num_labels(), config.label(1))
    };
    assert_eq!(labels("{}"), (2, "LABEL_1".into()));
    assert_eq!(labels(r#"{"num_labels": 5}"#), (5, "LABEL_1".into()));
    assert_eq!(labels(r#"{"num_labels": 5, "id2label": {"1": "b", "0": "a", "2": "c"}}"#), (3, "b".into()));
    assert_eq!(labels(r#"{"architectures": ["BertForMultipleChoice"]}"#), (1, "LABEL_1".into()));
    assert_eq!(labels(r#"{"id2label": {}}"#), (0, "LABEL_1".into()));
}

/// As in transformers 4.57, except that transformers keeps numbers and null unchanged, and fails at names that it does
/// not find.
#[test]
fn names_of_classes_are_what_the_file_has() {
    let labels = |json: &str| {
        let config = parse(&format!("{{\"id2label\": {json}}}")).unwrap();
        config.check_labels().map(|()| (0..config.num_labels()).map(|i| config.label(i)).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(labels(r#"{"0": 0, "1": 1.0, "2": -2, "3": true}"#).unwrap(), "0 1.0 -2 true");
    assert_eq!(labels(r#"{"1": "b", " 0": "a", "02": null}"#).unwrap(), "a b LABEL_2");
    assert_eq!(labels(r#"{"10": "k", "9": "j", "8": "i", "7": "h", "6": "g", "5": "f", "4": "e", "3": "d", "2": "c", "1": "b", "0": "a"}"#).unwrap(), "a b c d e f g h i j k");
    assert_eq!(labels("null").unwrap(), "LABEL_0 LABEL_1");
    for json in
        [r#"{"1": "a", "2": "b"}"#, r#"{"0": "a", "2": "b"}"#, r#"{"-1": "a", "0": "b"}"#, r#"{"0": "a", "00": "b"}"#]
    {
        let error = labels(json).unwrap_err();
        assert!(error.code() == "config" && error.to_string().contains("id2label has"), "{json}: {error}");
    }
    for (json, words) in
        [(r#"{"a": "b"}"#, "no number but \"a\""), (r#"{"0": [1]}"#, "no name for \"0\""), (r#"["a"]"#, "map")]
    {
        refused(&format!("{{\"id2label\": {json}}}"), "config", words);
    }
    // As in transformers, `label2id` alone does not name the classes.
    let config = parse(r#"{"label2id": {"a": 0, "b": 1}}"#).unwrap();
    assert_eq!((config.num_labels(), config.label(1)), (2, "LABEL_1".into()));
}

#[test]
fn label2id_says_which_class_is_entailment() {
    let entailment = |json: &str| parse(json).unwrap().entailment();
    let names = r#""id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}"#;
    assert_eq!(entailment(&format!("{{{names}}}")), Some(0));
    assert_eq!(entailment(&format!(r#"{{{names}, "label2id": {{"ENTAILMENT": 2, "no": 0}}}}"#)), Some(2));
    assert_eq!(entailment(&format!(r#"{{{names}, "label2id": {{"yes": 0}}}}"#)), None);
    assert_eq!(entailment(&format!(r#"{{{names}, "label2id": {{"entailment": 3}}}}"#)), None);
    assert_eq!(entailment(&format!(r#"{{{names}, "label2id": {{"entailment": -1}}}}"#)), None);
    assert_eq!(entailment(&format!(r#"{{{names}, "label2id": null}}"#)), Some(0));
}

#[test]
fn other_models_are_unsupported() {
    refused(r#"{"model_type": "roberta"}"#, "unsupported", "roberta");
    refused(r#"{"architectures": ["DistilBertModel"]}"#, "unsupported", "DistilBertModel");
    refused(r#"{"position_embedding_type": "relative_key"}"#, "unsupported", "relative_key");
    refused(r#"{"is_decoder": true}"#, "unsupported", "decoder");
    refused(r#"{"add_cross_attention": true}"#, "unsupported", "cross_attention");
    refused(r#"{"hidden_act": "snake"}"#, "unsupported", "gelu_new");
    refused(r#"{"quantization_config": {"quant_method": "gptq"}}"#, "unsupported", "GPTQ");
    refused(r#"{"quantization": {"format": "nf4"}}"#, "unsupported", "nf4");
    assert!(parse(r#"{"quantization_config": null}"#).is_ok());
    assert!(parse(r#"{"architectures": ["BertModel"]}"#).is_ok());
}

#[test]
fn impossible_models_are_errors() {
    refused(r#"{"hidden_size": 100, "num_attention_heads": 12}"#, "config", "multiple of num_attention_heads");
    refused(r#"{"hidden_size": 0}"#, "config", "hidden_size = 0");
    refused(r#"{"num_attention_heads": 0}"#, "config", "num_attention_heads = 0");
    refused(r#"{"num_hidden_layers": 18446744073709551615}"#, "config", "num_hidden_layers");
    refused(r#"{"vocab_size": -1}"#, "config", "-1");
    refused(r#"{"layer_norm_eps": 0}"#, "config", "layer_norm_eps");
    refused(r#"{"hidden_dropout_prob": 1.5}"#, "config", "hidden_dropout_prob");
    refused(r#"{"pad_token_id": 40000}"#, "config", "pad_token_id");
    refused(r#"{"pad_token_id": -40000}"#, "config", "pad_token_id");
    refused(r#"{"num_labels": 4000000000}"#, "config", "labels");
    refused("", "config", "not a model configuration");
    refused("[1]", "config", "not a model configuration");
    refused(&"[".repeat(100_000), "config", "not a model configuration");
}
