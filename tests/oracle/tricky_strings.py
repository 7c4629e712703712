"""Strings that a tokenizer trips over, by what is odd about them. Invisible and combining characters are written as escapes."""

SPACES = [f"word{space}word {space}{space}end{space}" for space in (
    "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u00a0", "\u1680", "\u180e", "\u2000", "\u2002",
    "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f",
    "\u2060", "\u3000", "\u3164", "\ufeff",
)] + ["", " ", "\u3000\u3000", "\u200b\u200b", "  leading and trailing \t\n", "a\u2009b\u2009c", "no\u00adbreak\u00ad", "\ufeffByte order mark"]  # fmt: skip

CONTROLS = [
    "\0", "nul\0in the middle", "\0\0start", "bell\x07 back\x08space escape\x1b[31mred\x1b[0m", "delete\x7f\x7fd", "c1 \x80\x84\x86\x9f controls",
    "\x01\x02\x03", "soft\u00adhyphen\u00adated", "left\u200eto\u200fright", "\u202aembed\u202c \u202doverride\u202c \u2066isolate\u2069",
    "zero\u200bwidth\u200cnon\u200djoiner", "word\u2060joiner\u2061\u2062\u2063", "interlinear\ufff9anno\ufffatation\ufffb", "tag \U000e0041\U000e0042\U000e007f end",
    "private \ue000\uf8ff\U000f0000\U0010fffd use", "\ud7ff\ue000 around surrogates", "noncharacters \ufdd0\ufffe\uffff\U0001fffe\U0010ffff",
    "replacement \ufffd\ufffd character", "unassigned \u0378\u0530\u2fe0 \U0003ffff", "object \ufffc replacement", "mongolian\u180bvowel\u180eseparator",
    "arabic letter\u061cmark \u0600\u06dd", "grapheme\u034fjoiner", "invisible\u2064plus",
]  # fmt: skip

MARKS = [
    "cafe\u0301 and café", "nai\u0308ve naïve NAI\u0308VE NAÏVE", "A\u030angstro\u0308m Ångström \u212bngström", "Z\u0351\u036b\u0343a\u0323\u0325l\u0340\u0341g\u0334o\u0335 text",
    "\u0301starts with a mark", " \u0308 \u0301\u0302 ", "e\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308", "o\u0328\u0304 ǭ \u014d\u0328", "q\u0307\u0323 q\u0323\u0307", "\u1e9b\u0323 ẛ̣ ṩ",
    "Việt Nam Vie\u0323\u0302t Nam tiếng Việt", "Dvořák Škoda Łódź Øresund Đorđe", "ŉ ǆ ǅ Ǆ ǳ ŀ", "ﬁne ﬂow ﬀ ﬃ ﬄ ﬅ ﬆ", "½ ¼ ⅓ 5⁄8 x² x³ H₂O 10⁻³",
    "№ ™ ℠ ℡ © ® ª º", "①②③ ⑴ ⒈ ⓐ Ⅷ ⅷ ⅻ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝕓𝕠𝕝𝕕 𝒮𝒸𝓇𝒾𝓅𝓉 𝟙𝟚𝟛", "enclosing a\u20dd b\u20e3 c\u20e0", "cedilla \u00e7 c\u0327 \u0163 t\u0327", "horn ơ o\u031b ư u\u031b",
    "hook ả a\u0309 ɓ ɗ", "stroke ø o\u0338 ħ ŧ", "combining \u1dc4\u1ab0\u20d0\ufe20 rare", "\u0483\u0488\u0489 cyrillic marks а\u0488",
]  # fmt: skip

