"""The cases of the task fixtures: (task, model, text or (text, pair), options)."""

LONG = "Ada Lovelace wrote a program about the machine in London, and it was not bad. " * 6
SHORT = "The river is cold."
GOOD = "It was a great movie, and she was happy!"

FILL_MASK = [
    ("mlm", "the capital of france is [MASK].", {}),
    ("mlm", "the capital of france is [MASK].", {"top_k": 1}),
    ("mlm", "The Capital of FRANCE is [MASK] !", {"top_k": 10}),
    ("mlm", "[MASK] lived in london", {"top_k": 3}),
    ("mlm", "ada lived in [MASK]", {"top_k": 3}),
    ("mlm", "[MASK]", {"top_k": 4}),
    ("mlm", "[MASK] sat on the [MASK].", {"top_k": 3}),
    ("mlm", "[MASK][MASK] [MASK]", {"top_k": 2}),
    ("mlm", "the cat[MASK]sat", {"top_k": 2}),
    ("mlm", "un[MASK] , the caf\u00e9 's dog do n't run ?", {"top_k": 3}),
    ("mlm", "Na\u00efve caf\u00e9: \u6771\u4eac [MASK] \u65e5\u672c\u3002\u4e2d", {"top_k": 3}),
    ("mlm", "\U0001f600 [MASK] \U0001f9ab \u20ac 1984", {"top_k": 3}),
    ("mlm", "the [SEP] cat [CLS] is [PAD] [MASK] [UNK] here", {"top_k": 2}),
    ("mlm", "the [SEP] cat [PAD] [MASK] is [MASK]", {"top_k": 2}),
    ("mlm", "the [mask] is [MASK]", {"top_k": 2}),
    ("mlm", " \t[MASK]\r\n is  the\u00a0cat ", {"top_k": 2}),
    ("mlm", "paris is [MASK].", {"targets": ["red", "blue", "green"]}),
    ("mlm", "paris is [MASK].", {"targets": ["red", "blue", "green"], "top_k": 2}),
    ("mlm", "paris is [MASK].", {"targets": ["red", "blue", "red"], "top_k": 10}),
    ("mlm", "paris is [MASK].", {"targets": "red"}),
    ("mlm", "paris is [MASK].", {"targets": ["Red", "##s", "microsoft", "unbelievable"]}),
    ("mlm", "paris is [MASK].", {"targets": ["caf\u00e9", "\U0001f9ab", "\u6771\u4eac", "hello world"]}),
    ("mlm", "paris is [MASK].", {"targets": ["red", "", " ", "\u200b"]}),
    ("mlm", "paris is [MASK].", {"targets": ["[SEP]", "red"]}),
    ("mlm", "paris is [MASK].", {"targets": [""]}),
    ("mlm", "[MASK] is [MASK].", {"targets": ["ada", "red", "microsoft"], "top_k": 2}),
    ("mlm", "there is no mask here", {}),
    ("mlm", "", {}),
    ("mlm", "[MASK] " + LONG, {}),
    ("mlm-cased", "The capital of France is [MASK].", {"top_k": 10}),
    ("mlm-cased", "Paris paris [MASK] !", {"top_k": 3}),
    ("mlm-cased", "the cat do n't [MASK] , it ' s a caf\u00e9 .", {"top_k": 3}),
    ("mlm-cased", "Stra\u00dfe \u00dcber Zo\u00eb Zoe\u0308 [MASK] \u00c9", {"top_k": 3}),
    ("mlm-cased", "[MASK] & [MASK] ' s ( \u6771\u4eac ) \" a - b \" don't we've I'm", {"top_k": 2}),
    ("mlm-clean", "don't they 've [MASK] , it ' s a ' b ( cat ) .", {"top_k": 2}),
    ("mlm-clean", "[MASK]'s [MASK] n't !", {"top_k": 2}),
    ("mlm-unclean", "don't they 've [MASK] , it ' s a ' b ( cat ) .", {"top_k": 2}),
    ("mlm-unclean", "[MASK]'s [MASK] n't !", {"top_k": 2}),
    ("mlm-cased", "[MASK] sat.", {"targets": ["Paris", "paris", "PARIS", "Caf\u00e9", "Lovelace", "NATO"]}),
]  # fmt: skip

CLASSIFY = [
    ("moods", GOOD, {}),
    ("moods", "The film was terrible; he lost, and she was sad.", {}),
    ("moods", "", {}),
    ("moods", "\u6771\u4eac \U0001f9ab [SEP] caf\u00e9", {}),
    ("moods", LONG, {}),
    ("moods", (GOOD, "It was not bad."), {}),
    ("moods", (SHORT, LONG), {}),
    ("moods", (LONG, SHORT), {}),
    ("moods", (LONG, "The dog. " * 30), {}),
    ("topics", "The team won a great game in Berlin.", {}),
    ("topics", "Caf\u00e9 food and music", {}),
    ("topics", ("Paris", "Berlin"), {}),
    ("topics", LONG, {}),
    ("stars", GOOD, {}),
    ("stars", "terrible food", {}),
    ("stars", ("bread", "wine"), {}),
    ("numbered", GOOD, {}),
    ("numbered", "cold day", {}),
    ("numbered", ("cold day", "hot night"), {}),
    ("unnamed", GOOD, {}),
    ("unnamed", "cold day", {}),
    ("one", GOOD, {}),
    ("one", ("Who wrote the program?", "Ada Lovelace wrote it."), {}),
]  # fmt: skip

