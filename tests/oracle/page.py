"""Gives adapters that a page has trained to peft, and compares what its model says.

    CLOZE_TRAINED=DIR node --test web/tests/train.test.mjs
    python tests/oracle/page.py DIR

DIR has the base, and for each device a directory with the adapter that was exported there and `said.json`, the page's logits
of some texts. They must agree within 1e-4.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, BertTokenizer

TOLERANCE = 1e-4

trained = Path(sys.argv[1])
tokenizer = BertTokenizer(trained / "base" / "vocab.txt")
found = 0
for said in sorted(trained.glob("*/said.json")):
    base = AutoModelForSequenceClassification.from_pretrained(trained / "base")
    model = PeftModel.from_pretrained(base, said.parent).eval()
    worst = 0.0
    for one in json.loads(said.read_text()):
        with torch.no_grad():
            logits = model(**tokenizer(one["text"], return_tensors="pt")).logits[0]
        worst = max(worst, (logits - torch.tensor(one["logits"])).abs().max().item())
        found += 1
    print(f"{said.parent.name}: peft within {worst:.1e}")
    assert worst <= TOLERANCE, said
assert found > 0, f"{trained} has no said.json: run the test with CLOZE_TRAINED first"
