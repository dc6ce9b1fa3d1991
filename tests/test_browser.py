"""The pages in a real browser, headless Chromium: at three widths, in the dark, clicked on. Skipped, saying so, where there is none."""

import json
import os
import re
import shutil
import subprocess

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
        f"file://{page}",
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