CASES = [
    "İstanbul ISTANBUL ıstanbul i\u0307stanbul Iğdır", "straße STRASSE ẞ STRAẞE Maßstab", "ΟΔΟΣ ΟΔΥΣΣΕΥΣ σοφός ΣΟΦΟΣ Σ", "ΑΣ. ΑΣ, ΑΣΑ Σ'Σ", "ϐϑϕϖϰϱϲϵ", "ΆΈΉΊΌΎΏ άέήίόύώ ΐ ΰ",
    "ᾼ ᾳ ῼ Ὦ ἆ", "ﬀ ŉ ǰ ΐ և ẖ", "ǅungla ǆ Ǆ", "Ꭰ ꭰ ᏸ Cherokee", "Ⴀ ⴀ ა Ა Georgian", "Ա ա ԵՒ եւ Armenian", "ÀÉÎÕÜ àéîõü ÀÉÎÕÜ", "K \u212a Å \u212b Ω \u2126",
    "mIxEd CaSe WoRdS", "ALLCAPS AllCaps allCaps iPhone McDonald", "Ａｌｐｈａ ＦＵＬＬ ｗｉｄｔｈ １２３", "Ꙁ Ѹ Ѡ ѡ Ѣ old cyrillic", "Ⓐ ⓐ Ⅰ ⅰ", "𐐀 𐐨 Deseret 𞤀 𞤢", "Ɐ ɐ Ȿ ẞ Ɡ", "ʼn Ŀ Ĳ ĳ", "Lj lj LJ ǈ",
]  # fmt: skip

CJK = [
    "東京は日本の首都です。", "中国的首都是北京,人口2154万。", "漢字かな交じり文とカタカナ", "𠀀𠮷𪚥𫝀 extension B and C", "豈更車賈 \ufa0e\ufa11 compatibility", "\u2f00\u2f08 radicals \u2e80\u31c0", "㈱ ㍿ ㋿ ㌀ ㎏",
    "々〆〇〻 〱〲", "ｱｲｳｴｵ ｶﾞｷﾞ ﾊﾟ half-width", "がぎぐ か\u3099き\u3099 ぱ は\u309a", "한국어 문장입니다", "\u1112\u1161\u11ab\u1100\u116e\u11a8 jamo", "ㄱㄴㄷ ㅏㅑ compatibility jamo", "가각갂 \uac00\u11a8 힣", "注音ㄅㄆㄇ",
    "中文English混排123数字", "「引用」『二重』【括弧】〈山〉", "￥１２３，４５６．００", "繁體字 简体字 異體字", "葛\U000e0100城市 辻\ufe00", "你好吗?我很好!谢谢。", "ひらがな　全角スペース", "ー〜～ 長音符 ラーメン", "龍𪚥龘 𰻞𰻝麺", "Ｗｉｋｉ百科",
    "𛀀𛀁 hentaigana", "〒100-0001 東京都千代田区", "第１章 第二节", "鿿 \u9fa6 㐀 䶵", "日本語と\n中文と\t한국어",
]  # fmt: skip

SCRIPTS = [
    "שָׁלוֹם עוֹלָם", "שלום, מה שלומך?", "مرحبا بالعالم", "بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ", "ﷺ ﷲ ﻻ presentation forms", "فارسی: می\u200cخواهم", "اُردُو ٹ ڈ ڑ ے", "١٢٣ ۴۵۶ ४५६ digits", "नमस्ते दुनिया", "क्षत्रिय ज्ञान", "বাংলা ভাষা", "தமிழ் மொழி", "తెలుగు ಕನ್ನಡ മലയാളം",
    "ภาษาไทยไม่มีช่องว่าง", "ພາສາລາວ", "မြန်မာဘာသာ", "ភាសាខ្មែរ", "བོད་སྐད་", "ქართული ენა", "Հայերեն լեզու", "አማርኛ ቋንቋ", "Русский язык: ёлка, йод", "Українська ї є ґ", "Ελληνικά γλώσσα", "ᚠᚢᚦᚨᚱᚲ runes",
    "ᐃᓄᒃᑎᑐᑦ", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "Монгол ᠮᠣᠩᠭᠣᠯ", "සිංහල", "ދިވެހި", "ⲙⲉⲧⲣⲉⲙ", "𐎀𐎁𐎂 𒀀𒀁 𓀀𓀁", "hello שלום world مرحبا 东京", "аpple with Cyrillic а", "Ｈello Ηello Нello",
]  # fmt: skip

