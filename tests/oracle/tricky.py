"""Writes tests/fixtures/tricky: how transformers' fast tokenizer cuts odd strings with three of BERT's own vocabularies.

    python tests/oracle/tricky.py --vocabularies DIR         # DIR/bert-base-uncased/vocab.txt and so on

`strings.json` is the list of texts (tricky_strings.py), and NAME/tokens.json has for each of them [ids, offsets], without
[CLS] and [SEP], offsets in code points, flattened.

The vocabularies are too large to be kept here. NAME/vocab.txt has, in the original's order, the special tokens and every
entry that is a piece of any word of the strings, with and without `##`, be the word taken as it stands, normalised, lower
case or decomposed: more than a correct tokenizer looks at, so that a wrong one finds its wrong tokens. The script stops
unless the whole vocabulary gives the same tokens and offsets for every string.
"""

import argparse
import json
import re
import unicodedata
from pathlib import Path

from transformers import BertTokenizerFast

from tricky_strings import STRINGS

OUT = Path(__file__).parent.parent / "fixtures" / "tricky"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Whether the original lower-cases.
VOCABULARIES = {"bert-base-uncased": True, "bert-base-multilingual-cased": False, "bert-base-chinese": False}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def words(backend, text):
    """Whatever may stand between two cuts, in every form that a tokenizer might give it."""
    texts = [text, *re.split("|".join(map(re.escape, SPECIAL)), text)]
    texts += [backend.normalizer.normalize_str(t) for t in texts]
    texts += [unicodedata.normalize(form, t) for t in texts for form in ("NFC", "NFD", "NFKC")]
    texts += [t.lower() for t in texts]
    return {word for t in texts for word, _ in backend.pre_tokenizer.pre_tokenize_str(t)}


def reduced(backend, vocabulary):
    longest = max(map(len, vocabulary))
    pieces = set()
    for word in {word for text in STRINGS for word in words(backend, text)}:
        for start in range(len(word)):
            pieces |= {word[start:end] for end in range(start + 1, min(start + longest, len(word)) + 1)}
    return [t for t in vocabulary if t in SPECIAL or t in pieces or t.removeprefix("##") in pieces]


def cut(tokenizer):
    for text in STRINGS:
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        yield found["input_ids"], found.tokens(), [at for pair in found["offset_mapping"] for at in pair]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--vocabularies", type=Path, required=True)
    args = args.parse_args()

    assert len(STRINGS) >= 200
    write(OUT / "strings.json", "[\n" + ",\n".join(map(compact, STRINGS)) + "\n]\n")
    for name, lower in VOCABULARIES.items():
        full = args.vocabularies / name / "vocab.txt"
        whole = BertTokenizerFast(str(full), do_lower_case=lower)
        vocabulary = sorted(whole.get_vocab(), key=whole.get_vocab().get)
        kept = reduced(whole.backend_tokenizer, vocabulary)
        write(OUT / name / "vocab.txt", "".join(token + "\n" for token in kept))
        config = {"do_lower_case": lower, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
        write(OUT / name / "tokenizer_config.json", json.dumps(config) + "\n")

        tokenizer = BertTokenizerFast.from_pretrained(OUT / name)
        assert len(tokenizer) == len(kept)
        lines, count, unknown = [], 0, 0
        for text, (ids, tokens, offsets), (_, theirs, their_offsets) in zip(STRINGS, cut(tokenizer), cut(whole), strict=True):
            assert (tokens, offsets) == (theirs, their_offsets), f"{name}: the whole vocabulary cuts {text!r} otherwise"
            lines.append(compact([ids, offsets]))
            count += len(ids)
            unknown += tokens.count("[UNK]")
        write(OUT / name / "tokens.json", "[\n" + ",\n".join(lines) + "\n]\n")
        print(f"{name}: {len(kept)} of {len(vocabulary)} entries; {count} tokens, {unknown} unknown")
    size = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(STRINGS)} strings, {size} bytes")


if __name__ == "__main__":
    main()
