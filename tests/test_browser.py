"""The pages in a real browser, headless Chromium: at three widths, in the dark, clicked on. Skipped, saying so, where there is none."""

import functools
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import nbformat
import pytest

from xtools.report import pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()
WIDTHS = (400, 800, 1280)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: the pages were not seen in a browser")

# What is wider than the page, boxes that scroll apart; everything unfolded first. A page is an <iframe> of this one, as wide as asked.
PROBE = """<!doctype html><meta charset="utf-8"><title>probe</title>%s<pre id="found"></pre><script>
const look = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow, wide = frame.clientWidth;
  const first = page.querySelector(".cards")?.getBoundingClientRect().bottom, paper = view.getComputedStyle(page.body).backgroundColor;
  const contents = page.querySelector(".toc")?.getBoundingClientRect().top;
  page.querySelectorAll("details").forEach((fold) => (fold.open = true));
  const inside = (part) => part.closest(".wide") && !part.classList.contains("wide");
  const out = [...page.body.querySelectorAll("*")].filter((part) => !inside(part) && part.getBoundingClientRect().right > wide + 1);
  const cut = [...page.body.querySelectorAll("p, h1, h2, h3, span, li, td, figcaption, summary")].filter((part) =>
    view.getComputedStyle(part).overflowX === "hidden" && part.scrollWidth > part.clientWidth + 1);
  const name = (part) => `${part.tagName}.${part.getAttribute("class")} ${part.textContent.slice(0, 40)}`;
  const head = page.querySelector("table.dataframe thead th");
  const order = () => [...head.closest("table").tBodies[0].rows].map((row) => row.cells[0].textContent);
  const before = head && order();
  head?.click(); const up = head && order(); head?.click(); const down = head && order();
  view.scrollTo(0, 900);
  return { scroll: page.documentElement.scrollWidth, out: out.map(name), cut: cut.map(name), first, paper, contents, before, up, down,
    later: page.querySelector(".toc")?.getBoundingClientRect().top,
    images: [...page.images].every((image) => image.naturalWidth > 0 && image.alt),
    untold: [...page.querySelectorAll("svg[role=img]")].filter((drawing) => !drawing.getAttribute("aria-label")).length,
    way: [...page.querySelectorAll(".way a")].map((link) => link.getAttribute("href")), code: page.querySelectorAll("details.code").length };
};
onload = () => setTimeout(() => {
  document.querySelector("#found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
}, 300);
</script>"""


def seen(page, folder, *flags, widths=WIDTHS) -> list[dict]:
    """What the probe finds in a page, at each width."""
    frames = "".join(f'<iframe src="file://{page}" width="{width}" height="800" style="border: 0"></iframe>' for width in widths)
    (folder / "probe.html").write_text(PROBE % frames)
    done = chromium(folder / "probe.html", folder, "--allow-file-access-from-files", "--virtual-time-budget=4000", *flags)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.S)
    assert found, done.stderr
    assert not re.search(r"CONSOLE.*(error|refused|https?:)", done.stderr, re.I), done.stderr
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def chromium(page, folder, *flags):
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={folder}/profile",
        "--dump-dom",
        "--enable-logging=stderr",
        "--v=0",
        *flags,
        page if str(page).startswith("http") else f"file://{page}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(folder)})


@pytest.mark.parametrize("page", ["report.html", "index.html", "target/target-tiny-mnli-xnli-s0/notebook.html"])
def test_nothing_is_wider_than_its_page(micro, tmp_path, page):
    for width, found in zip(WIDTHS, seen(micro[0].folder / "runs/micro" / page, tmp_path), strict=True):
        assert found["scroll"] <= width and not found["out"] and not found["cut"], (width, found["out"][:5], found["cut"][:5])
        assert found["images"] and not found["untold"]


def test_the_probe_sees_what_is_too_wide_and_what_is_cut(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='margin:0'><p style='width:600px'>wide</p><p style='width:90px;overflow:hidden;white-space:nowrap'>cut off here and now</p>"
    )
    narrow, *_ = seen(page, tmp_path)
    assert narrow["scroll"] == 600 and narrow["out"] == ["P.null wide"] and narrow["cut"] == ["P.null cut off here and now"]


