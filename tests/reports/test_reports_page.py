"""The page of a grid: one file, nothing from outside, no script needed; in a browser, where there is one, it sorts."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.records import Plan, PlannedCell, write_json
from reports import ablation_sheet, page, published, runs_frame, write
from reports.page import LOWEST_FIRST
from reports.sources import StoreSource

ROWS = ('Base <line> & "x" $', "+ SFCL", "never run")
CELLS = tuple(PlannedCell(f"{'abc'[i]}{seed}", row, seed) for i, row in enumerate(ROWS) for seed in (0, 1, 2))
CONTEXT = {"dataset": "Digits", "classes": 10, "image_size": 16, "teacher": "resnet8", "teacher_accuracy": 0.9}
PLAN = Plan("k", "table3", "Ablation <b>", ROWS, ROWS[0], (0, 1, 2), CELLS, CONTEXT | {"student": "resnet8"})
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_BROWSER = pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")

VOID = {"meta", "link", "br", "path", "use", "rect", "image", "hr", "img", "circle"}


@pytest.fixture
def store(tmp_path):
    for i, name in enumerate(("a0", "a1", "a2", "b0", "b1")):
        folder = tmp_path / "cells" / name
        config = {"schedule.epochs": 2, "student_loss.sfcl.weight": float(name[0] == "b"), "seed": int(name[1])}
        write_json(folder / "config.json", {"config": config, "teacher_hash": "t", "numerics": 3})
        machine = {"processor": "P", "device": "cpu", "threads": 1, "python": "3", "torch": "2", "torchvision": "0"}
        result = {"last": 0.5 + 0.05 * i, "best_on_test": 0.9, "seconds": 60.0, "cpu_seconds": 90.0 * (i + 1)}
        final = {"final_mean": 0.45 + 0.05 * i, "final_sd": 0.02 if i else 0.0, "final_epochs": 2 if i else 1}
        write_json(folder / "result.json", result | final | {"environment": machine, "trainer": ["f" * 16]})
        lines = [f'{{"epoch": {e}, "time": {e}.0, "test_accuracy": {0.2 * e}}}' for e in (1, 2)]
        (folder / "log.jsonl").write_text("\n".join(lines))
    write_json(tmp_path / "cells" / "b2" / "failure.json", {"error": "OutOfMemory: <16 GiB>", "traceback": ""})
    return tmp_path


class Balance(HTMLParser):
    """Counts what is open, and collects what refers to elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.open += [] if tag in VOID else [tag]
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_one_file_that_asks_for_nothing(store):
    text = page(StoreSource(store), PLAN, arguments=["--budget", "demo"])
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert all(link.startswith(("#", "data:")) for link in parser.links)
    assert {link[1:] for link in parser.links if link.startswith("#")} <= set(parser.ids)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|data:)", text)
    assert "default-src 'none'" in text


def test_it_says_what_there_is_and_what_is_missing(store):
    text = page(StoreSource(store), PLAN, arguments=["--budget", "demo"], stale=["a0"])
    shown = html.unescape(re.sub(r"<[^>]+>", "", text))
    for part in (
        "5 of 9, 1 failed",
        "4 of 9 planned runs are missing",
        "failed: OutOfMemory: <16 GiB>",
        "1 runs were trained by code that has changed since",
        'never run: no seed that Base <line> & "x" $ has done too.',
        "dfkd ablate table3 --budget demo",
        "dfkd explain table3 '+ SFCL' --budget demo",
        "0.38 CPU hours",  # 90 x (1 + 2 + 3 + 4 + 5) seconds
        "The paper's claims here",
        "+15.00 points",  # seeds 0 and 1: 65 - 50, 70 - 55
    ):
        assert part in shown, part
    assert text.count("<svg") >= 3
    assert "<b>" not in text.split("<title>")[1].split("</title>")[0]


def test_a_run_that_diverged_is_not_missing_anywhere_on_the_page(store):
    machine = {"processor": "P", "device": "cpu", "threads": 1, "python": "3", "torch": "2", "torchvision": "0"}
    end = {
        "error": "loss is nan",
        "epoch": 1,
        "seconds": 3.0,
        "environment": machine,
        "finished": 1.0,
        "trainer": ["f"],
    }
    for name in ("c0", "c1"):
        write_json(store / "cells" / name / "diverged.json", end)
    text = page(StoreSource(store), PLAN)
    shown = html.unescape(re.sub(r"<[^>]+>", "", text))
    # Of nine: five done, one failed, two diverged, and one that has not begun.
    assert "5 of 9, 1 failed, 2 diverged" in shown
    summary = (
        "2 of 9 planned runs are missing; 2 of 9 planned runs diverged, so that they have no accuracy. Rows without"
    )
    assert summary in shown
    caption = shown.partition("2 of 9 runs missing (1 failed). 2 of 9 runs diverged, so that they have no accuracy: ")[
        2
    ]
    assert caption.startswith("never run, seed 0; never run, seed 1.")
    assert text.count('<td class="diverged">diverged') == 2
    assert ".diverged {" in text


