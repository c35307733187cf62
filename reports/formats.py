"""A sheet as text, or as a workbook. What is special in a format is escaped here and nowhere else."""

import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO, StringIO

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.latex import to_latex
from reports.sheet import Entry, Sheet

FORMATS = ("terminal", "markdown", "latex", "html", "csv", "excel")
"""What ``write`` can write; excel is bytes, the rest text."""

WIDTH = 100
"""Of the terminal's table and caption, in characters."""

BETWEEN = 3
"""Spaces between two columns."""

NAMES = 24
"""Of rows' names there, before longer ones fold."""

WORDS = 24
"""Characters above which a page gives an entry the room of a sentence."""

MARKDOWN_ESCAPES = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$&"})
MARK_WORDS = {
    "terminal": ("marked *", "marked _"),
    "markdown": ("bold", "underlined"),
    "latex": ("bold", "underlined"),
    "html": ("bold", "underlined"),
}


def write(sheet: Sheet, format: str, *, color: bool = False) -> str | bytes:
    """Return the sheet in one of ``FORMATS``; text ends with a newline.

    The terminal's marks are characters, or ANSI bold and underline if ``color``, which other formats ignore. CSV and
    Excel hold unrounded numbers, without marks; CSV is the same to the byte for equal results.

    Raises:
        ValueError: an unknown format.
    """
    if format not in FORMATS:
        raise ValueError(f"The format must be one of {list(FORMATS)}, but it is {format!r}.")
    if format == "csv":
        return to_csv(sheet)
    if format == "excel":
        return to_excel(sheet)
    if format == "terminal":
        return _terminal(sheet, color=color)
    if format == "latex":
        return to_latex(sheet, " ".join([caption_text(sheet, "latex"), *sheet.notes]))
    return html_table(sheet) if format == "html" else _markdown(sheet)


def caption_text(sheet: Sheet, format: str, *, color: bool = False) -> str:
    """Return the caption in the words of a format."""
    best, second = MARK_WORDS["markdown" if color else format]
    return sheet.caption.replace("{best}", best).replace("{second}", second)


def _console(output: StringIO, width: int, *, color: bool) -> Console:
    return Console(
        file=output, width=width, force_terminal=color, force_jupyter=False, color_system="standard" if color else None
    )


