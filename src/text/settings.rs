//! Reads the files beside a vocabulary: tokenizer_config.json, special_tokens_map.json, added_tokens.json, and the class that config.json
//! names. If they disagree, the same one counts as in AutoTokenizer of transformers 4.57.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::added::AddedToken;
use super::contents::{TokenizerFiles, broken, checked, parse};
use crate::Result;
use crate::error::{clip, clip_message};

pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIALS: &str = "special_tokens_map.json";
pub(super) const ADDED: &str = "added_tokens.json";
#[cfg(feature = "native")]
pub(super) const MODEL: &str = "config.json";
const ADDITIONAL: &str = "additional_special_tokens";
const DECODER: &str = "added_tokens_decoder";
const EXTRA: &str = "extra_special_tokens";

/// The roles of special tokens, in transformers' order, and BERT's spelling of each.
const ROLES: [(&str, Option<&str>); 7] = [
    ("bos_token", None),
    ("eos_token", None),
    ("unk_token", Some("[UNK]")),
    ("sep_token", Some("[SEP]")),
    ("pad_token", Some("[PAD]")),
    ("cls_token", Some("[CLS]")),
    ("mask_token", Some("[MASK]")),
];

/// The classes with BERT's defaults, without the suffixes `Tokenizer` and `TokenizerFast`.
const BERTS: [&str; 10] = [
    "Bert",
    "DistilBert",
    "Electra",
    "ConvBert",
    "LayoutLM",
    "Lxmert",
    "MobileBert",
    "Realm",
    "RetriBert",
    "SqueezeBert",
];

/// The class of a tokenizer.
pub(super) struct Class {
    /// Its name, if a file names it.
    pub name: Option<String>,
    /// Whether it has BERT's defaults, including the casing.
    pub is_bert: bool,
    /// Its spelling of the [`ROLES`], if it is a class of Unigram tokenizers.
    roles: Option<&'static [&'static str; 7]>,
}

const XLMR: [&str; 7] = ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"];
const BIG_BIRD: [&str; 7] = ["<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"];

/// A special token: its name alone, or with the options for finding it.
#[derive(Clone)]
enum Special {
    Name(String),
    Token(AddedToken),
}

impl Special {
    fn content(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Token(token) => &token.content,
        }
    }

    /// Two special tokens with the same key count as equal.
    fn key(&self) -> (&str, u8) {
        match self {
            Self::Name(name) => (name, u8::MAX),
            Self::Token(token) => token.key(),
        }
    }
}

/// The settings in the files beside the vocabulary.
pub(super) struct Settings {
    pub class: Class,
    config: Map<String, Value>,
    /// In the order of [`ROLES`].
    roles: [Option<Special>; 7],
    /// Whether a file names the token, not the class.
    is_said: [bool; 7],
    /// Special tokens without a role.
    others: Vec<Special>,
    /// `added_tokens_decoder`, or its equivalent in older files.
    decoder: BTreeMap<i64, AddedToken>,
}

