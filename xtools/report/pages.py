"""Executed notebooks as self-contained HTML pages, a study's report among them, and an index of them all."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import nbformat
import nh3
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from xtools.disk import whole
from xtools.problems import Problem
from xtools.report import drawing, figures
from xtools.study import Study

STYLE = Path(__file__).with_name("page.css").read_text() + drawing.STYLE
SCRIPT = Path(__file__).with_name("page.js").read_text()
HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{HASH}' file: 'self'"
TAGS = set(
    "h1 h2 h3 h4 p em strong code pre ul ol li a div span table caption thead tbody tr th td img br hr blockquote del details summary section "
    "figure figcaption svg line path rect text".split()
)
ATTRIBUTES = {
    "*": {"class", "id"}, "img": {"src", "alt"}, "a": {"href"}, "th": {"colspan", "rowspan"}, "path": {"d"},
    "svg": {"x", "y", "width", "height", "role", "aria-label", "aria-hidden"}, "line": {"x1", "y1", "x2", "y2"},
    "rect": {"x", "y", "width", "height"}, "text": {"x", "y", "text-anchor"},
}  # fmt: skip
LINK = re.compile(r"#|(\.{1,2}/)*\w[^:]*$")  # to a place in the page or to a file beside it; of a host (//host) or a scheme, none
PICTURE = re.compile(r"data:image/(png|jpeg|gif|svg\+xml);base64,")
CELLS = "cells.js"  # beside a study's report: the order of its cells, for their pages' links to the previous and the next


def page(executed: Path, output: Path, title: str, code: bool = True) -> None:
    """Render an executed notebook as one self-contained HTML file, its code folded or left out; whatever could run or load is removed.

    Without its code it is a report: tables that its figures carry as CSV are laid beside it and linked, a section that shows nothing is
    left out, and contents stand beside it.
    """
    notebook = nbformat.read(executed, as_version=4)
    sheets = {}
    for shown in (out for cell in notebook.cells for out in cell.get("outputs", []) if "text/html" in out.get("data", {})):
        if "text/csv" in shown["data"]:
            sheets[shown["metadata"]["text/csv"]["name"]] = shown["data"]["text/csv"]
        shown["data"] = {"text/html": shown["data"]["text/html"]}
    notebook.cells = notebook.cells if code else _telling(notebook.cells)
    exporter = HTMLExporter(template_name="basic", exclude_input=not code, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_anchor_links = True
    body, _ = exporter.from_notebook_node(notebook)
    body = cleaned(body)
    if code:
        write(
            output,
            title,
            f'<nav class="way"><strong>{html.escape(title)}</strong></nav><main>{_fold(body)}</main>',
            HtmlFormatter().get_style_defs(".highlight"),
            script=f"../../{CELLS}",
        )
    else:
        write(output, title, _contents(_linked(body, sheets, output)), kind="contents")


def cleaned(body: str) -> str:
    """HTML without anything that could run or load, its tables in boxes that scroll."""
    clean = nh3.clean(
        body,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_harmless,
        url_schemes={"data"},
        clean_content_tags={"script", "style"},
        link_rel=None,
    )
    return clean.replace("<table", '<div class="wide"><table').replace("</table>", "</table></div>")


def _harmless(tag: str, attribute: str, value: str) -> str | None:
    """An attribute's value; None for a link that leads elsewhere and a picture that is not in the page itself."""
    wanted = {("a", "href"): LINK, ("img", "src"): PICTURE}.get((tag, attribute))
    return value if wanted is None or wanted.match(value) else None


def _fold(body: str) -> str:
    """Each cell's code folded."""
    return re.sub(
        r'(<div class="[^"]*hl-ipython3[^"]*">.*?</pre>\s*</div>)',
        r'<details class="code"><summary>code</summary>\1</details>',
        body,
        flags=re.S,
    )


def _telling(cells: list) -> list:
    """A report's cells without the prose whose code shows nothing, and without the sections of which nothing is left but their heading."""
    kept = []
    for section in _split(cells, "#"):
        blocks = _split(section, "")
        shown = [block for block in blocks if len(block) == 1 or any(cell.get("outputs") for cell in block)]
        if any(len(block) > 1 for block in shown) or all(cell.cell_type == "markdown" for cell in section):
            kept += [cell for block in blocks if block is blocks[0] or block in shown for cell in block]
    return kept


