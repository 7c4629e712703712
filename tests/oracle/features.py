"""What transformers' example scripts make of data: windows with answer positions (run_qa.py), words with tags (run_ner.py).

    python tests/oracle/features.py

The preparation is written down here as those scripts of transformers 4.57 describe it, on the fast tokenizer.
"""

import json
import pathlib
import random

from transformers import BertTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "minilm-l6-qa"
ANSWERS = ROOT / "tests" / "fixtures" / "answers"
OUT = ROOT / "tests" / "fixtures" / "train"


def windows(tokenizer, question, context, answer, length, stride):
    """`answer` is (start, end) in code points, or None."""
    encoded = tokenizer(
        question, context, truncation="only_second", max_length=length, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )
    found = []
    for i, ids in enumerate(encoded["input_ids"]):
        offsets, sequence = encoded["offset_mapping"][i], encoded.sequence_ids(i)
        inside = [t for t, s in enumerate(sequence) if s == 1]
        first, last = inside[0], inside[-1]
        span = [0, 0]
        if answer and offsets[first][0] <= answer[0] and offsets[last][1] >= answer[1]:
            while first < len(offsets) and sequence[first] == 1 and offsets[first][0] <= answer[0]:
                first += 1
            while last >= 0 and sequence[last] == 1 and offsets[last][1] >= answer[1]:
                last -= 1
            span = [first - 1, last + 1]
        found.append({"ids": ids, "types": encoded["token_type_ids"][i], "span": span})
    return found


def tags(tokenizer, words, names, classes, length):
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=length)
    labels, before = [], None
    for word in encoded.word_ids():
        labels.append(None if word is None or word == before else classes.index(names[word]))
        before = word
    return {"ids": encoded["input_ids"], "labels": labels}


def main():
    tokenizer = BertTokenizerFast.from_pretrained(MODEL)
    contexts = json.loads((ANSWERS / "answers.json").read_text(encoding="utf-8"))["contexts"]
    rng = random.Random(4)
    questions = []
    for name, context in sorted(contexts.items()):
        for length, stride in [(384, 128), (48, 16)]:
            start = rng.randrange(len(context))
            end = min(len(context), start + rng.randrange(1, 40))
            # The file's form: an answer is neither empty nor white space at its ends.
            while start < end and context[start].isspace():
                start += 1
            while end > start and context[end - 1].isspace():
                end -= 1
            if start == end:
                continue
            question = "What is said there?"
            for answer in [(start, end), None]:
                questions.append({
                    "question": question, "context": context, "answer": answer, "length": length, "stride": stride,
                    "windows": windows(tokenizer, question, context, answer, length, stride),
                })
    classes = ["B-loc", "B-per", "I-loc", "O"]
    sentences = []
    for words, names, length in [
        (["Zoë", "Müller's", "café", "in", "New", "York", "!"], ["B-per", "O", "O", "O", "B-loc", "I-loc", "O"], 64),
        (["unbelievable", "Kilimanjaro", "@paulwalk", "...", "東京"], ["O", "B-loc", "B-per", "O", "B-loc"], 64),
        (["unbelievable", "Kilimanjaro", "@paulwalk", "...", "東京"], ["O", "B-loc", "B-per", "O", "B-loc"], 7),
        (["unbelievable", "Kilimanjaro", "@paulwalk", "...", "東京"], ["O", "B-loc", "B-per", "O", "B-loc"], 6),
        (["a", "\u200b", "b"], ["O", "O", "B-per"], 64),
        (["one"], ["B-per"], 64),
    ]:
        sentences.append({"words": words, "tags": names, "length": length, **tags(tokenizer, words, names, classes, length)})
    OUT.mkdir(exist_ok=True)
    out = {"questions": questions, "classes": classes, "sentences": sentences}
    (OUT / "features.json").write_text(json.dumps(out, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
