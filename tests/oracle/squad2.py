"""Writes tests/fixtures/squad2/: a SQuAD 2.0 file, and what transformers' own SQuAD code makes of given logits.

    python tests/oracle/squad2.py --data dev-v1.1.json

`dev.json` has six short passages of the data, each with a question of its own and, unanswerable, one of the next passage.
`expected.json` has

    vocab        the directory of the tokenizer, from the repository's root
    max_seq_len, doc_stride (tokens that windows share), max_answer_tokens, n_best
    logits       for each question its windows, each [start logits, end logits], a number a token, random and with many ties
    decoded      {version_2, threshold, predictions, nbest, null_odds, figures}, by transformers.data.metrics.squad_metrics
    metrics      sets of [prediction, gold answers, null odds] and their figures, by the same module's squad_evaluate

Figures are of the predictions as they are: the script's own threshold on null odds is the one they were made with, or none.
Needs the packages of encoder.py.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

from transformers import AutoTokenizer
from transformers.data.metrics.squad_metrics import compute_predictions_logits, squad_evaluate
from transformers.data.processors.squad import SquadExample, _new_check_is_max_context

from metrics import PIECES, SPACES
from squad import evenly

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "tests" / "fixtures" / "squad2"
VOCAB = "models/minilm-l6-qa"
MAX_SEQ_LEN, DOC_STRIDE, MAX_ANSWER, N_BEST = 64, 24, 30, 20


def data(path):
    """The 2.0 file."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    short = [p for a in articles for p in a["paragraphs"] if len(p["context"]) < 420 and p["context"].isascii()]
    chosen = [p for _, p in evenly(short, 6)]
    paragraphs = []
    for at, p in enumerate(chosen):
        own, other = p["qas"][0], chosen[(at + 1) % len(chosen)]["qas"][-1]
        qas = [
            {"id": f"{at}-own", "question": own["question"], "answers": own["answers"], "is_impossible": False},
            {"id": f"{at}-other", "question": other["question"], "plausible_answers": [], "answers": [], "is_impossible": True},
        ]  # fmt: skip
        paragraphs.append({"context": p["context"], "qas": qas})
    return {"version": "v2.0", "data": [{"title": "Excerpts", "paragraphs": paragraphs}]}


class Pieces:
    """How run_squad.py of google-research/bert joins word pieces; transformers leaves a leading ## in place."""

    @staticmethod
    def convert_tokens_to_string(tokens):
        return " ".join(tokens).replace(" ##", "").replace("##", "")


def features(tokenizer, example, at):
    """The example's windows, cut as Cloze cuts them."""
    encode = lambda text: tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)  # noqa: E731
    question, context = encode(example.question_text), encode(example.context_text)
    q, c = question.input_ids, context.input_ids
    room = MAX_SEQ_LEN - 3 - len(q)
    starts = range(0, max(len(c) - DOC_STRIDE, 1), room - DOC_STRIDE)
    spans = [{"start": s, "length": min(room, len(c) - s)} for s in starts]
    before = ["[CLS]", *tokenizer.convert_ids_to_tokens(q), "[SEP]"]
    pieces = tokenizer.convert_ids_to_tokens(c)
    for i, span in enumerate(spans):
        inside = range(span["start"], span["start"] + span["length"])
        place = {t: len(before) + t - span["start"] for t in inside}
        yield SimpleNamespace(
            example_index=at,
            unique_id=(at, i),
            tokens=[*before, *(pieces[t] for t in inside), "[SEP]"],
            token_to_orig_map={place[t]: example.char_to_word_offset[context.offset_mapping[t][0]] for t in inside},
            token_is_max_context={place[t]: _new_check_is_max_context(spans, i, t) for t in inside},
        )


