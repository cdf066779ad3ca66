"""Texts that tell the steps of tokenizers apart."""

SPACES = ["\u00a0", "\u0085", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\ufeff", "\u180e"]

COMMON = [
    "",
    " ",
    "Hello, world!",
    "  two  spaces  ",
    "\ttab\nline\r\nend\n\n",
    "it's we'll I'M don't 'tis",
    "a\u00a0b\u0085c\u2028d\u3000e\ufefff\u200bg\u200dh",
    "\u3000wide\u3000",
    "\u0085\u00a0",
    "x1 22 333 4444.55",
    "\u0661\u0662\u0663 \u2167 \u00b2 \u00bd \u0e51",
    "na\u00efve cafe\u0301 \u00c5ngstr\u00f6m \u212b \u1e9b\u0323",
    "\u0391\u03a3 \u039f\u0394\u039f\u03a3 \u0130I \u01c5 STRASSE stra\u00dfe",
    "\u4e2d\u6587abc\u5b57 \U00020000\U00020041 \u3042\u30a2 \uac00\u1100\u1161",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f\U0001f363",
    "$5+3=8 <a|b> ^~` @#%&*",
    "\u00ab\u201equote\u201c\u00bb \u2013\u2014\u2026 \u3002\uff0c\uff01 \u00bf\u00a7\u20ac",
    "don\u2019t (yes) [no] {so} a-b_c",
    "\u0000\u0001\u007f\u009f\u00adx\ufffdy\ue000",
    "\u0301leading mark e\u0301\u0301",
    "\ufb01\ufb03 \ufdfa \u2460 \uff21\uff22 \u0149",
    "Mixed CASE camelCase\u2581under \u2581\u2581x",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "a",
    "aaa aa a",
    "no\u2003em\u1680ogham\u180emongol\u202fnarrow\u2029para",
]

FEW = ["Hello, world!", "  two  spaces  ", "x1 22 333 4444.55", "na\u00efve \u4e2d\u6587 \U0001f363", "\ta\u00a0b\u0085c\n", ""]

ADDED = [
    "",
    "abc",
    "xabcx",
    "ab abc abcd",
    "word",
    "sword words word, word",
    "\u00e9word word\u00e9 word_ -word- \U0001d400word",
    "a  <l>  b",
    "a \u00a0\u3000<l>\u2003 b",
    "a  <r>  b",
    "a  <lr>  b",
    "<l> <r> <lr>",
    "<lr><lr>  <lr>",
    "<r>  \n\n\nx",
    "x <s>y</s>",
    "<s><s>",
    "Hello WORLDLY worldly Worldly",
    "Stra\u00dfe STRASSE \u00dcber \u00fcber U\u0308ber",
    "a  double  b   double",
    "\n\n\n\n\n\n\n",
    "<mask> <mask",
    "say<|end|>now <|end|> ",
    "<|e<|end|>nd|>",
    "  <l>word<r>  ",
    "\U0001f363x\U0001f363",
]

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog said: hello, world!",
    "it's what we'll do; they don't know that I'm here, in the house of the king",
    "Numbers 12 and 345 and 6789 were counted in the year 2024, at 10:30.",
    "Na\u00efve caf\u00e9 owners \u00fcber \u00c5ngstr\u00f6m, \u00e9t\u00e9 et \u00e0 bient\u00f4t",
    "\u4e2d\u6587 \u5b57\u7b26 \u6d4b\u8bd5 \u4e2d\u6587 \u65e5\u672c\u8a9e \u3053\u3093\u306b\u3061\u306f",
    "the the the and and of of in in to to that that it it is is",
    "Hello hello HELLO world World worlds lower lowest newer newest wider widest",
]
