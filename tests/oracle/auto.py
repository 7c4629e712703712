"""Writes tests/fixtures/auto.json: what AutoTokenizer makes of directories whose tokenizer files disagree, lack or differ.

    python tests/oracle/auto.py            # the same bytes every time

Each case is a directory, given as its files; `vocab` in a file stands for the list of tokens at the top, and of tokenizer.json only what
differs from `base` is given. What comes out: for each text the ids and offsets (code points) with special tokens, what it decodes to
with and without special tokens, for two texts as a pair ids and types, and the ids of truncated sequences. Each is a place in the
list of `values` for that text. Needs the packages of requirements.txt.
"""

import copy
import json
import tempfile
from pathlib import Path

from transformers import AutoTokenizer, logging

logging.set_verbosity_error()
OUT = Path(__file__).parent.parent / "fixtures" / "auto.json"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the cat sat on a mat coach ##es ##y x ##x ##c ##o ##a ##h caf ##e cafe café Café The Cat
e1 [ ] / ##1 ; , . ! 漢 字 漢字 ##字 dog dogs ##s <cls> <sep> <pad> <unk> <mask> b c""".split()
VOCAB = SPECIAL + WORDS
SIZE = len(VOCAB)
TEXTS = [
    "the cat sat on a mat.", "The Café, the cafe", "xcoachy coach Coach COACH", "a [E1] cat [/E1] sat", "a[E1]cat[/E1]", "[e1] cat [E1][E1]",
    "[CLS] the [SEP] a [MASK] [mask] [PAD][UNK]", "漢字 the 漢", "the <new> cat < new> <NEW>  <new>", "<cls> a <sep> <mask> <unk> <pad>", "", "dogs dog",
    "a   [E1]   [E2]\t[E2] b", "NewWord newword NEWWORD new word", "e\u0301 caf\u0065\u0301 CAFE\u0301", "the\u3000cat\u200bsat",
]  # fmt: skip
PAIRS = [("the cat", "a mat [E1]"), ("", "cat"), ("The [SEP] dog", "x")]


def added(content, id=0, **flags):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {**token, **flags}


def special(content, id, **flags):
    return added(content, id, special=True, **flags)


SPECIALS = [special(token, i) for i, token in enumerate(SPECIAL)]
NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}


def template(cls="[CLS]", sep="[SEP]", ids=(2, 3), second=1):
    token = lambda name, type: {"SpecialToken": {"id": name, "type_id": type}}
    text = lambda name, type: {"Sequence": {"id": name, "type_id": type}}
    first = [token(cls, 0), text("A", 0), token(sep, 0)]
    specials = {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in zip((cls, sep), ids)}
    pair = first + [text("B", second), token(sep, second)]
    return {"type": "TemplateProcessing", "single": first, "pair": pair, "special_tokens": specials}


def tokenizer(**sections):
    """tokenizer.json; a section given as `...` is left out."""
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": SPECIALS,
        "normalizer": NORMALIZER,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": "vocab"},
    }
    file.update(sections)
    return {name: section for name, section in file.items() if section is not ...}


def decoder(*tokens):
    """added_tokens_decoder of tokenizer_config.json."""
    return {str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in tokens}


def normalizer(**changes):
    return {**NORMALIZER, **changes}


