import json
import os
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()


def chromium(page, folder, *flags):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}/profile", *flags, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(folder)})


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
def test_report_shows_its_tables_and_figures_in_a_browser(micro, tmp_path):
    project, _ = micro
    page = project.folder / "runs/micro/report.html"
    shown = chromium(page, tmp_path, "--dump-dom", "--enable-logging=stderr", "--v=0")
    dom = shown.stdout
    assert dom.count("<table") >= 6 and dom.count("<img") >= 3
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", dom))
    assert "CONSOLE" not in shown.stderr, shown.stderr
    assert not re.search(r'(src|href)="(?!data:|#)', dom), "nothing may point outside the file"
    assert not re.search(r"url\(|@import", dom), "nor may its style"


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_report_fits_its_window(micro, tmp_path, width):
    project, _ = micro
    page = tmp_path / "probe.html"
    text = (project.folder / "runs/micro/report.html").read_text()
    probe = (
        "<script>document.title = document.documentElement.scrollWidth + ' ' + [...document.images].every(i => i.naturalWidth > 0)</script>"
    )
    page.write_text(text.replace("</body>", probe + "</body>"))
    dom = chromium(page, tmp_path, "--dump-dom", f"--window-size={max(width, 500)},900").stdout
    wide, images = re.search(r"<title>(\d+) (true|false)</title>", dom).groups()
    assert int(wide) <= max(width, 500) and images == "true"


def test_every_figure_in_the_report_follows_from_records(micro):
    import numpy as np

    project, _ = micro
    page = (project.folder / "runs/micro/report.html").read_text()
    record = json.loads((project.folder / "runs/micro/target/target-tiny-none-xnli-s0/record.json").read_text())
    scores = [s["accuracy"] for s in record["result"]["scores"].values()]
    assert f"<td>{np.mean(scores):.1f}</td>" in page
    assert "10 of 10 there, 0 missing" in page


def test_report_is_rebuilt_from_records_alone(micro):
    project, _ = micro
    (project.folder / "runs/micro/report.html").unlink()
    done = project.run("report", "micro")
    assert done.returncode == 0 and (project.folder / "runs/micro/report.html").exists()


@pytest.mark.parametrize(("slope", "level", "holds"), [(-30, {"small": 60, "large": 80}, "yes"), (30, {"small": 98, "large": 98}, "no")])
def test_world_checks_see_what_was_planted(slope, level, holds):
    import pandas as pd

    from xtools import report, study
    from xtools.sources import world

    loaded, rows = study.load("pocket"), []
    for backbone in loaded.backbones:
        for target in loaded.targets:
            for seed in loaded.seeds:
                key = {"backbone": backbone, "recipe": "none", "target": target, "seed": seed, "n": 1, "metric": "m"}
                rows.append(key | {"split": "dev", "language": "qaa", "score": level[backbone] + seed})
                for code, language in world.LANGUAGES.items():
                    rows.append(key | {"split": "test", "language": code, "score": level[backbone] + slope * language.distance + seed})
    assert report.world_checks(loaded, pd.DataFrame(rows)).holds.tolist() == [holds] * 4
