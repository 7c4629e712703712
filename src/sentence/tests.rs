//! Tests what is read from a directory's files, and what is refused.

use super::*;
use crate::activation::Activation;

/// Reads a directory of these files.
fn read(files: &[(&str, &str)]) -> Result<Sentence> {
    let find = |name: &str| Ok(files.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_bytes().to_vec()));
    Sentence::read(&mut { find })
}

/// The text of a modules.json with these modules.
fn modules(kinds: &str) -> String {
    let kinds: Vec<&str> = kinds.split(", ").filter(|k| !k.is_empty()).collect();
    let module = |(at, kind): (usize, &&str)| {
        let path = if at == 0 { String::new() } else { format!("{at}_{kind}") };
        format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#)
    };
    format!("[{}]", kinds.iter().enumerate().map(module).collect::<Vec<_>>().join(","))
}

/// A directory with mean pooling and normalization, and `others`.
fn plain<'a>(list: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut files = others.to_vec();
    files.extend([("modules.json", list), ("1_Pooling/config.json", r#"{"pooling_mode": "mean"}"#)]);
    files
}

fn pool(poolings: &[Pooling]) -> Module {
    Module::Pool { poolings: poolings.to_vec(), with_prompt: true }
}

#[test]
fn modules_are_read() {
    assert_eq!(read(&[]).unwrap(), Sentence::default());
    let list = modules("Transformer, Pooling, Normalize");
    let reading = ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": true}"#);
    let whole = read(&plain(&list, &[reading])).unwrap();
    let expected = Sentence { normalize: true, max_seq_length: Some(256), do_lower_case: true, ..Sentence::default() };
    assert_eq!(whole, expected);

    let old = list.replace(r#""path": """#, r#""path": "0_Transformer""#);
    let old = read(&[
        ("modules.json", &old),
        ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#),
        ("0_Transformer/sentence_bert_config.json", "{}"),
        ("0_Transformer/sentence_albert_config.json", r#"{"max_seq_length": 9}"#),
    ]);
    let expected = Sentence {
        encoder: Some("0_Transformer".into()),
        modules: vec![pool(&[Pooling::Max])],
        normalize: true,
        max_seq_length: Some(9),
        ..Sentence::default()
    };
    assert_eq!(old.unwrap(), expected);
}

#[test]
fn poolings_are_words_lists_or_switches() {
    let list = modules("Transformer, Pooling");
    let of = |config: &str| read(&[("modules.json", &list), ("1_Pooling/config.json", config)]);
    for (config, expected) in [
        ("{}", &[Pooling::Mean][..]),
        (r#"{"pooling_mode": "cls"}"#, &[Pooling::Cls]),
        (r#"{"pooling_mode": ["mean", "cls"]}"#, &[Pooling::Mean, Pooling::Cls]),
        (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#, &[Pooling::Cls, Pooling::Mean]),
        (r#"{"pooling_mode_lasttoken": true, "pooling_mode_cls_token": false}"#, &[Pooling::LastToken]),
        (r#"{"pooling_mode_mean_tokens": false}"#, &[Pooling::Mean]),
    ] {
        assert_eq!(of(config).unwrap().poolings(), expected, "{config}");
    }
    let without = of(r#"{"pooling_mode": "max", "include_prompt": false}"#).unwrap();
    assert_eq!(without.modules, [Module::Pool { poolings: vec![Pooling::Max], with_prompt: false }]);
    for (config, code) in [
        (r#"{"pooling_mode": "cls+mean"}"#, "unsupported"),
        (r#"{"pooling_mode": []}"#, "unsupported"),
        (r#"{"pooling_mode": ["mean", 3]}"#, "unsupported"),
        (r#"{"pooling_mode": ["max","max","max","max","max","max","max","max","max","max","max"]}"#, "unsupported"),
        (r#"{"pooling_mode_of_ours": true}"#, "unsupported"),
        (r#"{"pooling_mode_cls_token": "yes"}"#, "config"),
        (r#"{"include_prompt": 0}"#, "config"),
        ("[]", "config"),
    ] {
        let error = of(config).unwrap_err();
        assert!(error.code() == code && error.to_string().contains("1_Pooling/config.json"), "{config}: {error}");
    }
}

#[test]
fn what_the_whole_model_says_is_read() {
    let list = modules("Transformer, Pooling");
    let of = |config: &str| read(&plain(&list, &[("config_sentence_transformers.json", config)]));
    let whole =
        of(r#"{"prompts": {"query": "q: ", "document": null, "passage": "p: "}, "default_prompt_name": "passage",
        "similarity_fn_name": "manhattan", "truncate_dim": 7, "__version__": {}}"#)
        .unwrap();
    assert_eq!((whole.similarity, whole.dimensions), (Similarity::Manhattan, Some(7)));
    let texts = [None, Some("query"), Some("document"), Some(""), Some("Say: ")]
        .map(|asked| whole.prompts.text(asked).unwrap());
    assert_eq!(texts, ["p: ", "q: ", "", "", "Say: "]);
    assert_eq!(of("{}").unwrap().prompts.text(None).unwrap(), "");
    for (config, code, says) in [
        (r#"{"model_type": "SparseEncoder"}"#, "unsupported", "a SparseEncoder"),
        (r#"{"default_prompt_name": "passage"}"#, "config", "not one of the prompts query, document"),
        (r#"{"prompts": {"query": 3}}"#, "config", "query is not a string"),
        (r#"{"prompts": []}"#, "config", "prompts is not an object"),
        (r#"{"similarity_fn_name": "angle"}"#, "unsupported", "angle"),
        (r#"{"truncate_dim": 0}"#, "config", "truncate_dim"),
    ] {
        let error = of(config).unwrap_err();
        let text = error.to_string();
        assert!(
            error.code() == code && text.contains(says) && text.contains("config_sentence_transformers"),
            "{error}"
        );
    }
}

#[test]
fn how_texts_are_read_is_understood_or_refused() {
    let list = modules("Transformer, Pooling");
    let of = |config: &str| read(&plain(&list, &[("sentence_bert_config.json", config)]));
    let newest = r#"{"transformer_task": "feature-extraction", "module_output_name": "token_embeddings", "unpad_inputs": null,
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "processing_kwargs": {"text": {"max_length": 33, "truncation": true}, "image": {"size": 3}}}"#;
    assert_eq!(of(newest).unwrap(), Sentence { max_seq_length: Some(33), ..Sentence::default() });
    let pooler = newest.replace("last_hidden_state", "pooler_output").replace("token_embeddings", "sentence_embedding");
    let pooled = read(&[("modules.json", &modules("Transformer")), ("sentence_bert_config.json", &pooler)]).unwrap();
    assert!(pooled.has_pooler && pooled.modules.is_empty());
    for (config, code) in [
        (r#"{"max_seq_length": 2}"#, "config"),
        (r#"{"max_seq_length": "256"}"#, "config"),
        (r#"{"transformer_task": "fill-mask"}"#, "unsupported"),
        (r#"{"tokenizer_name_or_path": "elsewhere"}"#, "unsupported"),
        (r#"{"tokenizer_args": {"add_special_tokens": false}}"#, "unsupported"),
        (r#"{"config_kwargs": {"hidden_act": "relu"}}"#, "unsupported"),
        (r#"{"processing_kwargs": {"text": {"truncation": false}}}"#, "unsupported"),
        (r#"{"lora": 3}"#, "unsupported"),
        (&newest.replace("forward", "get_text_features"), "unsupported"),
        (&newest.replace(r#""last_hidden_state""#, r#"["hidden_states", -2]"#), "unsupported"),
        (&newest.replace(r#""text": {"method""#, r#""message": {}, "text": {"method""#), "unsupported"),
        (&newest.replace("last_hidden_state", "pooler_output"), "unsupported"),
    ] {
        let error = of(config).unwrap_err();
        assert!(error.code() == code && error.to_string().contains("sentence_bert_config.json"), "{config}: {error}");
    }
}

#[test]
fn modules_in_an_order_of_their_own() {
    let dense = ("2_Dense/config.json", r#"{"in_features": 24, "out_features": 8}"#);
    let norm = ("3_LayerNorm/config.json", r#"{"dimension": 8}"#);
    let list = modules("Transformer, Pooling, Dense, LayerNorm, Dropout, Normalize, Normalize");
    let found = read(&plain(&list, &[dense, norm])).unwrap();
    let Module::Dense(first) = &found.modules[1] else { panic!("{found:?}") };
    assert_eq!(
        (first.dir.as_str(), first.rows, first.has_bias, first.activation),
        ("2_Dense", 8, true, Activation::Tanh)
    );
    assert_eq!(found.modules[2], Module::Norm { dir: "3_LayerNorm".into(), cols: 8 });
    assert!(found.normalize && found.modules.len() == 3);
    let list = modules("Transformer, Pooling, Dense, Normalize, Dense");
    let again = ("4_Dense/config.json", dense.1);
    let found = read(&plain(&list, &[dense, again])).unwrap();
    assert!(!found.normalize && found.modules[2] == Module::Normalize, "{found:?}");
}

#[test]
fn what_is_not_understood_is_refused() {
    let refused = |files: &[(&str, &str)], code: &str, says: &str| {
        let error = read(files).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(says), "{error}");
    };
    refused(&[("modules.json", "{}")], "config", "modules.json");
    refused(&[("modules.json", &modules("Transformer, Pooling"))], "config", "1_Pooling/config.json");
    for (kinds, says) in [
        ("", "without modules"),
        ("Dense", "Dense"),
        ("Pooling", "Pooling"),
        ("Transformer", "Transformer without Pooling"),
        ("MLMTransformer, SpladePooling", "MLMTransformer"),
        ("Pooling, Transformer", "Pooling"),
        ("Transformer, Dropout, Pooling", "Dropout before a Pooling"),
        ("Transformer, Pooling, WeightedLayerPooling", "WeightedLayerPooling"),
        ("Transformer, Pooling, CNN", "CNN"),
        ("Router", "Router"),
    ] {
        refused(&plain(&modules(kinds), &[]), "unsupported", says);
    }
    let early = [("1_Dense/config.json", r#"{"in_features": 8, "out_features": 8}"#)];
    refused(&plain(&modules("Transformer, Dense, Pooling"), &early), "unsupported", "before a Pooling");
    let two = [("2_Pooling/config.json", "{}")];
    refused(&plain(&modules("Transformer, Pooling, Pooling"), &two), "unsupported", "a second Pooling");
    let foreign = modules("Transformer, Pooling").replace("sentence_transformers.models.Pooling", "custom.Pooling");
    refused(&plain(&foreign, &[]), "unsupported", "custom.Pooling");
    for path in ["../x", "/etc", "a//b", "a\\\\b", "."] {
        let list = modules("Transformer, Pooling").replace("1_Pooling", path);
        refused(&[("modules.json", &list)], "config", "inside the model's");
    }
}

#[test]
fn vectors_are_compared_as_in_python() {
    let (a, b) = ([1.0, 2.0, -2.0], [2.0, 0.0, 1.0]);
    for ((word, similarity), expected) in Similarity::WORDS.iter().zip([0.0, 0.0, -14.0_f32.sqrt(), -6.0]) {
        assert!((similarity.of(&a, &b) - expected).abs() < 1e-6, "{word}");
        assert_eq!(Similarity::from_word(word), Some(*similarity));
        assert_eq!(similarity.word(), *word);
    }
    assert!((Similarity::Cosine.of(&a, &[2.0, 4.0, -4.0]) - 1.0).abs() < 1e-6);
    assert_eq!(Similarity::Cosine.of(&a, &[0.0; 3]), 0.0);
    assert_eq!(Similarity::from_word("angle"), None);
}
