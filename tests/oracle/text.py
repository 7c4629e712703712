"""Writes the text fixtures: what transformers' fast tokenizer and question answering pipeline make of awkward text.

    python tests/oracle/text.py            # into tests/fixtures/text, the same bytes every time

No model is needed. `uncased/`, `cased/`, `plain/` are vocab.txt tokenizers with different casing, `json/` is a tokenizer.json
with truncation, padding and added tokens of every kind; all share a vocabulary made for these texts. `tokens.json` has
each text's ids, offsets (code points, flattened) and words under each tokenizer. `decode.json` has contexts, made-up
logits for every window, and the pipeline's answers to them. Needs the packages of requirements.txt.
"""

import json
import random
import unicodedata
from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast, pipeline
from transformers.modeling_outputs import QuestionAnsweringModelOutput

OUT = Path(__file__).parent.parent / "fixtures" / "text"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the cat sat on a mat un ##believ ##able ##s ##ing run runn hello hel ##lo world wor ##ld naive na ##ive cafe ca ##fe
Hello World Paris paris in 19 ##84 20 ##24 don ' t . , ? ! - 漢 字 東 京 strasse ##sse stra ##ß ##e istanbul new york New York
who where when was born Ada ada Love love ##lace lace lived London london ##on lond river rivers""".split()
# A character of each kind that a normaliser, a pre-tokenizer or an offset can trip over.
ODD = [
    "\0", "\t", "\n", "\r", "\r\n", "\x0b", "\x1c", "\x7f", "\x85", "\xa0", "\xad", "\u0300", "\u0301", "\u0308\u0301", "\u0345",
    "\u034f", "\u0488", "\u061c", "\u180e", "\u2003", "\u200b", "\u200c", "\u200d", "\u200e", "\u2028", "\u2029", "\u202e", "\u2060",
    "\u3000", "\ufe0f", "\ufeff", "\ufffd", "\uffff", "\ue000", "\U000e0001", "\U0010ffff", "é", "É", "ß", "ẞ", "İ", "ı", "ǅ", "ﬁ",
    "Σ", "ς", "Å", "ạ̈", "ё", "й", "가", "각", "한글", "が", "カ", "ｶﾞ", "漢", "々", "〆", "𠀀", "豈", "丽", "。", "「", "ं", "क्षि", "ไทย", "ภาษา",
    "שָׁלוֹם", "مُحَمَّد", "ﷺ", "😀", "👨‍👩‍👧", "🇩🇪", "1️⃣", "👍🏽", "𝔄", "①", "½", "Ⅷ", "€", "©", "°", "¿", "—", "…", "‘", "”", "‰", "_", "`", "^",
    "|", "\\", "～", "＿", "[SEP]", "[MASK]", "[CLS]", "[sep]", "[UNK]", "##s", "\u1e9b\u0323", "Ǆ", "ŉ", "ΐ", "և",
]  # fmt: skip
TEXTS = [
    "", " ", "\u200b", "Hello world", "hello, world! don't", "  The   cats\tsat\r\non the mat.  ", "unbelievable", "UNBELIEVABLE running",
    "naïve café NAÏVE CAFÉ", "nai\u0308ve cafe\u0301", "Straße STRASSE", "İstanbul ıstanbul", "東京漢字 in 1984", "Paris,東京", "a-b_c.d/e",
    "x" * 100, "x" * 101, "é" * 101, "e\u0301" * 51, "1984-2024", "[CLS] the [SEP] cat [MASK]", "[CLS][SEP]", "the[SEP]cat", "##s ##ing",
    "👩‍🚀 hello 👩‍🚀world", "שלום hello עולם", "مرحبا بالعالم", "Ada Lovelace lived in London.", "\u202ehello\u202c world", "a\u0300\u0301\u0302b",
    "\ufeffhello", "hello\ufeff", "ΟΔΟΣ Σ ΣΑΣ", "ǄUNGLA", "ﬁnd ﬂow", "Ⅷ ½ ①", "don’t “quote” …", "tab\tnewline\nreturn\rend", "\r\n\r\n",
    "the\u00a0cat", "the\u3000cat", "the\u2028cat", "the\x00cat", "the\x7fcat", "the\u00adcat", "🇩🇪🇫🇷", "1️⃣2️⃣", "𝕳𝖊𝖑𝖑𝖔", "한국어 문장", "ひらがなカタカナ",
    "MIXED漢case字TEXT", "New York <new> thing <new>", "a <left>  b", "a  <right> b <both> c", "swordword sword word", "ΝΟΡΜ norm Norm",
]  # fmt: skip