BERT = {"tokenizer_class": "BertTokenizer"}
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
NAMES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
ANGLES = {"cls_token": "<cls>", "sep_token": "<sep>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
E = [special("[E1]", SIZE), special("[/E1]", SIZE + 1)]
NEW = added("<new>", SIZE, normalized=True)
COACH = added("coach", VOCAB.index("coach"))


def model_without(*names):
    return {key: value for key, value in tokenizer()["model"].items() if key not in names}


def cases():
    """name, tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json; vocab.txt where there is no tokenizer.json."""
    j = tokenizer
    yield "usual", j(), {**BERT, **NAMES, "do_lower_case": True, "added_tokens_decoder": decoder(*SPECIALS)}
    yield "tokenizer.json alone", j(), None
    yield "untyped model", j(model=model_without("type")), BERT
    yield "untyped normalizer", j(normalizer={k: v for k, v in NORMALIZER.items() if k != "type"}), BERT
    yield "untyped post-processor", j(post_processor={"sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}), BERT
    yield "untyped template", j(post_processor={k: v for k, v in template().items() if k != "type"}), BERT
    yield "BertProcessing", j(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}), BERT
    yield "normalizer called Bert", j(normalizer=normalizer(type="Bert")), BERT
    yield "no truncation, padding, version", j(truncation=..., padding=..., version=...), BERT
    yield "no decoder", j(decoder=...), BERT
    yield "decoder null", j(decoder=None), BERT
    yield "decoder without cleanup", j(decoder={"type": "WordPiece", "prefix": "##", "cleanup": False}), BERT
    yield "decoder of another prefix", j(decoder={"type": "WordPiece", "prefix": "@@", "cleanup": True}), BERT

    # The class's defaults win over the normalizer of tokenizer.json, whole.
    for name, changes in {
        "cased": {"lowercase": False},
        "no accents stripped": {"strip_accents": False},
        "accents stripped": {"strip_accents": True, "lowercase": False},
        "no chinese": {"handle_chinese_chars": False},
        "unclean": {"clean_text": False},
        "all": {"lowercase": False, "strip_accents": False, "handle_chinese_chars": False, "clean_text": False},
    }.items():
        for said, config in {
            "silent": BERT,
            "no file": None,
            "base class": FAST,
            "casing alone": {**BERT, "do_lower_case": False},
            "same": {**BERT, "do_lower_case": changes.get("lowercase", True), "strip_accents": changes.get("strip_accents")},
        }.items():
            yield f"normalizer {name}, config {said}", j(normalizer=normalizer(**changes)), config
    yield "class of config.json", j(normalizer=normalizer(lowercase=False)), None, None, None, {"tokenizer_class": "PreTrainedTokenizerFast"}
    yield "class of config.json, config silent", j(normalizer=normalizer(lowercase=False)), {"do_lower_case": True}, None, None, {"tokenizer_class": "PreTrainedTokenizerFast"}
    yield "fast class", j(normalizer=normalizer(lowercase=False)), {"tokenizer_class": "BertTokenizerFast"}
    yield "slow base class", j(normalizer=normalizer(lowercase=False)), {"tokenizer_class": "PreTrainedTokenizer"}
    for other in ["DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "ConvBertTokenizerFast", "LayoutLMTokenizer", "SqueezeBertTokenizer", "LxmertTokenizer", "RetriBertTokenizer"]:
        yield other, j(normalizer=normalizer(lowercase=False)), {"tokenizer_class": other}
    sequence = {"type": "Sequence", "normalizers": [normalizer(lowercase=False)]}
    yield "normalizer in a sequence", j(normalizer=sequence), BERT
    yield "normalizer in two sequences", j(normalizer={"type": "Sequence", "normalizers": [sequence]}), {**BERT, "do_lower_case": True}
    yield "normalizer Lowercase", j(normalizer={"type": "Lowercase"}), BERT
    yield "normalizer null", j(normalizer=None), FAST
    yield "no normalizer", j(normalizer=...), FAST
    yield "normalizer empty sequence", j(normalizer={"type": "Sequence", "normalizers": []}), BERT
    yield "pre-tokenizer in a sequence", j(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]}), BERT

    # Added tokens.
    yield "flags differ", j(added_tokens=SPECIALS + [COACH]), {**BERT, "added_tokens_decoder": decoder(*SPECIALS, {**COACH, "single_word": True})}
    yield "flags differ, no decoder", j(added_tokens=SPECIALS + [COACH]), {**BERT, **NAMES}
    yield "normalized differs", j(added_tokens=SPECIALS + [COACH]), {**BERT, "added_tokens_decoder": decoder({**COACH, "normalized": True})}
    yield "normalized differs, the other way", j(added_tokens=SPECIALS + [{**COACH, "normalized": True}]), {**BERT, "added_tokens_decoder": decoder(COACH)}
    yield "special differs", j(added_tokens=SPECIALS + [COACH]), {**BERT, "added_tokens_decoder": decoder({**COACH, "special": True})}
    yield "special differs, the other way", j(added_tokens=SPECIALS + [{**COACH, "special": True, "lstrip": True}]), {**BERT, "added_tokens_decoder": decoder(COACH)}
    yield "stripping differs", j(added_tokens=SPECIALS + E), {**BERT, "added_tokens_decoder": decoder({**E[0], "lstrip": True}, {**E[1], "rstrip": True})}
    yield "only in the decoder", j(), {**BERT, "added_tokens_decoder": decoder(*SPECIALS, *E, NEW | {"id": SIZE + 2})}
    yield "decoder ids differ", j(), {**BERT, "added_tokens_decoder": decoder(E[0] | {"id": 900}, E[1] | {"id": 70}, NEW | {"id": 1000})}
    yield "decoder ids by number", j(), {**BERT, "added_tokens_decoder": decoder(E[0] | {"id": 100}, E[1] | {"id": 99}, NEW | {"id": 1000})}
    yield "decoder without flags", j(), {**BERT, "added_tokens_decoder": {str(SIZE): {"content": "NewWord"}, str(SIZE + 1): {"content": "[E1]", "special": True}}}
    yield "tokenizer.json ids differ", j(added_tokens=SPECIALS + [E[0] | {"id": 200}, E[1] | {"id": 100}]), BERT
    yield "ids of another token", j(added_tokens=SPECIALS + [E[0] | {"id": 7}]), BERT
    yield "twice in tokenizer.json", j(added_tokens=SPECIALS + [COACH, {**COACH, "single_word": True}]), BERT
    yield "twice, normalized and not", j(added_tokens=SPECIALS + [{**COACH, "normalized": True}, COACH | {"lstrip": True}]), BERT
    yield "added token empty", j(added_tokens=SPECIALS + [added("", SIZE), E[0]]), BERT
    yield "added token is normalized by the file", j(normalizer=normalizer(lowercase=False), added_tokens=SPECIALS + [added("NewWord", SIZE, normalized=True)]), BERT
    yield "added token is normalized", j(added_tokens=SPECIALS + [added("NewWord", SIZE, normalized=True)]), BERT
    yield "two normalize to one", j(added_tokens=SPECIALS + [added("NEWWORD", SIZE, normalized=True), added("newword", SIZE + 1, normalized=True)]), BERT
    yield "no added_tokens", j(added_tokens=[]), BERT
    yield "no added_tokens, base class", j(added_tokens=[]), {**FAST, **NAMES}
    yield "no added_tokens, no names", j(added_tokens=[]), FAST
    yield "names as AddedToken", j(added_tokens=[]), {**BERT, "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": True}}
    yield "additional special tokens", j(), {**BERT, "additional_special_tokens": ["[E1]", "[/E1]"]}
    yield "additional special tokens as AddedToken", j(), {**BERT, "additional_special_tokens": [{"__type": "AddedToken", "content": "[E1]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}]}
    yield "additional and decoder", j(), {**BERT, "additional_special_tokens": ["[/E1]", "[E1]"], "added_tokens_decoder": decoder(*SPECIALS, E[0])}
    yield "extra special tokens", j(), {**BERT, "extra_special_tokens": {"first_token": "[E1]", "last_token": "[/E1]"}}
    yield "bos and eos", j(), {**BERT, "bos_token": "<cls>", "eos_token": "[E1]"}
    yield "split special tokens", j(added_tokens=SPECIALS + E), {**BERT, "split_special_tokens": True}
    yield "map, decoder", j(), {**BERT, "added_tokens_decoder": decoder(*SPECIALS)}, {"additional_special_tokens": ["[E1]"]}
    yield "map, no decoder", j(), BERT, {**NAMES, "additional_special_tokens": ["[E1]", {"content": "[/E1]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}]}
    yield "map and config", j(), {**BERT, "additional_special_tokens": ["[/E1]"], "cls_token": "[CLS]"}, {"cls_token": "<cls>", "additional_special_tokens": ["[E1]"]}
    yield "map with flags", j(), BERT, {"mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}}
    yield "map with flags, in tokenizer.json otherwise", j(added_tokens=SPECIALS + E), BERT, {"additional_special_tokens": [{**{k: v for k, v in E[0].items() if k not in ("id", "special")}, "lstrip": True}]}
    yield "added_tokens.json", j(), BERT, None, {"[E1]": SIZE, "[/E1]": SIZE + 1}
    yield "added_tokens.json, decoder", j(), {**BERT, "added_tokens_decoder": decoder(*SPECIALS)}, None, {"[E1]": SIZE, "[/E1]": SIZE + 1}
    yield "added_tokens.json and tokenizer.json", j(added_tokens=SPECIALS + E), BERT, {"additional_special_tokens": ["[E1]"]}, {"[E1]": SIZE, "[/E1]": SIZE + 1, "NewWord": SIZE + 2}
    yield "vocabulary with holes", j(model={**tokenizer()["model"], "vocab": "holes"}, added_tokens=SPECIALS + E), BERT

    # Special tokens that differ.
    yield "names differ", j(added_tokens=SPECIALS + [special("<mask>", VOCAB.index("<mask>"))]), {**BERT, **ANGLES}
    yield "names and template differ", j(post_processor=template("<cls>", "<sep>", (VOCAB.index("<cls>"), VOCAB.index("<sep>")))), {**BERT, **ANGLES}
    yield "template alone", j(post_processor=template("<cls>", "<sep>", (VOCAB.index("<cls>"), VOCAB.index("<sep>")))), BERT
    yield "template's ids differ", j(post_processor=template(ids=(7, 8))), BERT
    yield "BertProcessing's ids differ", j(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 9], "cls": ["[CLS]", 8]}), BERT
    yield "second text of type 0", j(post_processor=template(second=0)), BERT
    yield "padding names the pad token", j(padding={"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}), FAST
    yield "truncation left in tokenizer.json", j(truncation={"direction": "Left", "max_length": 7, "strategy": "LongestFirst", "stride": 0}), BERT
    yield "truncation_side left", j(), {**BERT, "truncation_side": "left"}
    yield "truncation_side right, left in tokenizer.json", j(truncation={"direction": "Left", "max_length": 7, "strategy": "LongestFirst", "stride": 0}), {**BERT, "truncation_side": "right"}
    yield "no token types", j(), {**BERT, "model_input_names": ["input_ids", "attention_mask"]}
    yield "token types", j(), {**BERT, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    yield "max_len", j(), {**BERT, "max_len": 6}
    yield "clean up", j(decoder=None), {**BERT, "clean_up_tokenization_spaces": True}
    yield "names null", j(), {**BERT, "mask_token": None, "additional_special_tokens": None}

    # vocab.txt.
    yield "vocab", None, {**BERT, **NAMES}
    yield "vocab alone", None, None
    yield "vocab cased", None, {**BERT, "do_lower_case": False}
    yield "vocab, no basic tokenizer", None, {**BERT, "do_basic_tokenize": False}
    yield "vocab, accents", None, {**BERT, "strip_accents": False, "tokenize_chinese_chars": False}
    yield "vocab, legacy", None, {"do_lower_case": True}, {**NAMES, "additional_special_tokens": ["[E1]", "[/E1]"]}, {"[E1]": SIZE, "[/E1]": SIZE + 1}
    yield "vocab, added_tokens.json", None, BERT, None, {"[E1]": SIZE, "NewWord": SIZE + 1}
    yield "vocab, added_tokens.json, other order", None, BERT, None, {"NewWord": SIZE + 1, "[E1]": SIZE}
    yield "vocab, added_tokens.json, ids beyond", None, BERT, None, {"[E1]": SIZE + 10, "NewWord": SIZE + 5}
    yield "vocab, added_tokens.json of known tokens", None, BERT, None, {"coach": 11, "[MASK]": 4}
    yield "vocab, additional", None, {**BERT, "additional_special_tokens": ["[E1]", "[/E1]"]}
    yield "vocab, decoder", None, {**BERT, "added_tokens_decoder": decoder(*SPECIALS, *E, NEW | {"id": SIZE + 2})}
    yield "vocab, decoder and map", None, {**BERT, "added_tokens_decoder": decoder(E[0])}, {"additional_special_tokens": ["[/E1]"]}, {"NewWord": SIZE}
    yield "vocab, names", None, {**BERT, **ANGLES}
    yield "vocab, names in the map", None, BERT, ANGLES
    yield "vocab, unknown names", None, {**BERT, "cls_token": "<s>", "sep_token": "</s>", "mask_token": "[E1]"}
    yield "vocab, unknown names and added", None, {**BERT, "cls_token": "<s>"}, None, {"<s>": SIZE + 1, "NewWord": SIZE}
    yield "vocab, config.json's class", None, None, None, None, {"tokenizer_class": "BertTokenizer"}
    yield "vocab, DistilBert", None, {"tokenizer_class": "DistilBertTokenizer"}
    yield "vocab, Electra", None, {"tokenizer_class": "ElectraTokenizerFast", "do_lower_case": False}


VOCABS = {"vocab": {token: id for id, token in enumerate(VOCAB)}, "holes": {token: id + (5 if id > 20 else 0) for id, token in enumerate(VOCAB)}}


def run(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    out = {"texts": [], "pairs": [], "decoded": [], "cut": []}
    for text in TEXTS:
        got = tokenizer(text, return_offsets_mapping=True)
        out["texts"].append([got["input_ids"], [at for pair in got["offset_mapping"] for at in pair]])
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        out["decoded"].append([tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)])
    for text, pair in PAIRS:
        got = tokenizer(text, pair)
        out["pairs"].append([got["input_ids"], got.get("token_type_ids") or [0] * len(got["input_ids"])])
    for args in [("the cat sat on a mat", None), ("the cat sat", "on a mat dog"), ("the cat sat on a mat", "a dog")]:
        out["cut"].append(tokenizer(*args, truncation=True, max_length=6)["input_ids"])
    mask = tokenizer.mask_token
    out["mask"] = None if mask is None else tokenizer.convert_tokens_to_ids(mask)
    longest = tokenizer.model_max_length
    out["max"] = longest if longest < 1e9 else None
    return out


def files(case):
    name, json_, config, specials, added_tokens, model = (*case, None, None, None, None)[:6]
    model = {"model_type": "bert", "vocab_size": SIZE + 20, **(model or {})}
    out = {"config.json": model}
    if json_ is None:
        out["vocab.txt"] = "vocab"
    else:
        out["tokenizer.json"] = copy.deepcopy(json_)
    named = {"tokenizer_config.json": config, "special_tokens_map.json": specials, "added_tokens.json": added_tokens}
    return name, out | {file: content for file, content in named.items() if content is not None}


def main():
    # Most directories give the same for most texts, so each value is written once and referred to by its place.
    values = {}

    def place(key, at, value):
        known = values.setdefault(key, [[] for _ in range(at + 1)])
        known.extend([] for _ in range(at + 1 - len(known)))
        if value not in known[at]:
            known[at].append(value)
        return known[at].index(value)

    lines, base = [], tokenizer()
    for case in cases():
        name, contents = files(case)
        with tempfile.TemporaryDirectory() as directory:
            for file, content in copy.deepcopy(contents).items():
                if file == "vocab.txt":
                    content = "".join(token + "\n" for token in VOCAB)
                else:
                    if file == "tokenizer.json":
                        content["model"]["vocab"] = VOCABS[content["model"]["vocab"]]
                    content = json.dumps(content)
                (Path(directory) / file).write_text(content, encoding="utf-8")
            # AutoTokenizer must load every one of them.
            out = run(directory)
        for key in ("texts", "pairs", "decoded", "cut"):
            out[key] = [place(key, at, value) for at, value in enumerate(out[key])]
        if "tokenizer.json" in contents:
            file = contents.pop("tokenizer.json")
            contents["tokenizer.json"] = {key: value for key, value in file.items() if value != base[key]}
            contents["left out"] = [key for key in base if key not in file]
        lines.append(json.dumps({"name": name, "files": contents, **out}, ensure_ascii=False, separators=(",", ":")))
    shared = {"vocabs": VOCABS, "texts": TEXTS, "pairs": PAIRS, "base": base, "values": values}
    shared = json.dumps(shared, ensure_ascii=False, separators=(",", ":"))
    OUT.write_text("[\n" + ",\n".join([shared, *lines]) + "\n]\n", encoding="utf-8")
    print(f"{len(lines)} directories")


if __name__ == "__main__":
    main()