EMOJI = [
    "😀😃😄", "I ❤ you ❤\ufe0f ♥\ufe0e", "👨\u200d👩\u200d👧\u200d👦 family", "👩\u200d🚀👨🏽\u200d🚀", "👍👍🏽👍🏿", "🏳\ufe0f\u200d🌈 🏴\u200d☠\ufe0f", "🇩🇪🇫🇷🇯🇵 🇩", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "1\ufe0f\u20e3 #\ufe0f\u20e3 *\u20e3", "text😀text 😀text text😀",
    "🫠🫨🪿 new ones", "☺☹ ☎ ✂ ✈ ➡", "♔♕ ♠♥ ⚀⚅ ☯", "♪♫ 🎵", "¯\\_(ツ)_/¯ (╯°□°)╯︵ ┻━┻", "ʕ•ᴥ•ʔ ( ͡° ͜ʖ ͡°)", "😀\u200d😀 \u200d😀\u200d", "🤷🏻\u200d♀\ufe0f\u200d",
]  # fmt: skip

SYNTAX = [
    "[MASK]", "The [MASK] sat on the [MASK].", "[CLS] text [SEP] more [SEP]", "[UNK][PAD][MASK]", "[mask] [Mask] [ MASK ] [MASK", "x[MASK]y[SEP]z", "[MASK]'s [MASK]ing", "[unused1] [unused99] [unused0]", "##ing ##s # ## ###", "un##able",
    "https://www.example.org/a/b?c=d&e=f#g", "user.name+tag@example.co.uk", "C:\\Users\\name\\file.txt /usr/local/bin", "#hashtag @mention RT @you: see", "<b>bold</b> &amp; &#8211; &nbsp;", "{\"key\": [1, 2.5e-3, null]}", "def f(x): return x**2 != 3", "$1,234.56 €99 £5 ¥100 ₹50 ₿1",
    "3.14159 1e10 0xFF 1_000_000 -42 +7", "1984-2024 12:30:45 01/02/2003", "192.168.0.1 ::1 fe80::1%eth0", "50% 100‰ 5° 6′7″", "don't can't I'm we've it's o'clock", "don\u2019t \u2018single\u2019 \u201cdouble\u201d \u201elow\u201d", "em\u2014dash en\u2013dash hy\u2010phen fig\u2012ure bar\u2015", "ellipsis\u2026 three... two..",
    "¿Qué? ¡Sí!", "«guillemets» ‹single›", "a/b a\\b a|b a~b a^b a`b a_b", "!!! ??? ?! ,,, ;;;", "(a) [b] {c} <d>", "C++ C# F# .NET node.js", "e.g. i.e. U.S.A. Ph.D. a.m.", "snake_case camelCase kebab-case", "x=y+z*2/3-1%4", "--flag -f --long=value",
    "§1 ¶2 †3 ‡4 •5 ·6", "← ↑ → ↓ ⇒ ⇔", "∀x∈ℝ: x²≥0 ∧ ∑∫√∞≠≤", "αβγ πr² μm Δt", "┌─┐│└┘ █▓▒░", "⠃⠗⠇ braille", "\\n \\t \\u0041", "a\u0589b\u060cc\u061bd\u061fe\u0964f\u3001g",
    "x\u02bcy ʻokina Hawaiʻi", "\u02c6\u02dc\u00a8\u00af\u00b4\u00b8 spacing accents", "\u2e3a\u2e3b\u301c\u30fb\uff65", "\u00b7\u0387\u2022\u2219\u22c5", "\uff01\uff02\uff03\uff04\uff05", "\u0e2f\u0e5a\u17d4\u104a",
]  # fmt: skip

LONG = [
    "x" * 99, "x" * 100, "x" * 101, "é" * 100, "é" * 101, "e\u0301" * 50, "e\u0301" * 51, "한" * 34, "漢" * 101, "😀" * 100, "😀" * 101, "supercalifragilisticexpialidocious",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch", "pneumonoultramicroscopicsilicovolcanoconiosis", "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd " * 3,
    "the" * 34, "1" * 101, "a" * 60 + "-" + "b" * 60, "a" * 60 + "\u00ad" + "b" * 60, "unaffable unwantedrunning antidisestablishmentarianism", "\u0301" * 101, "İ" * 60,
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
]  # fmt: skip

STRINGS = list(dict.fromkeys(SPACES + CONTROLS + MARKS + CASES + CJK + SCRIPTS + EMOJI + SYNTAX + LONG))