def logits(feature, null):
    """In eighths: many are equal, and their sums are exact. [CLS] gets `null` more; in some windows all good places are in the question."""
    n = len(feature.tokens)
    start, end = ([round(8 * random.gauss(0, 2)) / 8 for _ in range(n)] for _ in range(2))
    start[0], end[0] = start[0] + null, end[0] + null
    if random.random() < 0.2:
        start[1:25] = [x + 9 for x in start[1:25]]
    return [start, end]


def decode(examples, all_features, results, version_2, threshold):
    with tempfile.TemporaryDirectory() as made:
        files = [str(Path(made) / name) for name in ("predictions", "nbest", "null_odds")]
        predictions = compute_predictions_logits(
            examples, all_features, results, N_BEST, MAX_ANSWER, True, *files, False, version_2, threshold, Pieces
        )
        nbest = json.loads(Path(files[1]).read_text())
        odds = json.loads(Path(files[2]).read_text()) if version_2 else None
    figures = squad_evaluate(examples, predictions, odds, threshold) if version_2 else None
    out = {"version_2": version_2, "threshold": threshold, "predictions": predictions, "null_odds": odds}
    return {**out, "nbest": nbest, "figures": figures}


def metrics():
    def text(n):
        return "".join(random.choice(PIECES) + random.choice(SPACES) for _ in range(random.randint(0, n)))

    for _ in range(60):
        share = random.choice([0, 0.3, 0.5, 1])
        rows = []
        for _ in range(random.randint(1, 12)):
            golds = [] if random.random() < share else [text(4) for _ in range(random.randint(1, 3))]
            prediction = random.choice(["", text(5), *golds, *golds])
            rows.append([prediction, golds, round(random.gauss(0, 3), 1)])
        examples = [SimpleNamespace(qas_id=i, answers=[{"text": g} for g in golds]) for i, (_, golds, _) in enumerate(rows)]
        predictions, odds = {i: r[0] for i, r in enumerate(rows)}, {i: r[2] for i, r in enumerate(rows)}
        yield {"rows": rows, "figures": squad_evaluate(examples, predictions, odds, float("inf"))}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--data", type=Path, required=True)
    args = args.parse_args()
    random.seed(20)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / VOCAB)
    dev = data(args.data)
    examples = [
        SquadExample(
            qas_id=qa["id"], question_text=qa["question"], context_text=p["context"], answer_text=None,
            start_position_character=None, title="", answers=qa["answers"], is_impossible=qa["is_impossible"],
        )
        for p in dev["data"][0]["paragraphs"]
        for qa in p["qas"]
    ]  # fmt: skip
    by_example = [list(features(tokenizer, e, at)) for at, e in enumerate(examples)]
    all_features = [f for fs in by_example for f in fs]
    given = []
    for fs in by_example:
        null = random.choice([0, 5, 8])
        given.append([logits(f, null) for f in fs])
    results = [
        SimpleNamespace(unique_id=f.unique_id, start_logits=start, end_logits=end)
        for fs, windows in zip(by_example, given)
        for f, (start, end) in zip(fs, windows)
    ]
    cases = [(True, 0.0), (True, -3.0), (True, 2.5), (False, 0.0)]
    expected = {
        "vocab": VOCAB, "max_seq_len": MAX_SEQ_LEN, "doc_stride": DOC_STRIDE, "max_answer_tokens": MAX_ANSWER,
        "n_best": N_BEST, "logits": given,
        "decoded": [decode(examples, all_features, results, *case) for case in cases], "metrics": list(metrics()),
    }  # fmt: skip
    OUT.mkdir(exist_ok=True)
    (OUT / "dev.json").write_text(json.dumps(dev, indent=1) + "\n", encoding="utf-8")
    # A window, a case, a set of rows a line.
    parts = []
    for key, value in expected.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in value) + "\n]"
        else:
            value = json.dumps(value)
        parts.append(f"{json.dumps(key)}: {value}")
    (OUT / "expected.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    windows = [len(fs) for fs in by_example]
    print(f"{len(examples)} questions in {windows} windows")


if __name__ == "__main__":
    main()
