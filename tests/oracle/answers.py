"""Writes tests/fixtures/answers/answers.json: the answers of transformers' question answering pipeline.

    python tests/oracle/answers.py [--model models/minilm-l6-qa]

The model is any that checkpoint.py opens: of 8-bit weights, PyTorch holds the dequantised values. Each case is {"context",
"question", "options", "answers"}; a context is a key of "contexts" or a file beside answers.json. Both files are 5,000
words in the public domain: the start of "A Scandal in Bohemia" (A. Conan Doyle, 1891), a sentence a line, and of "The
Time Machine" (H. G. Wells, 1895).

A case whose answers are another list under noise of 2e-5 in the logits would test rounding, not the decoder: the script
stops and says which. Left out of "answers" are the impossible spans of score 0 that the pipeline fills up with where
there are fewer spans than asked for.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, pipeline

from checkpoint import load

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "tests" / "fixtures" / "answers"
NOISE = 2e-5

CONTEXTS = {
    "ada": "Ada Lovelace was born in London on 10 December 1815, the only child of the poet Lord Byron and Lady Byron. "
    "In 1843 she translated an article by Luigi Menabrea about Charles Babbage's Analytical Engine, and added notes that "
    "were three times as long as the article. Note G describes how the machine would compute Bernoulli numbers.",
    "short": "The river Elbe rises in the Krkonoše Mountains.",
    "word": "Wednesday",
    "emoji": "👩‍🚀 Valentina 🚀 flew to space in 1963 🌍✨. Her call sign was “Чайка” (Seagull) 🐦‍⬛! The 🇷🇺 crew cheered 👍🏽👍🏽.",
    "marks": "Zoe\u0308 Mu\u0308ller opened the cafe\u0301 in Sa\u0303o Paulo. Her brother Nu\u0301n\u0303ez, an e\u0301migre\u0301, "
    "painted the fac\u0327ade with Vie\u0323\u0302t colours a\u030a and o\u0308.",
    "cjk": "東京は日本の首都です。The capital of Japan is 東京 (Tokyo), and the capital of 中国 is 北京 (Beijing). 서울 (Seoul) is in 대한민국.",
    "crlf": "Name:\tJohn Smith\r\nBorn:\t4 May 1961\r\nCity:\tNew\u00a0Orleans\r\n\r\nHe plays the trumpet\r\nand\tthe\u2003piano.\r\n",
    "hidden": "The pass\u00adword is \u200bopen\u200b\u200dsesame\ufeff. It was chosen\u2060 by \u202eAli\u202c Baba\u200e in\u3000Bagdad.\u0000 Nobody\u007f else knew.",
    "rtl": "The word for peace is שָׁלוֹם in Hebrew and سَلَام in Arabic. Its numeral is ٤ and the city is القُدس (Jerusalem).",
    "repeat": "Paris is large. paris is old. PARIS is bright. Paris! The capital of France is Paris, and Paris lies on the Seine.",
    "special": "The tag [SEP] ends a text and [CLS] begins it. A ##piece is not a word; [MASK] hides one. I.e. e.g. 3.14 $5.00 a_b",
    "long-word": "The longest name is " + "x" * 120 + " and the second is Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch.",
    "facts": "Mount Kilimanjaro, in Tanzania, is 5,895 metres high. Its three volcanic cones are Kibo, Mawenzi and Shira. Hans "
    "Meyer and Ludwig Purtscheller reached the summit in October 1889, after two earlier attempts. The mountain's glaciers "
    "shrank by 85% between 1912 and 2011. About 35,000 people try to climb it every year, by seven routes; the Marangu "
    "route, nicknamed \"Coca-Cola\", has huts, and the Machame route is the most popular.",
}  # fmt: skip

CASES = [
    ("ada", "Where was Ada Lovelace born?", {}),
    ("ada", "When was Ada Lovelace born?", {}),
    ("ada", "Who was her father?", {"top_k": 3}),
    ("ada", "What does Note G describe?", {}),
    ("ada", "What does Note G describe?", {"max_answer_len": 3}),
    ("ada", "What does Note G describe?", {"max_answer_len": 40, "top_k": 2}),
    ("ada", "Whose article did she translate in 1843?", {"align_to_words": False}),
    ("ada", "How long were the notes?", {"top_k": 5, "max_answer_len": 8}),
    ("ada", "How long were the notes?", {"max_seq_len": 32, "doc_stride": 12, "top_k": 3}),
    ("ada", "Who painted the Mona Lisa?", {"handle_impossible_answer": True}),
    ("ada", "Who painted the Mona Lisa?", {"handle_impossible_answer": True, "top_k": 3}),
    ("short", "Where does the Elbe rise?", {}),
    ("short", "Which river rises there?", {"top_k": 4}),
    ("short", "Which river?", {"top_k": 2, "align_to_words": False}),
    ("word", "Which day?", {}),
    ("word", "Which day?", {"handle_impossible_answer": True, "top_k": 2}),
    ("emoji", "When did Valentina fly?", {}),
    ("emoji", "What was her call sign?", {"top_k": 3}),
    ("emoji", "Who cheered?", {"top_k": 2}),
    ("marks", "Who opened the café?", {}),
    ("marks", "Where is the cafe\u0301?", {"top_k": 2}),
    ("marks", "What did her brother paint?", {"top_k": 3}),
    ("cjk", "What is the capital of Japan?", {"top_k": 2}),
    ("cjk", "Where is Seoul?", {}),
    ("cjk", "東京?", {}),
    ("crlf", "When was John born?", {}),
    ("crlf", "Which city?", {}),
    ("crlf", "What does he play?", {"top_k": 3}),
    ("hidden", "What is the password?", {}),
    ("hidden", "Who chose it?", {}),
    ("hidden", "Where\u200b was\tit chosen?", {"top_k": 2}),
    ("rtl", "What is the word for peace in Hebrew?", {}),
    ("rtl", "What is the city?", {"top_k": 2}),
    ("repeat", "What is the capital of France?", {"top_k": 3}),
    ("repeat", "What is the capital of France?", {"max_seq_len": 20, "doc_stride": 5, "top_k": 2}),
    ("repeat", "What lies on the Seine?", {"max_seq_len": 24, "doc_stride": 8}),
    ("special", "What ends a text?", {}),
    ("special", "What does [CLS] begin [SEP]?", {"top_k": 2}),
    ("long-word", "What is the longest name?", {}),
    ("long-word", "What is the second name?", {"max_answer_len": 4}),
    ("facts", "How high is Kilimanjaro?", {}),
    ("facts", "Which cones does it have?", {"top_k": 3}),
    ("facts", "Who reached the summit first?", {}),
    ("facts", "Who reached the summit first?", {"max_seq_len": 40, "doc_stride": 10}),
    ("facts", "How much did the glaciers shrink?", {"max_seq_len": 64, "doc_stride": 0, "top_k": 4}),
    ("facts", "How many people try to climb it?", {"max_seq_len": 48, "doc_stride": 30, "top_k": 3}),
    ("facts", "What is the nickname of the Marangu route?", {"max_answer_len": 1}),
    ("facts", "What is the most popular route?", {"top_k": 10}),
    ("bohemia.txt", "When was Irene Adler born?", {}),
    ("bohemia.txt", "Where does Irene Adler live?", {"top_k": 3}),
    ("bohemia.txt", "How many steps lead up from the hall?", {}),
    ("bohemia.txt", "Who is the Grand Duke of Cassel-Felstein?", {"max_seq_len": 512}),
    ("bohemia.txt", "What is Godfrey Norton?", {"max_seq_len": 128, "doc_stride": 64, "top_k": 2}),
    ("bohemia.txt", "How much did the King pay in gold?", {"max_seq_len": 256, "doc_stride": 0}),
    ("bohemia.txt", "Which church did they drive to?", {"max_answer_len": 5, "top_k": 2}),
    ("bohemia.txt", "Who discovered penicillin?", {"handle_impossible_answer": True, "top_k": 2}),
    ("time-machine.txt", "How long did it take to make the model?", {}),
    ("time-machine.txt", "What was the machine made of?", {"top_k": 2}),
    ("time-machine.txt", "Where did the Medical Man see a similar thing?", {}),
    ("time-machine.txt", "Where does the Time Traveller live?", {"max_seq_len": 200, "doc_stride": 150}),
    ("time-machine.txt", "What did the Editor fill with champagne?", {"align_to_words": False}),
    ("time-machine.txt", "What is Fourth Dimension another way of looking at?", {"max_seq_len": 320, "doc_stride": 200, "max_answer_len": 30}),
    ("time-machine.txt", "What was on his feet?", {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 25}),
]  # fmt: skip


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, default=ROOT / "models" / "minilm-l6-qa")
    args = args.parse_args()

    model = load(args.model)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ask = pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    noise = 0.0

    def shake(module, inputs, output):
        for logits in (output.start_logits, output.end_logits):
            logits += noise * (2 * torch.rand_like(logits) - 1)

    model.register_forward_hook(shake)

    @torch.no_grad()
    def answers(context, question, options):
        found = ask(question=question, context=context, **options)
        return [a for a in (found if isinstance(found, list) else [found]) if a["score"] > 0]

    contexts = dict(CONTEXTS)
    lines, fragile = [], []
    for context, question, options in CASES:
        if context not in contexts:
            contexts[context] = (OUT / context).read_bytes().decode()
        noise = 0.0
        found = answers(contexts[context], question, options)
        entry = {"context": context, "question": question, "options": options, "answers": found}
        lines.append(json.dumps(entry, ensure_ascii=False))
        print(context, question, options, [(a["answer"], round(a["score"], 4)) for a in found[:2]], flush=True)
        torch.manual_seed(0)
        noise = NOISE
        for _ in range(1 if context.endswith(".txt") else 8):
            spans = [(a["start"], a["end"]) for a in answers(contexts[context], question, options)]
            if spans != [(a["start"], a["end"]) for a in found]:
                fragile.append((context, question, options))
                break
    assert not fragile, f"these depend on rounding: {fragile}"
    short = json.dumps(CONTEXTS, ensure_ascii=False, indent=0)
    text = f'{{"contexts": {short},\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    (OUT / "answers.json").write_text(text, encoding="utf-8", newline="")
    print(f"{len(lines)} cases")


if __name__ == "__main__":
    main()
