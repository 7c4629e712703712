"""Writes tests/fixtures/unigram: Unigram tokenizers, small models with one, and what transformers makes of texts with them.

    python tests/oracle/unigram.py --tokenizer DIR      # a directory with XLM-R's tokenizer.json and tokenizer_config.json

`texts.json` has the sentences below. `xlmr/` is XLM-R's tokenizer with the pieces and the characters of its charsmap that the
tricky strings (tricky_strings.py) and the sentences use; `xlmr/tokens.json` has for each of these texts [ids, offsets], offsets in
code points, flattened. The script stops unless the whole tokenizer gives the same.

`small/` is a tokenizer of 143 pieces. `variants.json` has changes to its tokenizer.json, and what comes of some of the texts then:
[change, [[ids, offsets] of each text of `every`]].

`heads/NAME/` are models for `small/`, and `tasks.json` what the pipelines of transformers give: {task, head, input, options, result}.
"""

import argparse
import base64
import json
import shutil
import struct
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoTokenizer, BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification,
                          BertForTokenClassification, BertModel, logging, pipeline)

from tricky_strings import STRINGS

OUT = Path(__file__).parent.parent / "fixtures" / "unigram"
# Written for this test, a question and a passage a language.
SENTENCES = {
    "ar": ("أين تقع المكتبة القديمة؟", "تقع المكتبة القديمة قرب النهر، وقد بُنيت عام ١٨٩٢ على يد تاجر من المدينة."),
    "de": ("Wer leitete die Brauerei?", "Die Brauerei am Fluß wurde 1734 gegründet; später leitete sie Frau Müller-Größler über dreißig Jahre."),
    "el": ("Πότε άνοιξε το μουσείο;", "Το μουσείο άνοιξε το 1967 στο κέντρο της πόλης, δίπλα στην παλιά αγορά."),
    "en": ("What did the clerk carry?", "The clerk waited at the door and carried a lantern, because the street lamps weren't lit until 6:30 p.m."),
    "es": ("¿Dónde nació la pintora?", "La pintora nació en un pueblo pequeño de Aragón, donde su abuelo enseñaba música a los niños."),
    "hi": ("पुल किसने बनाया?", "यह पुल १९०३ में स्थानीय कारीगरों ने बनाया था और आज भी नदी पार करने के काम आता है।"),
    "ru": ("Кто построил мельницу?", "Мельницу построил купец Ёлкин в 1811 году, а подъезд к ней вымостили камнем."),
    "th": ("ตลาดเปิดกี่โมง", "ตลาดริมน้ำเปิดตั้งแต่หกโมงเช้าและขายผลไม้กับขนมพื้นบ้านทุกวันเสาร์"),
    "tr": ("Gemi nereye gitti?", "Gemi İstanbul'dan ayrılıp ışıklı limana doğru gitti; yolculuk üç gün sürdü."),
    "vi": ("Ngôi chùa ở đâu?", "Ngôi chùa cổ nằm trên ngọn đồi phía bắc thành phố và được xây vào thế kỷ mười lăm."),
    "zh": ("这座桥有多长？", "这座石桥建于一六〇五年，全长约三百二十米，桥上有四十四个石狮子。"),
    "ja": ("駅はどこにありますか。", "新しい駅は川の東側にあり、２０１９年に開業してから毎日一万人以上が利用しています。"),
    "ko": ("누가 등대를 지켰나요?", "등대는 1923년에 세워졌고 어부의 딸이 마흔 해 동안 그곳을 지켰습니다."),
    "he": ("מתי נפתח הגן?", "הגן הבוטני נפתח בשנת 1931, ובו צומחים יותר מאלפיים מיני צמחים מכל העולם."),
}
TEXTS = [text for pair in SENTENCES.values() for text in pair]
XLMR = dict(cls_token="<s>", sep_token="</s>", bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>")


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def lines(values):
    return "[\n" + ",\n".join(map(compact, values)) + "\n]\n"


def tokens(backend, text):
    found = backend.encode(text, add_special_tokens=False)
    return [found.ids, [at for pair in found.offsets for at in pair]]


def double_array(rules):
    """The rules as SentencePiece's precompiled_charsmap: the values' NUL-ended texts behind a Darts double array over the keys."""
    texts, values = b"", {}
    for key, value in sorted(rules.items()):
        values[key.encode() + b"\0"] = len(texts)
        texts += value.encode() + b"\0"
    units, used, bases = {}, {0}, set()

    def fill(node, keys, depth):
        groups = {}
        for key in keys:
            groups.setdefault(key[depth], []).append(key)
        low = node & 0xFF
        base = 256
        # Each node has a base of its own: a label says nothing about whose child it is.
        while base ^ low in bases or any((base ^ low ^ label) in used for label in groups):
            base += 256
        bases.add(base ^ low)
        used.update(base ^ low ^ label for label in groups)
        offset = (node ^ (base ^ low)) >> 8
        assert (node ^ (base ^ low)) & 0xFF == 0
        units[node] = units.get(node, 0) | offset << 10 | 1 << 9 | (1 << 8 if 0 in groups else 0)
        for label, inner in groups.items():
            child = base ^ low ^ label
            if label == 0:
                units[child] = 1 << 31 | values[inner[0]]
            else:
                units[child] = label
                fill(child, inner, depth + 1)

    fill(0, list(values), 0)
    size = max(units) + 256
    array = b"".join(struct.pack("<I", units.get(at, 0)) for at in range(size))
    return base64.b64encode(struct.pack("<I", len(array)) + array + texts).decode()


def clusters(text):
    """Every stretch that may be one grapheme cluster of up to five bytes, in which the charsmap is looked up."""
    return {text[at:at + n] for n in (1, 2, 3, 4, 5) for at in range(len(text)) if len(text[at:at + n].encode()) < 6 or n == 1}


def reduced(whole):
    """The tokenizer with what TEXTS and STRINGS use."""
    state = json.loads(whole.to_str())
    precompiled = normalizers.Precompiled(base64.b64decode(state["normalizer"]["normalizers"][0]["precompiled_charsmap"]))
    rules = {}
    for key in {key for text in TEXTS + STRINGS for key in clusters(text)}:
        value = precompiled.normalize_str(key)
        # Longer keys than one character matter where their first character is no key.
        alone = "".join(precompiled.normalize_str(c) for c in key)
        if value != key and (len(key) == 1 or value != alone):
            rules[key] = value
    state["normalizer"]["normalizers"][0]["precompiled_charsmap"] = double_array(rules)
    pieces = set()
    for text in TEXTS + STRINGS:
        for word, _ in whole.pre_tokenizer.pre_tokenize_str(whole.normalizer.normalize_str(text)):
            pieces |= {word[a:b] for a in range(len(word)) for b in range(a + 1, min(len(word), a + 16) + 1)}
    special = [token["content"] for token in state["added_tokens"]]
    kept = [(piece, score) for piece, score in state["model"]["vocab"] if piece in special or piece in pieces]
    ids = {piece: at for at, (piece, _) in enumerate(kept)}
    # The least score is that of all pieces: it is what unknown characters are measured by.
    least = min(score for _, score in state["model"]["vocab"])
    if min(score for _, score in kept) > least:
        kept.append(("\u2581\u2581least", least))
    state["model"]["vocab"] = kept
    for token in state["added_tokens"]:
        token["id"] = ids[token["content"]]
    assert [ids[name] for name in ("<s>", "</s>", "<unk>")] == [0, 2, 3]
    return state


def write_reduced(directory):
    auto = AutoTokenizer.from_pretrained(directory)
    whole = auto.backend_tokenizer
    whole.no_truncation()
    state = reduced(whole)
    write(OUT / "xlmr" / "tokenizer.json", compact(state) + "\n")
    write(OUT / "xlmr" / "tokenizer_config.json", compact({"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, **XLMR}) + "\n")
    small = AutoTokenizer.from_pretrained(OUT / "xlmr").backend_tokenizer
    found = []
    for text in TEXTS + STRINGS:
        ours, theirs = small.encode(text, add_special_tokens=False), whole.encode(text, add_special_tokens=False)
        assert (ours.tokens, ours.offsets) == (theirs.tokens, theirs.offsets), f"the whole tokenizer cuts {text!r} otherwise"
        found.append(tokens(small, text))
    write(OUT / "xlmr" / "tokens.json", lines(found))
    print(len(state["model"]["vocab"]), "pieces;", sum(len(ids) for ids, _ in found), "tokens")


def small_tokenizer():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(False, True)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    latin = [text for language in ("de", "en", "es", "tr") for text in SENTENCES[language]]
    trainer = trainers.UnigramTrainer(vocab_size=255, special_tokens=special, unk_token="<unk>", max_piece_length=8)
    tokenizer.train_from_iterator(latin + ["0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ"], trainer)
    tokenizer.add_special_tokens(["<mask>"])
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ids)
    return tokenizer


EVERY = 11


def variants(state):
    """Changes to tokenizer.json, section by section."""
    pieces = state["model"]["vocab"]
    metaspace = {"type": "Metaspace", "replacement": "\u2581"}
    fallback = {"type": "Unigram", "unk_id": 3, "byte_fallback": True, "vocab": pieces + [[f"<0x{b:02X}>", -9.5] for b in range(256)]}
    yield {"normalizer": None, "pre_tokenizer": None}
    yield {"normalizer": {"type": "NFKC"}, "pre_tokenizer": {**metaspace, "add_prefix_space": True}}
    yield {"normalizer": {"type": "NFD"}, "pre_tokenizer": {**metaspace, "prepend_scheme": "first", "split": True}}
    yield {"normalizer": {"type": "NFC"}, "pre_tokenizer": {**metaspace, "prepend_scheme": "never", "split": False}}
    yield {"normalizer": {"type": "Nmt"}, "pre_tokenizer": {"type": "WhitespaceSplit"}}
    yield {"model": fallback}
    yield {"model": {"vocab": pieces, "unk_id": 3}}
    yield {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "''"}, "content": '"'}, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
        {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        {"type": "Strip", "strip_left": True, "strip_right": True}]}}
    yield {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Prepend", "prepend": "\u2581"}]}}
    yield {"normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}}
    added = [{**token, "lstrip": token["content"] == "<mask>"} for token in state["added_tokens"]]
    extra = {"single_word": False, "lstrip": False, "rstrip": False, "special": False}
    added += [{**extra, "id": len(pieces) + 1, "content": "STRASSE", "normalized": True}, {**extra, "id": len(pieces) + 2, "content": "東京", "normalized": False},
              {**extra, "id": len(pieces) + 3, "content": "text", "normalized": True, "rstrip": True, "single_word": True}]
    yield {"added_tokens": added}


def random_model(cls, **changes):
    torch.manual_seed(7)
    config = BertConfig(vocab_size=260, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, max_position_embeddings=64, **changes)
    model = cls(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.normal_(0, 1.0 if "embedding" in name else 0.5)
                p.copy_(p.half())
    return model


HEADS = {
    "answer": (BertForQuestionAnswering, {}),
    "words": (BertForMaskedLM, {}),
    "classify": (BertForSequenceClassification, {"id2label": {0: "up", 1: "down", 2: "even"}, "label2id": {"up": 0, "down": 1, "even": 2}}),
    "tag": (BertForTokenClassification, {"id2label": {0: "O", 1: "B-X", 2: "I-X", 3: "B-Y"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2, "B-Y": 3}}),
    "embed": (BertModel, {}),
}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def tasks(dirs):
    tokenizer = AutoTokenizer.from_pretrained(dirs["answer"])
    latin = {language: SENTENCES[language] for language in ("de", "en", "es", "tr", "ru")}
    answering = pipeline("question-answering", model=str(dirs["answer"]), tokenizer=tokenizer)
    for question, context in latin.values():
        for options in ({"top_k": 3}, {"top_k": 2, "max_seq_len": 40, "doc_stride": 5}, {"top_k": 4, "align_to_words": False, "handle_impossible_answer": True}):
            yield "answer", "answer", {"question": question, "context": context}, options, answering(question=question, context=context, **options)
    filling = pipeline("fill-mask", model=str(dirs["words"]), tokenizer=tokenizer)
    for text in ("The clerk <mask> at the door.", "Die <mask>rei  <mask> am Fluß", "<mask>", "no space<mask>here", "La pintora \t<mask> nació"):
        yield "fill-mask", "words", text, {"top_k": 3}, filling(text, top_k=3)
    classifying = pipeline("text-classification", model=str(dirs["classify"]), tokenizer=tokenizer)
    long = " ".join(text for pair in latin.values() for text in pair)
    for text, pair in ((latin["en"][1], None), latin["de"], (long, None), (long, long), ("", None)):
        given = {"text": text, "text_pair": pair} if pair else text
        yield "classify", "classify", [text, pair], {}, classifying(given, top_k=None, truncation=True)
    for strategy in ("none", "simple", "first", "average", "max"):
        tagging = pipeline("token-classification", model=str(dirs["tag"]), tokenizer=tokenizer, aggregation_strategy=strategy)
        for text in (latin["en"][1][:60], latin["tr"][1][:60], "  Two  spaces,\nand a line\u3000wide ﬁne ☃☃ end"):
            yield "tag", "tag", text, {"aggregation": strategy}, tagging(text)
    model = BertModel.from_pretrained(dirs["embed"]).eval()
    for text in (latin["en"][1], latin["es"][0], "", "☃"):
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            yield "embed", "embed", text, {}, model(**inputs).last_hidden_state[0].mean(0).tolist()


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--tokenizer", type=Path, required=True)
    args = args.parse_args()
    logging.set_verbosity_error()
    shutil.rmtree(OUT, ignore_errors=True)
    write(OUT / "texts.json", lines(TEXTS))
    write_reduced(args.tokenizer)

    small = small_tokenizer()
    state = json.loads(small.to_str())
    write(OUT / "small" / "tokenizer.json", compact(state) + "\n")
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 64, "clean_up_tokenization_spaces": False, **XLMR}
    write(OUT / "small" / "tokenizer_config.json", compact(config) + "\n")
    assert small.get_vocab_size() <= 260, small.get_vocab_size()
    found = []
    for change in ({}, *variants(state)):
        backend = Tokenizer.from_str(json.dumps({**state, **change}))
        found.append([change, [tokens(backend, text) for text in (TEXTS + STRINGS)[::EVERY]]])
    write(OUT / "variants.json", lines(found))

    with tempfile.TemporaryDirectory() as temp:
        dirs = {}
        for name, (cls, changes) in HEADS.items():
            dirs[name] = Path(temp) / name
            random_model(cls, **changes).save_pretrained(dirs[name])
            shutil.copytree(dirs[name], OUT / "heads" / name)
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(OUT / "small" / file, dirs[name])
        made = [dict(zip(("task", "head", "input", "options", "result"), (a, b, c, d, rounded(e)))) for a, b, c, d, e in tasks(dirs)]
    write(OUT / "tasks.json", lines(made))
    print(sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
