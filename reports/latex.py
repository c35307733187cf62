"""A sheet as LaTeX that needs booktabs and nothing else."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import ceil

import pandas as pd

from reports.sheet import DAGGER, MISSING, PLUS_MINUS, Entry, Sheet

WIDE = 68
"""Characters of a table's line above which it is set in a smaller size: an article's text is about as wide."""
TEXT = 345.0
"""Width of an article's text in points."""
LONG = 40
"""Lines above which a table is continued in another float: more do not fit on an article's page."""


@dataclass(frozen=True)
class Size:
    """A size that a table is set in."""

    commands: str
    """What stands above the tabular."""
    em: float
    """Points of a character of width 1 in ``WIDTHS``, with a hair added; small fonts are wider than their size."""
    gap: float
    """Points on either side of a column."""


SMALLEST = Size("\\scriptsize\n\\setlength{\\tabcolsep}{2pt}\n", 8.0, 2.0)
SIZES = (Size("", 10.01, 6.0), Size("\\footnotesize\n", 8.52, 6.0), SMALLEST)

FOLD = TEXT / 2 - 2 * SMALLEST.gap
"""Points above which a column is folded where all else fails: two such columns fit."""

BREAK = "\u200b"
"""Where a long name may go on in another line."""
WIDTHS = {
    character: width / 1000
    for width, characters in {
        0: BREAK,
        278: "!',.:;[]`il|",
        306: "fj",
        333: "- ",
        361: "I_",
        389: "()t",
        392: "r",
        394: "s",
        472: "?",
        444: "cez" + DAGGER,
        500: '"$*/0123456789\\^ago{}~',
        528: "Jkqvxy",
        556: "Sbdhnpu",
        618: "LZ",
        653: "F",
        681: "EP",
        708: "B",
        722: "CTw",
        750: "AHNRUVXY",
        764: "D",
        778: "&+<=>KOQ@" + PLUS_MINUS,
        785: "G",
        833: "#%m",
        917: "M",
        1028: "W",
    }.items()
    for character in characters
}
"""Widths in Computer Modern (cmr10.tfm) as shares of 10 points; what is not here is taken for 1."""
BOLD = 1.15
"""How much wider bold figures are; signs in maths mode are not."""
KERNS = tuple(
    (width / 1000, re.compile(f"(?<=[{before}])[{after}]"))
    for width, before, after in (
        (-111, "FVW", "A"),
        (-111, "ARL", "VW"),
        (-83, "TYVWF", "aeoru"),
        (-83, "TY", "A"),
        (-83, "ARL", "TY"),
        (-83, "Py", ",."),
        (-83, "P", "A"),
        (-56, "kv", "a"),
        (-28, "kvcw", "ceohk"),
        (-28, "Py", "aeo"),
        (-28, "FVWKXAR", "CGOQ"),
        (-28, "DO", "AVWXY"),
        (-28, "hmn", "btuvwy"),
        (-28, "bop", "vwxy"),
        (-28, "aut", "vwy"),
        (-28, "AR", "Ut"),
        (-28, "f", "filj"),
        (-166, "-", "-"),
        (28, "bop", "cdeoq"),
        (56, "bopa", "j"),
        (78, "f", "!')?"),
    )
)
"""What pairs of letters have between them more, the most of it."""