def _split(cells: list, start: str) -> list[list]:
    """Cells in groups, each begun by prose that starts so."""
    groups: list[list] = []
    for cell in cells:
        if not groups or (cell.cell_type == "markdown" and cell.source.startswith(start)):
            groups.append([])
        groups[-1].append(cell)
    return groups


def _linked(body: str, sheets: dict[str, str], output: Path) -> str:
    """The page's figures with anchors and links to their tables, which are written to tables/ beside the page."""
    folder = output.parent / "tables"
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, text in sheets.items():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.csv").write_text(text)
        link = f' <a class="anchor" href="#{name}">#</a> <a class="csv" href="tables/{name}.csv">CSV</a></figcaption>'
        head, mark, rest = body.partition(f'<figure id="{name}">')
        body = head + mark + rest.replace("</figcaption>", link, 1)
    return body


def _contents(body: str) -> str:
    """A report's body with an anchor at each section, and its contents beside it."""
    entries = []

    def anchored(found: re.Match) -> str:
        name = figures.slug(html.unescape(re.sub("<[^>]+>", "", found[1])))
        entries.append(f'<li><a href="#{name}">{found[1]}</a></li>')
        return f'<h2 id="{name}">{found[1]} <a class="anchor" href="#{name}">#</a></h2>'

    body = re.sub(r"<h2[^>]*>(.*?)</h2>", anchored, body, flags=re.S)
    return f'<nav class="toc"><details open><summary>Contents</summary><ul>{"".join(entries)}<li><a href="index.html">All notebooks</a></li></ul></details></nav><main>{body}</main>'


def write(output: Path, title: str, body: str, style: str = "", kind: str = "", script: str = "") -> None:
    """Write a page: its head, the project's style and more, its body; its own short script, and no other, may run."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title><style>{STYLE}{style}</style>'
    scripts = (f'<script src="{script}"></script>' if script else "") + f"<script>{SCRIPT}</script>"
    with whole(output) as partial:
        partial.write_text(f'<!doctype html>\n<html lang="en"><head>{head}</head><body class="{kind}">{body}{scripts}</body></html>\n')


def site(study: Study) -> Path:
    """An index page of a study, runs/<study>/index.html: its report, and every executed notebook by backbone and recipe; and the order of
    its cells, which links each notebook's page to the previous and the next.

    Links are relative, so that the folder can be read offline and moved. Raises Problem when the study has no report yet.
    """
    if not (study.folder / "report.html").exists():
        raise Problem(f"{study.name}: no report yet; run make study PROFILE={study.name} first")
    rows: dict[tuple, list[str]] = {}
    shown = [cell for cell in study.cells() if (cell.folder / "notebook.html").exists()]
    for cell in shown:
        what = {"target": cell.target, "timing": "repetition"}.get(cell.phase, cell.phase)
        recipe = cell.recipe or ("timing" if cell.phase == "timing" else "pretrained")
        address = (cell.folder / "notebook.html").relative_to(study.folder)
        rows.setdefault((cell.backbone, recipe), []).append(f'<a href="{address}">{html.escape(what)} {cell.seed}</a>')
    with whole(study.folder / CELLS) as partial:
        partial.write_text(f"window.CELLS = {json.dumps([str(cell.folder.relative_to(study.folder)) for cell in shown])};\n")
    body = "".join(
        f"<tr><td>{html.escape(b)}</td><td>{html.escape(r)}</td><td>{', '.join(links)}</td></tr>" for (b, r), links in rows.items()
    )
    caption = "<caption>Executed notebooks, with their seeds</caption>"
    table = f"<table>{caption}<thead><tr><th>backbone</th><th>recipe</th><th>notebooks</th></tr></thead><tbody>{body}</tbody></table>"
    output = study.folder / "index.html"
    report = '<p class="lead"><a href="report.html">The report</a></p>'
    write(output, study.name, f'<main><h1>{html.escape(study.title)}</h1>{report}<div class="wide">{table}</div></main>')
    return output