def test_the_first_screen_holds_the_answers_and_contents_stay_in_sight(micro, tmp_path):
    *_, wide = seen(micro[0].folder / "runs/micro/report.html", tmp_path)
    assert wide["first"] <= 800
    assert 0 <= wide["later"] <= wide["contents"], "contents stay when the page scrolls"


def test_the_pages_follow_the_readers_dark_system(micro, tmp_path):
    page = micro[0].folder / "runs/micro/report.html"
    light, dark = (seen(page, tmp_path, *flags, widths=[800])[0]["paper"] for flags in ([], ["--blink-settings=preferredColorScheme=0"]))
    assert light == "rgb(255, 255, 255)" and max(map(int, re.findall(r"\d+", dark))) < 50


def test_tables_sort_by_a_click(tmp_path):
    rows = ["10.5 [9.0, 12.0]", "–", "-2.0", "1,200", "9.5"]
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    table = f'<table class="dataframe"><thead><tr><th>points</th></tr></thead><tbody>{cells}</tbody></table>'
    pages.write(tmp_path / "sorted.html", "sorted", f"<main>{table}</main>")
    found, *_ = seen(tmp_path / "sorted.html", tmp_path)
    assert found["before"] == rows
    assert found["up"] == ["-2.0", "9.5", "10.5 [9.0, 12.0]", "1,200", "–"]
    assert found["down"] == ["1,200", "10.5 [9.0, 12.0]", "9.5", "-2.0", "–"]


def test_a_notebooks_page_leads_to_its_neighbours_and_back(micro, tmp_path):
    folder = micro[0].folder / "runs/micro/target/target-tiny-mnli-xnli-s0"
    found, *_ = seen(folder / "notebook.html", tmp_path)
    reached = [os.path.normpath(f"{folder}/{link}") for link in found["way"]]  # as a browser does, which follows no links of the disk
    assert len(reached) == 4 and all(map(os.path.exists, reached)) and found["code"] >= 5
    assert found["way"][:2] == ["../../report.html", "../../index.html"]


def test_the_report_prints(micro, tmp_path):
    chromium(micro[0].folder / "runs/micro/report.html", tmp_path, f"--print-to-pdf={tmp_path}/report.pdf")
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"


# ---------------------------------------------------------------- what prose and libraries say

RUN = "document.body.dataset.ran=1"
HOSTILE = f"""
<img src="//evil.example/1.png" srcset="//evil.example/2.png 2x" alt="x"><img src="http://evil.example/3.png"><img src="nowhere.png" onerror="{RUN}">
<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{RUN}'/>"><img alt="<table><meta http-equiv=refresh content=0;url=//evil.example/4>">
<a href="//evil.example/5">a</a><a href="/\\evil.example/6">b</a><a href="\t//evil.example/7">c</a><a href="javascript:{RUN}" onclick="{RUN}">d</a>
<a href="data:text/html,<script>{RUN}</script>">e</a><a href="http://evil.example/8" ping="//evil.example/9">f</a><a href="java&#10;script:{RUN}">g</a>
<style>@import "//evil.example/10.css"; body {{ background: url(//evil.example/11) }}</style><div style="background: url(//evil.example/12)">h</div>
<script>{RUN}</script><script src="//evil.example/13.js"></script><svg onload="{RUN}"><script>{RUN}</script><style>@import "//evil.example/14.css"</style>
<a xlink:href="//evil.example/15" href="//evil.example/16"><text>i</text></a><image href="//evil.example/17" xlink:href="//evil.example/18"/>
<use href="//evil.example/19#x"/><path d="M0 0h9v9" style="fill: url(//evil.example/20)" onmouseover="{RUN}"/><animate onbegin="{RUN}" attributeName="x" dur="1s"/>
<foreignObject><iframe src="//evil.example/21"></iframe></foreignObject></svg><iframe src="//evil.example/22"></iframe><iframe srcdoc="<script>parent.{RUN}</script>"></iframe>
<object data="//evil.example/23"></object><embed src="//evil.example/24"><video src="//evil.example/25" poster="//evil.example/26"></video>
<link rel="stylesheet" href="//evil.example/27"><link rel="prefetch" href="//evil.example/28"><link rel="dns-prefetch" href="//evil.example">
<details open ontoggle="{RUN}"><summary>j</summary></details><input type="image" src="//evil.example/29"><input autofocus onfocus="{RUN}">
<table background="//evil.example/30"><tr><td background="//evil.example/31" onclick="{RUN}">k</td></tr></table><form action="//evil.example/32"></form>
<noscript><p title="</noscript><img src=x onerror={RUN}>"></noscript><math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></table></mtext></math>
<meta http-equiv="refresh" content="0;url=//evil.example/33"><base href="//evil.example/">
"""
PROSE = f"![x](//evil.example/34.png) [y](javascript:{RUN}) [z](//evil.example/35) <img src=x onerror={RUN}>\n\n{HOSTILE}"
# Once a frame is loaded: whether something ran in it, or led it elsewhere, and where its links would lead.
WATCH = """<!doctype html><meta charset="utf-8">%s<pre id="found"></pre><script>
const look = (frame) => {
  const page = frame.contentDocument;
  return page && { ran: page.body.dataset.ran ?? "", title: page.title, links: [...page.querySelectorAll("[href]")].map((link) => `${link.href}`) };
};
onload = () => setTimeout(() => {
  document.querySelector("#found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
}, 1000);
</script>"""


