"""The small random models of the task fixtures, each with a tokenizer; tasks.py writes them and runs pipelines on them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import BertTokenizerFast

from encoder import FIXTURES, write_model
from heads import Head, head_weights

OUT = FIXTURES / "tasks"
LONGEST = 48  # positions, and the tokenizer's model_max_length
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the a of and in to is was not it do n't don cat dog sat on mat capital france paris london ada lovelace lived born
wrote program machine good bad movie film great terrible happy sad love hate food music sport game won lost team play run walk
think un ##believ ##able ##s ##ing ##ed ##er ##ly ##n new york city river germany berlin tokyo rain sun cold hot day night
red blue green house tree water bread wine coffee this example text about politics science art economy what where who she he
cafe naive uber strasse geo ##graph ##y micro ##soft com ##pany istanbul hel ##lo world 19 ##84 20 ##24"""
CASED = """the The a A of and in to is was not It it cat Cat dog sat on mat capital France Paris paris London Ada Love ##lace
love lived born wrote good bad movie great terrible happy food music sport team play run un ##believ ##able ##s ##ing ##ed
New York new city River river Germany Berlin Tokyo café Café naïve Über über Straße ##ße Stra Zoë Hel ##lo hello world World 19
##84 20 ##24 NATO US ##A example text about politics science art do n't don"""
CHARS = "abcdefghijklmnopqrstuvwxyz"
MARKS = ".,?!'\"-:;()[]&/$%#@*+=_"
OTHER = "東京日本中国αβσжя가ا한😀€°"


def vocabulary(words, chars, first):
    single = [*chars, *"0123456789", *MARKS, *OTHER]
    pieces = ["##" + c for c in [*CHARS, *"0123456789", "日", "σ", "\u0301"]]
    return list(dict.fromkeys([*first, *words.split(), *single, *pieces]))


UNCASED_VOCAB = vocabulary(WORDS, CHARS, SPECIAL)
# Another order of the special tokens, and not at the start.
CASED_VOCAB = vocabulary(CASED, CHARS + CHARS.upper() + "éüßñÉ", ["[PAD]", "[unused0]", "[MASK]", "[SEP]", "[unused1]", "[CLS]", "[UNK]"])


@dataclass
class Model(Head):
    """A head with a tokenizer. `tokenizer` is added to tokenizer_config.json; `modules` are sentence-transformers' files."""

    heads: int = 4
    layers: int = 2
    feed_forward: int = 33
    positions: int = LONGEST
    store: str = "f16"
    cased: bool = False
    json: bool = False
    longest: int = LONGEST
    tokenizer: tuple = ()
    modules: tuple = ()

    @property
    def words(self):
        return CASED_VOCAB if self.cased else UNCASED_VOCAB


def embedder(name, seed, pooling, normalize, **other):
    """`pooling` is the mode that 1_Pooling/config.json turns on."""
    cased = other.pop("cased", False)
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(zip(paths, kinds))
    ]
    files = [("modules.json", modules), ("1_Pooling/config.json", {"word_embedding_dimension": 24, **modes})]
    if other:
        files.append(("sentence_bert_config.json", other))
    return Model(name, seed, architecture="BertModel", cased=cased, modules=tuple(files))


def classifier(name, seed, labels, problem="", **other):
    return Model(name, seed, architecture="BertForSequenceClassification", labels=labels, problem=problem, **other)


def tagger(name, seed, labels, **other):
    return Model(name, seed, architecture="BertForTokenClassification", labels=labels, **other)


NUMBERED = ("LABEL_0", "LABEL_1", "LABEL_2")
MODELS = [
    Model("mlm", 117, architecture="BertForMaskedLM"),
    Model("mlm-cased", 169, architecture="BertForMaskedLM", cased=True, json=True, decoder="untied"),
    Model("mlm-clean", 117, architecture="BertForMaskedLM", json=True, layers=1,
          tokenizer=(("clean_up_tokenization_spaces", True),)),
    Model("mlm-unclean", 117, architecture="BertForMaskedLM", layers=1,
          tokenizer=(("clean_up_tokenization_spaces", False),)),
    classifier("moods", 43, ("negative", "neutral", "positive"), "single_label_classification", longest=20),
    classifier("topics", 44, ("sport", "art", "science", "food"), "multi_label_classification", cased=True),
    classifier("stars", 45, ("stars",), "regression"),
    classifier("numbered", 46, NUMBERED),
    classifier("unnamed", 59, (), layers=1),
    classifier("one", 47, ("relevant",)),
    tagger("places", 193, ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")),
    tagger("plain-tags", 116, ("O", "PER", "GEO-AREA", "LOC"), cased=True),
    embedder("mean", 50, "mean_tokens", True, max_seq_length=12, do_lower_case=False),
    embedder("cls", 51, "cls_token", False),
    embedder("max", 52, "max_tokens", False, max_seq_length=12, do_lower_case=True, cased=True),
    embedder("mean-sqrt-len", 53, "mean_sqrt_len_tokens", True),
    Model("plain", 54, architecture="BertModel"),
    Model("sentences", 55, architecture="BertForNextSentencePrediction"),
    classifier("nli", 56, ("contradiction", "neutral", "entailment")),
    classifier("nli-first", 57, ("ENTAILMENT", "neutral", "contradiction"), longest=24),
    classifier("nli-middle", 58, ("neutral", "entailment", "contradiction"), cased=True),
]  # fmt: skip


def write_text(path: Path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def write(model):
    directory = OUT / model.name
    shutil.rmtree(directory, ignore_errors=True)
    model.vocab = len(model.words)
    w = clear_weights(model)
    directory.mkdir(parents=True)
    write_model(directory, model, w)

    config = {"do_lower_case": not model.cased, "tokenizer_class": "BertTokenizer", "model_max_length": model.longest}
    write_text(directory / "tokenizer_config.json", json.dumps({**config, **dict(model.tokenizer)}) + "\n")
    write_text(directory / "vocab.txt", "".join(word + "\n" for word in model.words))
    if model.json:
        tokenizer = BertTokenizerFast.from_pretrained(directory)
        write_text(directory / "tokenizer.json", tokenizer.backend_tokenizer.to_str() + "\n")
        (directory / "vocab.txt").unlink()
    for path, value in model.modules:
        write_text(directory / path, json.dumps(value, indent=2) + "\n")


def clear_weights(model):
    """Weights that let results follow the text: words count for more than positions and biases, scores differ clearly,
    and most tokens are outside of an entity."""
    w = head_weights(model)
    w["bert.embeddings.word_embeddings.weight"] *= 2
    if model.architecture == "BertForMaskedLM":
        w["cls.predictions.transform.LayerNorm.bias"] /= 4
        w["cls.predictions.transform.LayerNorm.weight"] /= 1 if model.decoder == "untied" else 2
    if model.architecture == "BertForTokenClassification":
        w["classifier.weight"] *= 2
        w["classifier.bias"][0] += 1.5
    return dict(w)
