//! Reads the section `post_processor` of tokenizer.json.

use serde_json::Value;

use crate::error::clip;
use crate::text::contents::{JSON, broken};
use crate::text::template::{Specials, Template};
use crate::{Error, Result};

impl Template {
    /// Reads the section; `null` puts nothing around texts.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown processor, [`Error::Tokenizer`] for a malformed one.
    pub fn read(section: &Value) -> Result<Self> {
        let malformed =
            |what: &str| broken(JSON, format!("post_processor: {what}"), "Download or export the file again");
        let token = |name: &str| {
            let id = section[name][1].as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| malformed(&format!("{name} has no id")))
        };
        match section["type"].as_str() {
            None if section.is_null() => Ok(Self { single: Default::default(), pair: (Default::default(), [0, 1]) }),
            Some("BertProcessing") => Ok(Self::bert(token("cls")?, token("sep")?)),
            Some("RobertaProcessing") => {
                let (cls, sep) = (vec![(token("cls")?, 0)], vec![(token("sep")?, 0)]);
                Ok(Self { single: ([cls.clone(), sep.clone()], [0]), pair: ([cls, sep.repeat(2), sep], [0, 0]) })
            }
            Some("TemplateProcessing") => {
                let specials = &section["special_tokens"];
                let read = |name: &str, texts: &[&str]| {
                    parts(&section[name], texts, specials).ok_or_else(|| Error::Unsupported {
                        what: format!("{JSON}: the post_processor's {name}, {}", clip(&section[name].to_string())),
                        help:
                            "Use a template that has each text once, the first one first, and special tokens with ids"
                                .into(),
                    })
                };
                let (single, pair) = (read("single", &["A"])?, read("pair", &["A", "B"])?);
                match (single.0.try_into(), pair.0.try_into(), single.1.try_into(), pair.1.try_into()) {
                    (Ok(single), Ok(pair), Ok(one), Ok(two)) => Ok(Self { single: (single, one), pair: (pair, two) }),
                    _ => Err(malformed("it lacks a text")),
                }
            }
            Some(other) => Err(Error::Unsupported {
                what: format!("{JSON}: post_processor of type {}", clip(other)),
                help: "Use a tokenizer with TemplateProcessing, BertProcessing or RobertaProcessing".into(),
            }),
            None => Err(malformed("it has no type")),
        }
    }
}

/// The special tokens around `texts`, and the types of the texts; `None` if a part is neither of them, or if the texts
/// have another order.
fn parts(template: &Value, texts: &[&str], specials: &Value) -> Option<(Vec<Specials>, Vec<u32>)> {
    let (mut found, mut kinds) = (vec![Specials::new()], Vec::new());
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    for part in template.as_array()? {
        let (special, text) = (&part["SpecialToken"], &part["Sequence"]);
        if let Some(name) = special["id"].as_str() {
            let kind = number(&special["type_id"])?;
            for id in specials[name]["ids"].as_array()? {
                found.last_mut()?.push((number(id)?, kind));
            }
        } else {
            if text["id"].as_str()? != *texts.get(kinds.len())? {
                return None;
            }
            kinds.push(number(&text["type_id"])?);
            found.push(Specials::new());
        }
    }
    (kinds.len() == texts.len()).then_some((found, kinds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::text::Sequence;

    #[test]
    fn templates_of_every_kind() {
        let s = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
        let t = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
        let token = |id: &str, ids: &[u32]| json!({"id": id, "ids": ids, "tokens": [id]});
        let template = json!({
            "type": "TemplateProcessing",
            "single": [s("<s>", 0), t("A", 0), s("</s>", 0)],
            "pair": [s("<s>", 0), t("A", 0), s("</s>", 0), s("</s>", 1), t("B", 1), s("</s>", 1)],
            "special_tokens": {"<s>": token("<s>", &[0]), "</s>": token("</s>", &[2])},
        });
        let read = Template::read(&template).unwrap();
        assert_eq!(read.single(&[7, 8]), Sequence { ids: vec![0, 7, 8, 2], types: vec![0; 4] });
        let pair = Sequence { ids: vec![0, 7, 2, 2, 8, 9, 2], types: vec![0, 0, 0, 1, 1, 1, 1] };
        assert_eq!(read.pair(&[7], &[8, 9]), pair);
        assert_eq!((read.before(true), read.between(), read.count(true), read.count(false)), (1, 2, 4, 2));
        assert_eq!(read.clone().without_types().pair(&[7], &[8]).types, [0; 6]);
        assert_eq!(read.last(), Some(2));

        let roberta =
            Template::read(&json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]})).unwrap();
        assert_eq!(roberta, read.without_types());
        let bert =
            Template::read(&json!({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 0]})).unwrap();
        assert_eq!(bert.pair(&[7], &[8]), Sequence { ids: vec![0, 7, 2, 8, 2], types: vec![0, 0, 0, 1, 1] });
        let none = Template::read(&Value::Null).unwrap();
        assert_eq!(none.pair(&[7], &[8]), Sequence { ids: vec![7, 8], types: vec![0, 1] });

        let code = |section: Value| Template::read(&section).unwrap_err().code();
        let changed = |name: &str, parts: Value| {
            let mut template = template.clone();
            template[name] = parts;
            code(template)
        };
        assert_eq!(changed("single", json!([s("<s>", 0), t("B", 0)])), "unsupported");
        assert_eq!(changed("single", json!([s("<s>", 0)])), "unsupported");
        assert_eq!(changed("pair", json!([t("B", 0), t("A", 0)])), "unsupported");
        assert_eq!(changed("pair", json!([t("A", 0), t("A", 0), t("B", 0)])), "unsupported");
        assert_eq!(changed("special_tokens", json!({})), "unsupported");
        assert_eq!(code(json!({"type": "ByteLevel"})), "unsupported");
        assert_eq!(code(json!({"type": "BertProcessing", "sep": 3})), "tokenizer");
        assert_eq!(code(json!({})), "tokenizer");
    }
}