impl Settings {
    /// Reads the files beside a vocabulary. `added` are the tokens in tokenizer.json, by id. `pad` is its padding token.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](crate::Error::Tokenizer), with the name of the file, if a file is malformed.
    pub fn read(files: &TokenizerFiles<'_>, added: &[(i64, AddedToken)], pad: Option<String>) -> Result<Self> {
        let config = object(CONFIG, files.config)?;
        let class = Class::new(files, &config);
        let mut roles = [const { None }; 7];
        let mut is_said = [false; 7];
        for (at, (role, _)) in ROLES.iter().enumerate() {
            is_said[at] = config.contains_key(*role);
            roles[at] = special(CONFIG, role, config.get(*role), false)?;
        }
        let list = |file: &str, map: &Map<String, Value>, is_map: bool| match map.get(ADDITIONAL) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(tokens)) => {
                tokens.iter().filter_map(|token| special(file, ADDITIONAL, Some(token), is_map).transpose()).collect()
            }
            Some(_) => Err(wrong(file, ADDITIONAL, "a list")),
        };
        let mut others: Vec<Special> = list(CONFIG, &config, false)?;
        let mut decoder = BTreeMap::new();
        let mut known: HashMap<&str, AddedToken> = HashMap::new();
        if let Some(value) = config.get(DECODER).filter(|value| !value.is_null()) {
            for (id, token) in value.as_object().ok_or_else(|| wrong(CONFIG, DECODER, "an object"))? {
                let Ok(id) = id.parse() else {
                    let problem = format!("{DECODER} has the id {:?}", clip(id));
                    return Err(broken(CONFIG, problem, "Ids are whole numbers"));
                };
                decoder.insert(id, self::token(CONFIG, DECODER, token)?);
            }
        } else {
            let map = object(SPECIALS, files.special_tokens_map)?;
            for (at, (role, _)) in ROLES.iter().enumerate().filter(|(_, (role, _))| map.contains_key(*role)) {
                is_said[at] = true;
                roles[at] = special(SPECIALS, role, map.get(*role), true)?;
            }
            let more = list(SPECIALS, &map, true)?;
            let there: HashSet<_> = others.iter().map(Special::key).collect();
            let more: Vec<_> = more.iter().filter(|token| !there.contains(&token.key())).cloned().collect();
            others.extend(more);
            let special_names: HashSet<&str> = roles.iter().flatten().chain(&others).map(Special::content).collect();
            for (content, id) in object(ADDED, files.added_tokens)? {
                let id = id.as_i64().ok_or_else(|| wrong(ADDED, &content, "a whole number"))?;
                let special = special_names.contains(content.as_str());
                decoder
                    .insert(id, AddedToken { content, special, normalized: Some(!special), ..AddedToken::default() });
            }
            decoder.extend(added.iter().cloned());
            known.extend(added.iter().map(|(_, token)| (token.content.as_str(), token.clone())));
        }
        if config.contains_key(DECODER) {
            known.extend(decoder.values().map(|token| (token.content.as_str(), token.clone())));
        }
        for role in roles.iter_mut().flatten() {
            if let Some(token) = known.get(role.content()) {
                *role = Special::Token(token.clone());
            }
        }
        drop(known);
        for (at, (_, usual)) in ROLES.iter().enumerate().filter(|(at, _)| !is_said[*at]) {
            let usual = if class.is_bert { *usual } else { class.roles.map(|roles| roles[at]) };
            roles[at] = usual.map(|name| Special::Name(name.into()));
        }
        if class.roles == Some(&XLMR)
            && let Some(Special::Name(content)) = &roles[MASK]
        {
            roles[MASK] =
                Some(Special::Token(AddedToken { content: content.clone(), lstrip: true, ..AddedToken::default() }));
        }
        if !class.is_bert && class.roles.is_none() && !is_said[PAD] {
            roles[PAD] = pad.map(Special::Name);
        }
        let extra = match config.get(EXTRA) {
            Some(Value::Object(_) | Value::Array(_)) => {
                parse::<Extra>(CONFIG, files.config.unwrap_or_default())?.extra_special_tokens.0
            }
            _ => Vec::new(),
        };
        for token in &extra {
            others.extend(special(CONFIG, EXTRA, Some(token), false)?);
        }
        Ok(Self { class, config, roles, is_said, others, decoder })
    }

    /// A boolean in tokenizer_config.json, or `None` if it is missing.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(CONFIG, key, "true or false")),
        }
    }

    /// `model_max_length`. transformers writes 1e30 if there is no limit.
    pub fn max_length(&self) -> Option<usize> {
        let said = ["model_max_length", "max_len"].into_iter().find_map(|key| self.config.get(key)?.as_f64());
        said.filter(|n| *n >= 1.0 && *n < 1e9).map(|n| n as usize)
    }

    /// Whether long texts are truncated at their beginning, if a file says so.
    pub fn cuts_left(&self) -> Result<Option<bool>> {
        match self.config.get("truncation_side") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(side)) if side == "left" || side == "right" => Ok(Some(side == "left")),
            Some(_) => Err(wrong(CONFIG, "truncation_side", "\"left\" or \"right\"")),
        }
    }

    /// Whether the model reads token types, which tell the two texts of a pair apart.
    pub fn has_types(&self) -> bool {
        let base = self.class.name.as_deref().map_or("", |name| name.strip_suffix("Fast").unwrap_or(name));
        match self.config.get("model_input_names") {
            Some(Value::Array(names)) => names.iter().any(|name| name == "token_type_ids"),
            _ => self.class.roles.is_none() && !matches!(base, "DistilBertTokenizer" | "RetriBertTokenizer"),
        }
    }

    /// Whether a file names the token of a role, not the class.
    pub fn is_said(&self, role: usize) -> bool {
        self.is_said[role]
    }

    /// The spelling of the token of a role.
    pub fn role(&self, role: usize) -> Option<&str> {
        self.roles[role].as_ref().map(Special::content)
    }

    /// The special tokens, without duplicates, in transformers' order.
    fn specials(&self) -> impl Iterator<Item = &Special> {
        let mut names = HashSet::new();
        self.roles.iter().flatten().chain(&self.others).filter(move |special| names.insert(special.content()))
    }

    /// The id that transformers puts around texts if there is only a vocab.txt: the id of an added token in the files, or else in the
    /// vocabulary, or else the next
    /// free id. Inside a text the same token may have another id. `size` is the number of tokens in the vocabulary. Returns `None` for a token in no file.
    pub fn slow_id(&self, role: usize, in_vocabulary: impl Fn(&str) -> Option<u32>, size: u32) -> Option<u32> {
        let wanted = self.role(role)?;
        if let Some((id, _)) = self.decoder.iter().rfind(|(_, token)| token.content == wanted) {
            return u32::try_from(*id).ok();
        }
        let known = in_vocabulary(wanted);
        if known.is_some() || !self.is_said[role] {
            return known;
        }
        let more: HashSet<&str> = self.decoder.values().map(|token| token.content.as_str()).collect();
        let is_new = |content: &str| !content.is_empty() && in_vocabulary(content).is_none();
        let first = more.iter().filter(|content| is_new(content)).count();
        let missing =
            self.specials().map(Special::content).filter(|content| is_new(content) && !more.contains(content));
        let before = missing.take_while(|content| *content != wanted).count();
        size.checked_add(u32::try_from(first + before).ok()?)
    }

    /// The tokens to add to those of tokenizer.json: all that it does not have (`has`) with the same options.
    pub fn to_add(&self, has: impl Fn(&AddedToken) -> bool, has_content: impl Fn(&str) -> bool) -> Vec<AddedToken> {
        let specials: Vec<&Special> = self.specials().collect();
        let names: HashSet<&str> = specials.iter().map(|special| special.content()).collect();
        let mut tokens: Vec<AddedToken> = self.decoder.values().filter(|token| !has(token)).cloned().collect();
        let contents: HashSet<&str> = tokens.iter().map(|token| token.content.as_str()).collect();
        let keys: HashSet<_> = tokens.iter().map(AddedToken::key).collect();
        let missing = specials.iter().filter_map(|special| match special {
            Special::Name(name) if has_content(name) || contents.contains(name.as_str()) => None,
            Special::Name(name) => Some(AddedToken { content: name.clone(), special: true, ..AddedToken::default() }),
            Special::Token(token) => (!keys.contains(&token.key())).then(|| token.clone()),
        });
        let missing: Vec<_> = missing.collect();
        tokens.extend(missing);
        for token in &mut tokens {
            token.special |= names.contains(token.content.as_str());
        }
        tokens
    }
}