def texts():
    out = list(TEXTS)
    for odd in ODD:
        out += [f"the{odd}cat {odd} {odd}{odd}Hello{odd}"]
    random.seed(7)
    pieces = ODD + WORDS + [" "] * 60
    out += ["".join(random.choices(pieces, k=random.randint(2, 24))) for _ in range(60)]
    return list(dict.fromkeys(out))


def vocabulary():
    """The special tokens, words, and single characters as word and as continuation; some are left out, to be unknown."""
    chars = set()
    for text in texts() + WORDS + [chr(c) for c in range(33, 127)]:
        for form in (text, text.lower(), unicodedata.normalize("NFD", text), unicodedata.normalize("NFD", text).lower()):
            chars |= set(form)
    chars = [c for c in sorted(chars) if not c.isspace() and unicodedata.category(c)[0] != "C" and (ord(c) < 127 or ord(c) % 5)]
    return list(dict.fromkeys(SPECIAL + WORDS + chars + ["##" + c for c in chars if c.isalnum() or ord(c) % 2]))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def tokenizers():
    vocab = "".join(token + "\n" for token in vocabulary())
    configs = {
        "uncased": {"do_lower_case": True},
        "cased": {"do_lower_case": False},
        "plain": {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
    }
    for name, config in configs.items():
        config = {**config, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
        write(OUT / name / "vocab.txt", vocab)
        write(OUT / name / "tokenizer_config.json", json.dumps(config) + "\n")
    out = {name: BertTokenizerFast.from_pretrained(OUT / name) for name in configs}

    tokenizer = BertTokenizerFast.from_pretrained(OUT / "uncased")
    added = [
        AddedToken("<new>", normalized=False),
        AddedToken("<new> thing", normalized=False),
        AddedToken("<left>", normalized=False, lstrip=True),
        AddedToken("<right>", normalized=False, rstrip=True),
        AddedToken("<both>", normalized=False, lstrip=True, rstrip=True),
        AddedToken("word", normalized=False, single_word=True),
        AddedToken("Norm", normalized=True),
    ]
    tokenizer.add_tokens(added)
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokenizer.backend_tokenizer.enable_padding(length=4, pad_id=0, pad_token="[PAD]")
    write(OUT / "json" / "tokenizer.json", tokenizer.backend_tokenizer.to_str())
    out["json"] = BertTokenizerFast.from_pretrained(OUT / "json")
    return out


def tokens(tokenizers):
    lines = []
    for text in texts():
        entry = {"text": text}
        for name, tokenizer in tokenizers.items():
            encoding = tokenizer(text, add_special_tokens=False, padding=False, truncation=False, return_offsets_mapping=True)
            offsets = [at for pair in encoding["offset_mapping"] for at in pair]
            entry[name] = [encoding["input_ids"], offsets, encoding.word_ids(0)]
        lines.append(json.dumps(entry, separators=(",", ":")))
    write(OUT / "tokens.json", "[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} texts")


# Context, question, pipeline options, how far apart the logits are.
LONG = "The cats sat on the mat in Paris. Hello world, naïve café! Who lived in London? Ada Lovelace lived in London, 1984. "
CASES = [
    ("Ada Lovelace lived in London.", "Who lived in London?", {}, 3.0),
    ("Ada Lovelace lived in London.", "Who lived in London?", {"top_k": 5}, 3.0),
    ("Ada Lovelace lived in London.", "Who lived in London?", {"top_k": 5, "align_to_words": False}, 3.0),
    ("Ada Lovelace lived in London.", "Who?", {"top_k": 40}, 2.0),
    ("Ada Lovelace lived in London.", "Who?", {"top_k": 3, "max_answer_len": 1}, 2.0),
    ("Ada Lovelace lived in London.", "Who?", {"top_k": 4, "handle_impossible_answer": True}, 1.0),
    ("Ada Lovelace lived in London.", "Who [CLS] lived [SEP] where?", {"top_k": 4, "handle_impossible_answer": True}, 1.0),
    ("The [CLS] cat [SEP] sat [CLS].", "Who?", {"top_k": 6}, 1.0),
    ("cat", "cat?", {}, 1.0),
    ("cat", "cat?", {"handle_impossible_answer": True, "top_k": 2}, 4.0),
    ("Paris paris PARIS Paris paris", "where?", {"top_k": 3}, 0.5),
    ("İstanbul i̇stanbul ISTANBUL", "where?", {"top_k": 5}, 0.5),
    ("ΟΔΟΣ οδος οδοσ", "where?", {"top_k": 5}, 0.5),
    ("unbelievable unbelievables, running rivers", "what?", {"top_k": 8}, 1.0),
    ("unbelievable unbelievables, running rivers", "what?", {"top_k": 8, "align_to_words": False}, 1.0),
    ("👨‍👩‍👧 lived in 東京\r\nnot\tin\u200b Paris\u0301 café", "where?", {"top_k": 6}, 1.0),
    ("e\u0301e\u0301 cafe\u0301! 🇩🇪 \ufeffLondon\u202e שלום", "where?", {"top_k": 6}, 1.0),
    (LONG, "Who lived in London?", {"max_seq_len": 24, "doc_stride": 8}, 3.0),
    (LONG, "Who lived in London?", {"max_seq_len": 24, "doc_stride": 0, "top_k": 6}, 2.0),
    (LONG, "Who lived in London?", {"max_seq_len": 20, "doc_stride": 10, "top_k": 10}, 2.0),
    (LONG, "Who?", {"max_seq_len": 9, "doc_stride": 3, "top_k": 7}, 2.0),
    (LONG, "Who?", {"max_seq_len": 9, "doc_stride": 3, "top_k": 7, "align_to_words": False}, 2.0),
    (LONG, "Who?", {"max_seq_len": 16, "doc_stride": 6, "handle_impossible_answer": True, "top_k": 5}, 2.0),
    (LONG * 2, "Who?", {"max_seq_len": 64, "top_k": 20, "max_answer_len": 40}, 5.0),
    (LONG * 2, "Who?", {"max_seq_len": 64, "top_k": 1, "align_to_words": False}, 8.0),
    (LONG * 3, "Who?", {"max_seq_len": 100, "doc_stride": 20, "top_k": 3, "max_answer_len": 2}, 12.0),
]  # fmt: skip


def decode(tokenizer):
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    model = BertForQuestionAnswering(config)
    logits, spread = [], 1.0

    def forward(input_ids=None, attention_mask=None, token_type_ids=None):
        # Three decimals keep the file small and are the same F32 wherever they are read.
        start, end = ((torch.randn(1, input_ids.shape[1]) * spread * 1000).round() / 1000 for _ in "se")
        logits.append([[round(x, 3) for x in t[0].tolist()] for t in (start, end)])
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end)

    model.forward = forward
    answer = pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    lines = []
    for i, (context, question, options, spread) in enumerate(CASES):
        torch.manual_seed(i)
        logits.clear()
        answers = answer(question=question, context=context, **options)
        answers = answers if isinstance(answers, list) else [answers]
        # What the pipeline fills up with where there are fewer spans than asked for.
        answers = [a for a in answers if a["score"] > 0]
        entry = {"context": context, "question": question, "options": options, "logits": list(logits), "answers": answers}
        lines.append(json.dumps(entry, separators=(",", ":")))
    write(OUT / "decode.json", "[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} decodings")


if __name__ == "__main__":
    all_tokenizers = tokenizers()
    tokens(all_tokenizers)
    decode(all_tokenizers["uncased"])