GREEK = re.findall(
    r"\w+",
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega",
)
"""The alphabet as Unicode has it."""
LIKE_LATIN = dict(
    re.findall(
        r"(\w+) (\w)",
        "omicron o Alpha A Beta B Epsilon E Zeta Z Eta H Iota I Kappa K Mu M Nu N Omicron O Rho P Tau T Chi X",
    )
)
"""Letters for which TeX has no command of their own."""
SIGNS = re.findall(
    r"(\w+) (\w+)",
    """
    00b1 pm 2213 mp 00d7 times 00f7 div 00b7 cdot 22c5 cdot 00b5 mu 03d1 vartheta 03d5 phi 03f5 epsilon 2113 ell
    2190 leftarrow 2191 uparrow 2192 rightarrow 2193 downarrow 2194 leftrightarrow 21a6 mapsto 21d0 Leftarrow
    21d2 Rightarrow 21d4 Leftrightarrow 2200 forall 2202 partial 2203 exists 2205 emptyset 2207 nabla 2208 in 2209 notin
    220f prod 2211 sum 2218 circ 221a surd 221d propto 221e infty 2227 wedge 2228 vee 2229 cap 222a cup 222b int
    223c sim 2248 approx 2260 neq 2261 equiv 2264 leq 2265 geq 226a ll 226b gg 2282 subset 2286 subseteq
    2295 oplus 2297 otimes 2299 odot 22a5 perp 00ab ll 00bb gg
    """,
)
"""Signs, by their numbers in Unicode, and what maths mode calls them without a package."""
KEPT = re.compile(
    "[ -~\u00a0-\u00aa\u00ac\u00ae-\u00ba\u00bc-\u00cf\u00d1-\u00dd\u00df-\u00ef\u00f1-\u00fd\u00ff-\u0103\u0106-\u010f"
    "\u0112-\u0117\u011a-\u0125\u0128-\u012d\u0130-\u0137\u0139-\u013e\u0141-\u0148\u014c-\u0165\u0168-\u0171\u0174-\u017e"
    "\u01cd-\u01d4\u01e2\u01e3\u01e6-\u01e9\u01f0\u01f4\u01f5\u0218-\u021b\u0232\u0233\u1e02\u1e03\u1e0d\u1e1e-\u1e21"
    "\u1e25\u1e30\u1e31\u1e37\u1e43\u1e45\u1e47\u1e5b\u1e63\u1e6d\u1e8e-\u1e91\u1e9e\u1ef2\u1ef3\u2022\u2026\u2030\u20ac]"
)
"""What pdflatex sets as it stands: ASCII, accented letters and some signs, but not all that Unicode has of them."""
LATEX_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    DAGGER: r"$^\dagger$",
    # At the start of a line, the `\\` of the line before would take these two as its own.
    "[": "{[}",
    "*": "{*}",
    BREAK: r"\allowbreak{}",
    **dict(zip("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", ("-", "-", "--", "--", "---", "---", "$-$"), strict=True)),
    **dict(zip("\u2018\u2019\u201c\u201d\u201e\u2032\u2044", ("`", "'", "``", "''", ",,", "$'$", "/"), strict=True)),
    # Letters that the usual encoding of fonts lacks and that are not others with an accent.
    **dict(zip("\u00d0\u00f0\u0110\u0111\u0126\u0127\u0166\u0167\u014a\u014b", "DdDdHhTtNn", strict=True)),
    **{"\u00de": "Th", "\u00fe": "th"},
    **{chr(int(code, 16)): f"$\\{name}$" for code, name in SIGNS},
    **{
        chr(first + i): LIKE_LATIN.get(name, f"$\\{name}$")
        for first, names in ((0x3B1, GREEK), (0x391, [name.capitalize() for name in GREEK]))
        for i, name in enumerate(names)
        if name != "Varsigma"
    },
}


def escaped(text: str) -> str:
    """Return ``text`` for pdflatex: signs and Greek in maths mode, else the letter without its accent, else "?"."""
    return "".join(map(_escaped, unicodedata.normalize("NFC", text)))


def _escaped(character: str) -> str:
    if character in LATEX_ESCAPES or KEPT.match(character):
        return LATEX_ESCAPES.get(character, character)
    if character.isspace():
        return " "
    plain = unicodedata.normalize("NFKD", character)
    if plain != character:
        return "".join(map(_escaped, plain))
    return "" if unicodedata.category(character) in ("Mn", "Cf") else "?"


