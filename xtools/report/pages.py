"""Executed notebooks as self-contained HTML pages, and a study's index of them."""

import html
from pathlib import Path

import nbformat
import nh3
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from xtools.disk import whole
from xtools.problems import Problem
from xtools.study import Study

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; margin: .8rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .3rem 0 } th, td { padding: .25rem .6rem; text-align: left; vertical-align: top }
thead th { border-bottom: 2px solid #444 } tbody tr:nth-child(even) { background: #f3f5f8 }
img { max-width: 100%; height: auto } pre { overflow-x: auto; background: #f6f6f6; padding: .6rem; font-size: .85rem; white-space: pre-wrap }
.lead { font-size: 1.15rem; border-left: 4px solid #0173b2; padding: .4rem 1rem; background: #f0f6fb } .jp-InputPrompt, .jp-OutputPrompt, .prompt { display: none } .error { border-left: 4px solid #b00020; padding-left: .8rem }
"""
TAGS = "h1 h2 h3 h4 p em strong code pre ul ol li a div span table caption thead tbody tr th td img br hr blockquote del details summary".split()


def page(executed: Path, output: Path, title: str, code: bool = True) -> None:
    """Render an executed notebook as one self-contained HTML file, with or without its code; whatever could run or load is removed."""
    notebook = nbformat.read(executed, as_version=4)
    for shown in (out for cell in notebook.cells for out in cell.get("outputs", []) if "text/html" in out.get("data", {})):
        shown["data"] = {"text/html": shown["data"]["text/html"]}
    hidden = set() if code else {"injected-parameters", "parameters"}
    notebook.cells = [c for c in notebook.cells if not hidden & set(c.metadata.get("tags", []))]
    exporter = HTMLExporter(template_name="basic", exclude_input=not code, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_anchor_links = True
    body, _ = exporter.from_notebook_node(notebook)
    write(output, title, cleaned(body), HtmlFormatter().get_style_defs(".highlight") if code else "")


def cleaned(body: str) -> str:
    """HTML without anything that could run or load, its tables in boxes that scroll."""
    attributes = {"img": {"src", "alt"}, "a": {"href"}, "div": {"class"}, "p": {"class"}, "span": {"class"}, "th": {"colspan", "rowspan"}}
    clean = nh3.clean(body, tags=set(TAGS), attributes=attributes, url_schemes={"data"}, clean_content_tags={"script", "style"})
    return clean.replace("<table", '<div class="wide"><table').replace("</table>", "</table></div>")


def write(output: Path, title: str, body: str, style: str = "") -> None:
    """Write a page: its head, the project's style and more, its body."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
    with whole(output) as partial:
        partial.write_text(f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}{style}</style></head><body>{body}</body></html>\n')


def site(study: Study) -> Path:
    """An index page of a study, runs/<study>/index.html: its report, and every executed notebook by backbone and recipe.

    Links are relative, so that the folder can be read offline and moved. Raises Problem when the study has no report yet.
    """
    if not (study.folder / "report.html").exists():
        raise Problem(f"{study.name}: no report yet; run make study PROFILE={study.name} first")
    rows: dict[tuple, list[str]] = {}
    for cell in study.cells():
        if (cell.folder / "notebook.html").exists():
            what = {"target": cell.target, "timing": "repetition"}.get(cell.phase, cell.phase)
            address = (cell.folder / "notebook.html").relative_to(study.folder)
            recipe = cell.recipe or ("timing" if cell.phase == "timing" else "pretrained")
            rows.setdefault((cell.backbone, recipe), []).append(f'<a href="{address}">{html.escape(what)} {cell.seed}</a>')
    body = "".join(
        f"<tr><td>{html.escape(b)}</td><td>{html.escape(r)}</td><td>{', '.join(links)}</td></tr>" for (b, r), links in rows.items()
    )
    caption = "<caption>Executed notebooks, with their seeds</caption>"
    table = f"<table>{caption}<thead><tr><th>backbone</th><th>recipe</th><th>notebooks</th></tr></thead><tbody>{body}</tbody></table>"
    output = study.folder / "index.html"
    report = '<p class="lead"><a href="report.html">The report</a></p>'
    write(output, study.name, f'<h1>{html.escape(study.title)}</h1>{report}<div class="wide">{table}</div>')
    return output