TAG_TEXTS = [
    ("places", "Ada Lovelace lived in London, and not in New York City.", "none simple first average max"),
    ("places", "Microsoft company unbelievably geography running", "none simple first average max"),
    ("places", "Caf\u00e9 cafe\u0301 cafe\u0301e\u0301\u0302 nai\u0308ve \u00dcber e\u0301\u0302s", "none simple first average max"),
    ("places", "\U0001f600 Ada \U0001f469\u200d\U0001f680 in \u6771\u4eac\u65e5\u672c! Paris\U0001f9abBerlin", "none simple first average max"),
    ("places", "the\tcat\r\n sat\u00a0on\u3000 \u200bthe mat 1984-2024 don't [SEP] \uac00\ud55c \u0130stanbul", "none simple first average max"),
    ("places", LONG, "none first"),
    ("places", "", "none simple max"),
    ("plain-tags", "The River in Germany, Zo\u00eb in Stra\u00dfe; NATO USA (Tokyo)", "none simple first average max"),
    ("plain-tags", "unbelievable Lovelaces \u00fcbers caf\u00e9ing Hello-World $5", "none simple first average max"),
]  # fmt: skip

TAG = [
    (model, text, {"aggregation": aggregation})
    for model, text, aggregations in TAG_TEXTS
    for aggregation in aggregations.split()
]

EMBED = [
    ("mean", SHORT, "auto", "auto"),
    ("mean", LONG, "auto", "auto"),
    ("mean", "  Caf\u00e9 \u6771\u4eac\n", "auto", False),
    ("mean", GOOD, "cls", True),
    ("mean", GOOD, "max", False),
    ("mean", "", "auto", "auto"),
    ("cls", SHORT, "auto", "auto"),
    ("cls", LONG, "auto", True),
    ("cls", GOOD, "mean", False),
    ("max", SHORT, "auto", "auto"),
    ("max", "PARIS Paris \u039f\u0394\u039f\u03a3 Caf\u00e9 HELLO " * 4, "auto", "auto"),
    ("max", SHORT, "auto", True),
    ("mean-sqrt-len", SHORT, "auto", "auto"),
    ("mean-sqrt-len", GOOD, "auto", False),
    ("plain", SHORT, "auto", True),
    ("plain", LONG, "auto", False),
    ("plain", GOOD, "cls", False),
    ("plain", GOOD, "max", True),
]  # fmt: skip

NEXT_SENTENCE = [
    (SHORT, "The water is cold."),
    ("Who wrote the program?", "Ada Lovelace wrote it."),
    ("Ada Lovelace wrote it.", "Who wrote the program?"),
    ("\u6771\u4eac", "Caf\u00e9 \U0001f600"),
    (GOOD, ""),
    (LONG, SHORT),
]

LABELS = ["politics", "science", "art", "economy"]
ZERO_SHOT = [
    ("nli", "Ada wrote a program", {"labels": LABELS}),
    ("nli", "Ada wrote a program", {"labels": LABELS, "multi_label": True}),
    ("nli", "Ada wrote a program", {"labels": ["science"]}),
    ("nli", "Ada wrote a program", {"labels": ["science"], "multi_label": True}),
    ("nli", "The team won!", {"labels": "sport, art,, food ", "template": "This text is about {}."}),
    ("nli", "\u6771\u4eac caf\u00e9", {"labels": ["caf\u00e9", "\u6771\u4eac", "New York"], "template": "{}"}),
    ("nli", "The team won!", {"labels": ["sport"], "template": "no place for a label"}),
    ("nli", "The team won!", {"labels": []}),
    ("nli", "", {"labels": LABELS}),
    ("nli-first", "The team won!", {"labels": LABELS}),
    ("nli-first", "The team won!", {"labels": LABELS, "multi_label": True}),
    ("nli-first", LONG, {"labels": ["science", "food"], "template": "It was about {}, and not about {{food}}."}),
    ("nli-middle", "The Team won!", {"labels": ["sport", "music", "food"]}),
    ("nli-middle", "The Team won!", {"labels": ["sport", "music", "food"], "multi_label": True}),
]

TOKENIZE = [
    ("mlm", "Hello, World! unbelievable 1984"),
    ("mlm", "  Caf\u00e9 cafe\u0301 \u0130stanbul \u6771\u4eac \U0001f600\U0001f9ab "),
    ("mlm", ("Who wrote it?", "Ada [SEP] Lovelace [MASK].")),
    ("mlm", ""),
    ("mlm", ("", "cat")),
    ("mlm", LONG),
    ("mlm-cased", "Hello, World! Stra\u00dfe \u00dcber Zoe\u0308 NATO paris"),
    ("mlm-cased", ("Caf\u00e9 [MASK]", "It is [mask] \u03a9")),
    ("topics", "The the THE \ud55c\uad6d a\u200bb"),
    ("places", "1984-2024 don't \uac00\t\u00a0x\r\n"),
]

CASES = [
    *(("fill-mask", model, text, options) for model, text, options in FILL_MASK),
    *(("classify", model, text, options) for model, text, options in CLASSIFY),
    *(("tag", model, text, options) for model, text, options in TAG),
    *(("embed", model, text, {"pooling": pool, "normalize": norm}) for model, text, pool, norm in EMBED),
    *(("next-sentence", "sentences", pair, {}) for pair in NEXT_SENTENCE),
    *(("zero-shot", model, text, options) for model, text, options in ZERO_SHOT),
    *(("tokenize", model, text, {}) for model, text in TOKENIZE),
]