/// Indices into [`ROLES`].
pub(super) const UNK: usize = 2;
pub(super) const SEP: usize = 3;
pub(super) const PAD: usize = 4;
pub(super) const CLS: usize = 5;
pub(super) const MASK: usize = 6;

impl Class {
    /// The class that tokenizer_config.json names, or else config.json, or else BERT's own.
    fn new(files: &TokenizerFiles<'_>, config: &Map<String, Value>) -> Self {
        #[derive(Deserialize)]
        struct Model {
            tokenizer_class: Option<String>,
        }
        let named = config.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned);
        // Faults in config.json are reported by the code that reads all of it.
        let name = named.or_else(|| serde_json::from_slice::<Model>(files.model?).ok()?.tokenizer_class);
        // The general class cannot read a vocab.txt, so the file must mean BERT's.
        let general = ["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"];
        let is_bert = name.as_deref().is_none_or(|name| {
            let base = name.strip_suffix("Fast").unwrap_or(name);
            files.json.is_none() && general.contains(&name)
                || base.strip_suffix("Tokenizer").is_some_and(|base| BERTS.contains(&base))
        });
        let roles = match name.as_deref().map(|name| name.strip_suffix("Fast").unwrap_or(name)) {
            Some("BigBirdTokenizer") => Some(&BIG_BIRD),
            Some(
                "XLMRobertaTokenizer"
                | "CamembertTokenizer"
                | "BarthezTokenizer"
                | "MBartTokenizer"
                | "MBart50Tokenizer",
            ) => Some(&XLMR),
            _ => None,
        };
        Self { name, is_bert, roles }
    }
}

/// The key [`EXTRA`] of tokenizer_config.json.
#[derive(Deserialize)]
struct Extra {
    extra_special_tokens: Ordered,
}

/// The values of an object or an array in the order of the file. New tokens get their ids in this order, and a [`Map`] does not keep it.
struct Ordered(Vec<Value>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object or an array")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Ordered, A::Error> {
                let mut values = Vec::new();
                while let Some((IgnoredAny, value)) = map.next_entry()? {
                    values.push(value);
                }
                Ok(Ordered(values))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Ordered, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Ordered(values))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

/// The object in a file, or an empty one if there is no file.
fn object(file: &str, bytes: Option<&[u8]>) -> Result<Map<String, Value>> {
    bytes.map_or_else(|| Ok(Map::new()), |bytes| parse(file, checked(file, bytes)?))
}

fn wrong(file: &str, key: &str, should: &str) -> crate::Error {
    broken(file, format!("{} is not {should}", clip(key)), "Correct it, or remove the key")
}

/// A special token as a string or an object. In special_tokens_map.json (`is_map`) an object is always special.
fn special(file: &str, key: &str, value: Option<&Value>, is_map: bool) -> Result<Option<Special>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(Special::Name(name.clone()))),
        Some(value) => {
            let token = token(file, key, value)?;
            Ok(Some(Special::Token(AddedToken { special: token.special || is_map, ..token })))
        }
    }
}

fn token(file: &str, key: &str, value: &Value) -> Result<AddedToken> {
    let help = "Download or export the file again";
    AddedToken::deserialize(value).map_err(|e| broken(file, format!("{}: {}", clip(key), clip_message(&e)), help))
}