def _terminal(sheet: Sheet, *, color: bool) -> str:
    """Return the table with its caption above; ANSI sequences only if ``color``."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    styles = {"best": "bold", "second": "underline", "": ""} if color else {}
    plain = {} if color else {"best": " *", "second": " _"}
    longest = [
        max(map(cell_len, [column.name, *(line[i].text + plain.get(line[i].mark, "") for line in sheet.lines)]))
        for i, column in enumerate(sheet.columns)
    ]
    # Numbers are not cut: a table of many columns is wider, and the names of rows fold. Told no widths, rich would look
    # at every entry three times, which of two thousand rows takes a second.
    room = WIDTH - sum(BETWEEN + width for width in longest[1:])
    names = min(longest[0], max(NAMES, room))
    for i, column in enumerate(sheet.columns):
        width = longest[i] if i else names
        table.add_column(column.name, justify="right" if column.number else "left", width=width, overflow="fold")
    # `Text`, since a plain string would be searched for rich's own markup.
    texts = [
        [Text(entry.text + plain.get(entry.mark, ""), styles.get(entry.mark, "")) for entry in line]
        for line in sheet.lines
    ]
    for rule, block in _blocks(texts, sheet.rules, names):
        if rule:
            table.add_section()
        table.add_row(*map(Text("\n").join, zip(*block, strict=True)))
    output = StringIO()
    console = _console(output, WIDTH, color=color)
    console.print(Text(caption_text(sheet, "terminal", color=color) + "\n"))
    _console(output, sum(BETWEEN + width for width in longest), color=color).print(table)
    if sheet.notes:
        console.print(Text("\n" + "\n".join(sheet.notes)))
    return "\n".join(part.rstrip() for part in output.getvalue().strip().splitlines()) + "\n"


def _blocks(
    lines: Sequence[Sequence[Text]], rules: Collection[int], width: int
) -> Iterator[tuple[bool, list[Sequence[Text]]]]:
    """Yield lines that can be set as one, and whether they have a rule above.

    A table of few high rows looks like one of many, and rich draws it in a fraction of the time. A line whose name does
    not fit into ``width`` stands alone, since it folds.
    """

    def alone(line: Sequence[Text]) -> bool:
        return line[0].cell_len > width or not all(text.plain.isprintable() for text in line)

    start = 0
    for i in range(1, len(lines) + 1):
        if i == len(lines) or i in rules or alone(lines[i]) or alone(lines[i - 1]):
            yield start in rules, list(lines[start:i])
            start = i


def _markdown(sheet: Sheet) -> str:
    """Return the caption as a paragraph, then a pipe table, then the notes."""
    wrap = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
    body = pd.DataFrame(
        [[wrap[entry.mark].format(entry.text.translate(MARKDOWN_ESCAPES)) for entry in line] for line in sheet.lines],
        columns=[column.name.translate(MARKDOWN_ESCAPES) for column in sheet.columns],
    )
    sides = ["right" if column.number else "left" for column in sheet.columns]
    # Left to itself, tabulate reads "+1.50" as a number and writes 1.5.
    pipes = body.to_markdown(index=False, disable_numparse=True, colalign=sides)
    parts = [caption_text(sheet, "markdown"), *sheet.notes]
    first, *rest = [part.translate(MARKDOWN_ESCAPES) for part in parts]
    return "\n\n".join([first, pipes, *rest]) + "\n"


def html_table(sheet: Sheet, *, with_caption: bool = True) -> str:
    """Return the table and its notes as HTML without style; numbers carry what a script sorts them by."""
    tag = {"best": "<b>{}</b>", "second": "<u>{}</u>", "": "{}"}
    heads = [
        f'<th scope="col"{" class=number" if column.number else ""}>{html.escape(column.name)}</th>'
        for column in sheet.columns
    ]
    rows = []
    for line in sheet.lines:
        entries = []
        for i, entry in enumerate(line):
            shown = tag[entry.mark].format(html.escape(entry.text))
            value = "" if i == 0 or (key := _sorts_by(entry)) is None else f' data-value="{key}"'
            side = " class=number" if sheet.columns[i].number else " class=words" if len(entry.text) > WORDS else ""
            entries.append(f'<th scope="row">{shown}</th>' if i == 0 else f"<td{side}{value}>{shown}</td>")
        rows.append(f"<tr>{''.join(entries)}</tr>")
    notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in sheet.notes)
    caption = f"<caption>{html.escape(caption_text(sheet, 'html'))}</caption>\n" if with_caption else ""
    return (
        f"<table>\n{caption}<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + f"\n</tbody>\n</table>\n{notes}"
    )


def _sorts_by(entry: Entry) -> float | None:
    """Return the number that an entry is sorted by: its own, or the one that it begins with; None of words and ids."""
    begins = re.match(r"[+-]?\d+(\.\d+)?(e-?\d+)?(?!\w)", entry.text)
    return float(begins[0]) if entry.sorts_by is None and begins else entry.sorts_by


def to_csv(sheet: Sheet) -> str:
    """Return the numbers with six decimals."""
    # Adding zero takes the sign off -0.0.
    numbers = sheet.numbers.copy()
    for name in numbers.select_dtypes("number"):
        numbers[name] = numbers[name].round(6) + 0
    return numbers.to_csv(float_format="%.6f", na_rep="", lineterminator="\n")


def to_excel(sheet: Sheet, more: Mapping[str, pd.DataFrame] | None = None) -> bytes:
    """Return a workbook: the numbers, the caption, and ``more`` frames by the names of their sheets."""
    output = BytesIO()
    with pd.ExcelWriter(output, engine="openpyxl") as writer:
        for name, frame in {"table": sheet.numbers, **(more or {})}.items():
            frame.to_excel(writer, sheet_name=name)
        text = [caption_text(sheet, "markdown"), *sheet.notes]
        pd.DataFrame({"caption": text}).to_excel(writer, sheet_name="caption", index=False)
        for sheet_name in writer.sheets.values():
            sheet_name.freeze_panes = "B2"
            for row in sheet_name.iter_rows():
                for cell in row:
                    if isinstance(cell.value, str) and cell.value[:1] in "=+-@":
                        cell.data_type, cell.quotePrefix = "s", True  # a name, not a formula
    return output.getvalue()