def hostile_notebook():
    """A notebook whose prose and outputs of every kind try to load and to run something."""
    make = nbformat.v4
    kinds = {"text/html": HOSTILE, "image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>", "text/markdown": PROSE}
    kinds |= {"application/javascript": RUN, "text/plain": HOSTILE, "text/latex": f"$x$ {HOSTILE}"}
    outputs = [make.new_output("display_data", data={kind: said}) for kind, said in kinds.items()]
    outputs += [make.new_output("stream", text=HOSTILE), make.new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE])]
    return make.new_notebook(
        cells=[
            make.new_markdown_cell(f"## Title {HOSTILE}"),
            make.new_markdown_cell(PROSE),
            make.new_code_cell(f"# {HOSTILE}", outputs=outputs),
        ]
    )


@pytest.fixture
def served(tmp_path):
    """The address of a folder that is served, so that //host is a host."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def watched(served: str, folder, *names: str) -> tuple[list[dict | None], set[str]]:
    """What happens in some pages, and every address of evil.example that the browser's network log has."""
    (folder / "watch.html").write_text(WATCH % "".join(f'<iframe src="{name}"></iframe>' for name in names))
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1:9"  # where nobody listens
    done = chromium(f"{served}/watch.html", folder, rules, f"--log-net-log={folder}/net.json", "--virtual-time-budget=6000")
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.S)
    asked = set(re.findall(r"evil\.example[^\"\\]*", (folder / "net.json").read_text().replace(rules[2:], "")))
    return json.loads(html.unescape(found[1])) if found else [], asked


def test_neither_prose_nor_output_makes_a_page_ask_a_host_or_run_anything(tmp_path, served):
    executed, title = tmp_path / "executed.ipynb", f"<img src=x onerror={RUN}>"
    nbformat.write(hostile_notebook(), executed)
    for name, code in (("cell.html", True), ("report.html", False)):
        pages.page(executed, tmp_path / name, title, code)
    seen_in, asked = watched(served, tmp_path, "cell.html", "report.html")
    assert not asked
    assert [(found["ran"], found["title"]) for found in seen_in] == [("", title)] * 2, "nothing ran, and nothing led elsewhere"
    links = [link for found in seen_in for link in found["links"]]
    assert links and all(link.startswith(f"{served}/") for link in links), links


def test_the_watch_sees_what_asks_and_runs(tmp_path, served):
    """One at a time, since some would take the page away."""
    (tmp_path / "asks.html").write_text('<title>t</title><body><img src="//evil.example/1.png"><a href="//evil.example/2">a</a>')
    (tmp_path / "runs.html").write_text(f'<title>t</title><body><img src="nowhere.png" onerror="{RUN}">')
    seen_in, asked = watched(served, tmp_path, "asks.html", "runs.html")
    assert any("1.png" in address for address in asked)
    assert [found["ran"] for found in seen_in] == ["", "1"] and seen_in[0]["links"] == ["http://evil.example/2"]