def test_the_rows_of_the_paper_alone_are_signed_in_every_format(store):
    rows = ("Real images, labels", "DFKD-FGVC")
    cells = tuple(PlannedCell(f"{'ab'[i]}{seed}", row, seed) for i, row in enumerate(rows) for seed in (0, 1))
    plan = Plan("k", "table1", "Methods", rows, rows[0], (0, 1), cells, CONTEXT | {"dataset": "CUB200"})
    theirs = published("table1")
    sheet = ablation_sheet(runs_frame(StoreSource(store), plan), plan=plan, published=theirs)
    assert [line[0].text for line in sheet.lines] == [*rows, *(f"{name} (paper)" for name in theirs.teacher)]
    assert sheet.lines[-1][-1].text == "76.87"  # the teacher's, as the paper prints it
    for format in ("terminal", "markdown", "latex", "html"):
        text = " ".join(write(sheet, format).split())
        assert "Rows with (paper): the paper's alone." in html.unescape(text), format
        assert "last rule" not in text


def test_every_run_has_last_final_epochs_and_best_side_by_side(store):
    text = page(StoreSource(store), PLAN)
    table = text[text.index("Final 1 or 2 epochs, mean \u00b1 sd (%)") :]
    lines = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in table.split("<tr>")[1:]]
    # Of one epoch there is no sd; the second run has 50 in the mean of its two.
    assert [line[2:5] for line in lines[:2]] == [["50.00", "45.00", "90.00"], ["55.00", "50.00 \u00b1 2.00", "90.00"]]


def test_where_the_options_are_not_known_it_says_so(store):
    text = page(StoreSource(store), PLAN, arguments=None)
    assert "dfkd ablate table3 ...\n" in text
    assert "The dots stand for the options" in text
    assert "The dots stand for the options" not in page(StoreSource(store), PLAN)


def test_an_entry_that_is_a_sentence_has_the_room_of_one(store):
    # "+ SFCL" has two seeds, of the three that are planned, in common with the reference.
    text = page(StoreSource(store), PLAN)
    assert '<td class=words data-value="0.5">n = 2 too small to test' in text
    styles = re.findall(r"^td.*white-space: (\w+)", text, re.MULTILINE)
    assert styles == ["nowrap", "normal"]  # the latter is for words, whose p they are sorted by, and comes last


def test_an_empty_store_has_a_page(tmp_path):
    text = page(StoreSource(tmp_path), PLAN)
    assert "0 of 9" in text
    assert text == page(StoreSource(tmp_path), PLAN)


def test_headings_of_costs_and_names_ask_for_the_lowest_first(store):
    text = page(StoreSource(store), PLAN, networks={"resnet8": (1_000_000, 2_000_000)})
    heads = {html.unescape(name): more for more, name in re.findall(r'<th scope="col"([^>]*)>([^<]*)</th>', text)}
    lowest = {name for name, more in heads.items() if "data-first=ascending" in more}
    assert lowest == LOWEST_FIRST
    assert {"Hours a run", "Parameters (M)", "GFLOPs", "CPU minutes", "Minutes", "Row"} <= lowest
    assert {"Accuracy (%)", "Difference (points)", "Runs", "Last epoch (%)"} <= heads.keys() - lowest


def test_on_paper_nothing_is_cut_off_or_in_the_way(store):
    text = page(StoreSource(store), PLAN)
    rules = dict(re.findall(r"^  (.+?) \{ (.+?) \}$", text.split("@media print {")[1].split("\n}")[0], re.MULTILINE))
    assert rules["nav, thead button::after"] == "display: none;"  # links and arrows do nothing there
    assert rules[".scroll"] == "overflow: visible;"  # what would be scrolled is printed
    assert rules["figure svg"] == "min-width: 0;"  # no wider than the paper
    assert rules["figure, tr"] == "break-inside: avoid;"
    assert rules["h2"] == "break-after: avoid;"
    assert rules["body"].startswith("max-width: none;")
    # What the rules speak of is there.
    for part in ("<nav ", 'class="scroll"', "<figure>", "<thead>"):
        assert part in text