def to_latex(sheet: Sheet, caption: str) -> str:
    """Return a floating table under ``caption``, which is plain text.

    A wide one is set in \\footnotesize or \\scriptsize, below a caption of the usual size; one that is wider still is
    split by columns into several below each other, which all begin with the first. A long one goes on in further
    floats of the same number, from a rule where there is one in the second half of a page.
    """
    parts = _parts(sheet, LONG)
    ems = [_ems(part) for part in parts]
    for size in SIZES[_characters(sheet) > WIDE :]:
        if max(map(sum, ems)) * size.em + 2 * size.gap * len(sheet.columns) <= TEXT:
            return _floats(parts, [range(len(sheet.columns))], set(), size, caption)
    widths = [SMALLEST.em * max(column) for column in zip(*ems, strict=True)]
    groups = _groups(widths)
    high = ceil(max(widths) / FOLD)
    heads = 2 * (len(groups) > 1)
    parts = _parts(sheet, max(1, (LONG // len(groups) - heads) // high))
    return _floats(parts, groups, {i for i, width in enumerate(widths) if width > FOLD}, SMALLEST, caption)


def _parts(sheet: Sheet, long: int) -> list[Sheet]:
    """Return the sheet in parts of at most ``long`` lines."""
    starts = [0]
    while len(sheet.lines) - starts[-1] > long:
        last = starts[-1] + long
        starts.append(max((rule for rule in sheet.rules if last - long // 2 < rule <= last), default=last))
    parts = []
    for start, end in zip(starts, [*starts[1:], len(sheet.lines)], strict=True):
        rules = tuple(rule - start for rule in sheet.rules if start < rule < end)
        parts.append(replace(sheet, lines=sheet.lines[start:end], rules=rules))
    return parts


def _groups(widths: Sequence[float]) -> list[list[int]]:
    """Return the columns of each tabular, as many as fit in the smallest size where long entries are folded."""
    spaced = [min(width, FOLD) + 2 * SMALLEST.gap for width in widths]
    groups = [[0]]
    for i, width in enumerate(spaced[1:], 1):
        if len(groups[-1]) > 1 and sum(spaced[j] for j in groups[-1]) + width > TEXT:
            groups.append([0])
        groups[-1].append(i)
    return groups


def _floats(
    parts: Sequence[Sheet], groups: Sequence[Sequence[int]], folded: Collection[int], size: Size, caption: str
) -> str:
    floats = []
    for i, part in enumerate(parts):
        label = "" if i else "\\label{tab:" + re.sub(r"[^A-Za-z0-9:._-]", "-", part.label) + "}\n"
        tabulars = [_tabular(part, group, folded) for group in groups]
        floats.append(
            f"\\begin{{table}}[t]\n\\centering\n\\caption{{{escaped('Continued.' if i else caption)}}}\n{label}"
            + size.commands
            + "\\par\\medskip\n".join(tabulars)
            + "\\end{table}\n"
        )
    return "% Needs \\usepackage{booktabs} in the preamble.\n" + "\\addtocounter{table}{-1}\n".join(floats)


def _tabular(sheet: Sheet, group: Sequence[int], folded: Collection[int]) -> str:
    """Return the columns ``group`` of the sheet; those that are ``folded`` are as wide as ``FOLD``."""
    body = pd.DataFrame(
        [[_fold(_entry(line[i], first=i == 0, fold=i in folded), i in folded) for i in group] for line in sheet.lines],
        columns=[_fold(escaped(_breakable(sheet.columns[i].name, i in folded)), i in folded) for i in group],
    )
    sides = (f"p{{{FOLD:g}pt}}" if i in folded else "r" if sheet.columns[i].number else "l" for i in group)
    table = body.style.hide(axis="index").to_latex(hrules=True, column_format="".join(sides))
    if sheet.rules:
        head, _, rest = table.partition("\\midrule\n")
        lines = rest.splitlines(keepends=True)
        for i in sorted(sheet.rules, reverse=True):
            lines.insert(i, "\\midrule\n")
        table = head + "\\midrule\n" + "".join(lines)
    return table


def _fold(latex: str, fold: bool) -> str:
    """Return ``latex`` for a paragraph whose lines are not stretched."""
    return "\\setlength{\\rightskip}{0pt plus 1fil}" + latex if fold else latex


def _breakable(text: str, fold: bool) -> str:
    """Return ``text`` with breaks after what joins two words, and within what is long without."""
    return re.sub(r"([._=,/:+-]|[^\s._=,/:+-]{20})(?=\S)", rf"\1{BREAK}", text) if fold else text


def _entry(entry: Entry, *, first: bool, fold: bool) -> str:
    text = escaped(_breakable(entry.text, fold and first))
    if not first and text != MISSING:  # numbers: a hyphen is no minus
        text = f"${text}$" if re.fullmatch(r"[+-][\d.]+", text) else re.sub(r"(?<![\w$.])-(?=\d)", "$-$", text)
    return {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[entry.mark] % text


def _characters(sheet: Sheet) -> int:
    """Return how many characters a line has that has the longest entry of every column, with two between columns."""
    longest = [
        max([len(column.name), *(len(line[i].text) for line in sheet.lines)]) for i, column in enumerate(sheet.columns)
    ]
    return sum(longest) + 2 * (len(longest) - 1)


def _ems(sheet: Sheet) -> list[float]:
    """Return the width of each column's widest entry, in ``Size.em``."""
    return [
        max([_em(column.name), *(_entry_em(line[i], first=i == 0) for line in sheet.lines)])
        for i, column in enumerate(sheet.columns)
    ]


def _entry_em(entry: Entry, *, first: bool) -> float:
    # A minus is as wide as a plus.
    text = entry.text if first else re.sub(r"(?<![\w.])-(?=\d)", "+", entry.text)
    return (
        BOLD * _em(text) - (BOLD - 1) * _em(PLUS_MINUS) * text.count(PLUS_MINUS) if entry.mark == "best" else _em(text)
    )


def _em(text: str) -> float:
    joined = sum(width * len(pair.findall(text)) for width, pair in KERNS)
    return joined + sum(WIDTHS.get(unicodedata.normalize("NFKD", character)[0], 1.0) for character in text)