@pytest.mark.slow
@NEEDS_BROWSER
def test_printed_it_is_a_few_pages(store, tmp_path):
    path, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    path.write_text(page(StoreSource(store), PLAN), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([BROWSER, *flags, f"--print-to-pdf={printed}", path.as_uri()], check=True, timeout=200)
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12


PROBE = """
<script>
const report = {buttons: 0, heads: {}};
const table = document.querySelector("table.sortable");
const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
const buttons = table.querySelectorAll("thead button");
report.buttons = buttons.length;
buttons[1].focus();
report.focused = document.activeElement === buttons[1];
report.order = [column(0)];
for (let i = 0; i < 3; i++) { buttons[1].click(); report.order.push(column(0)); }
report.sorted = buttons[1].closest("th").getAttribute("aria-sort");
for (const other of document.querySelectorAll("table.sortable")) {  // of each column what three clicks make of it
  const shown = (i) => [...other.tBodies[0].rows].map((row) => row.cells[i].textContent);
  [...other.tHead.rows[0].cells].forEach((head, i) => {
    const three = [0, 1, 2].map(() => { head.querySelector("button").click(); return shown(i); });
    report.heads[head.textContent] ??= three;
  });
}
report.inner = window.innerWidth;
report.width = document.documentElement.scrollWidth;
setTimeout(() => {  // what is asked for has been asked for by then
  report.requests = performance.getEntriesByType("resource").length;
  top.document.title = "PROBED " + JSON.stringify(report);
}, 500);
</script>
"""
FRAME = (
    '<!doctype html><title></title><iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{text}"></iframe>'
)


def probed(text, folder, *, frame=None):
    """Open ``text`` in a browser, in a frame of that many pixels if given; return the report and all complaints."""
    path = folder / "page.html"
    text = text.replace("</body>", PROBE + "</body>")
    # The window itself is never narrower than 500 pixels.
    path.write_text(FRAME.format(width=frame, text=html.escape(text)) if frame else text, encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--disable-extensions"]
    flags += [
        "--window-size=1200,900",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]
    done = subprocess.run([BROWSER, *flags, path.as_uri()], capture_output=True, text=True, timeout=200, check=True)
    report = json.loads(html.unescape(re.search(r"PROBED (\{.*?\})</title>", done.stdout)[1]))
    return report, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@NEEDS_BROWSER
@pytest.mark.parametrize("frame", [None, 360])
def test_in_a_browser_it_sorts_and_complains_of_nothing(store, tmp_path, frame):
    settings = {"student_loss.mhad.weight_of_a_long_name." + "and_longer" * 10: "x" * 100}
    text = page(StoreSource(store), replace(PLAN, context=PLAN.context | {"settings": settings}))
    report, complaints = probed(text, tmp_path, frame=frame)
    assert complaints == []
    first, second, third = ROWS
    assert report["requests"] == 0
    assert report["focused"]
    assert report["inner"] == (frame or 1200)
    assert report["width"] <= report["inner"]
    # Means: 55, 67.5, none. Best first, then worst first; what is missing stays last; then as it was.
    assert report["order"] == [[f"{first}", second, third], [second, first, third], [first, second, third], list(ROWS)]
    assert report["sorted"] is None


@pytest.mark.slow
@NEEDS_BROWSER
def test_a_first_click_puts_the_cheapest_first_and_numbers_in_names_by_value(store, tmp_path):
    rows = ("width 10", "width 9", "width 100")
    cells = tuple(PlannedCell(f"{'ab'[i % 2]}{i // 2 + i % 2}", row, 0) for i, row in enumerate(rows))
    plan = Plan("k", "grid", "Widths", rows, rows[0], (0,), cells, CONTEXT | {"student": "resnet8"})
    heads = probed(page(StoreSource(store), plan), tmp_path)[0]["heads"]
    by_name = ["width 9", "width 10", "width 100"]
    assert heads["Row"] == [by_name, by_name[::-1], list(rows)]
    # Cells a0, b1 and a1 took 90, 450 and 180 seconds of CPU: 1.5, 7.5 and 3 minutes, 0.025, 0.125 and 0.05 hours.
    assert heads["CPU minutes"] == [["1.50", "3.00", "7.50"], ["7.50", "3.00", "1.50"], ["1.50", "7.50", "3.00"]]
    first, second, _ = heads["Hours a run"]
    assert first == sorted(first) == second[::-1] != second
    # They reached 50, 70 and 55 %.
    assert heads["Accuracy (%)"][0] == ["70.00", "55.00", "50.00"]


@pytest.mark.slow
@NEEDS_BROWSER
def test_a_page_that_complains_or_asks_for_something_is_found_out(store, tmp_path):
    text = page(StoreSource(store), PLAN)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)[0]
    asking = '<script>fetch("http://127.0.0.1:59999/").catch(() => 0)</script></body>'
    report, complaints = probed(text.replace("</body>", '<script>console.error("wrong")</script></body>'), tmp_path)
    assert "wrong" in complaints[0]
    assert report["requests"] == 0
    # The page's own policy refuses a request, which the browser says; without it there is the request.
    _, complaints = probed(text.replace("</body>", asking), tmp_path)
    assert "Content Security Policy" in complaints[0]
    report, _ = probed(text.replace(policy, "").replace("</body>", asking), tmp_path)
    assert report["requests"] == 1


@pytest.mark.slow
@NEEDS_BROWSER
def test_a_page_that_is_too_wide_for_a_narrow_frame_is_found_out(store, tmp_path):
    text = page(StoreSource(store), PLAN).replace("<main>", f"<main><div>{'x' * 100}</div>")
    report, _ = probed(text, tmp_path, frame=360)
    assert report["width"] > report["inner"] == 360
