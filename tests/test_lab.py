"""JupyterLab itself, in headless Chromium: a double click on a notebook's text, then Run All. Skipped, saying so, without Chromium."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import websocket

from xtools import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--remote-allow-origins=* --remote-debugging-port=0 --window-size=1400,1000"
).split()
PATIENCE = 300  # seconds: the slowest notebook trains for ten on a quiet machine
NOTEBOOKS = ("tour", "1_backbone", "2_intermediate", "3_target", "4_timing", "5_report", "explore")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: JupyterLab was not seen in a browser")


class Browser:
    """A page of Chromium's, driven by its own protocol (Chrome DevTools)."""

    def __init__(self, profile: Path):
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        told = waited(lambda: (profile / "DevToolsActivePort").read_text().split(), 30)
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{told[0]}/json/new", method="PUT")) as answer:
            page = json.load(answer)["webSocketDebuggerUrl"]
        self.socket, self.asked = websocket.create_connection(page, timeout=PATIENCE), 0

    def ask(self, method: str, **params) -> dict:
        """The answer to a command of the protocol."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.asked:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, script: str):
        """What a script gives, its promise awaited."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = PATIENCE):
        """What a script gives as soon as that is something."""
        return waited(lambda: self.value(script), seconds)

    def double_click(self, selector: str, text: str) -> None:
        """A user's double click in the middle of the element with that text."""
        place = self.wait(f"""(() => {{
            const part = [...document.querySelectorAll({selector!r})].find((part) => part.textContent.trim() === {text!r});
            const box = part?.getBoundingClientRect();
            return box?.height && [box.x + 20, box.y + box.height / 2];
        }})()""", 60)  # fmt: skip
        for n in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=n)

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)


def waited(ask, seconds: float):
    """What `ask` gives once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := ask():
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.2)
    raise AssertionError("waited in vain")


@pytest.fixture
def lab(project, tmp_path):
    """`make lab` on a copy of the project that has run nothing, and a browser that shows it."""
    (project.folder / "backbones").symlink_to(ROOT / "backbones")
    (project.folder / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "Makefile", project.folder)
    os.utime(project.folder / "requirements.lock", (0, 0))  # older than the environment, which so is made
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "config"
    settings.mkdir()
    served = {"ServerApp": {"open_browser": False, "port": port, "port_retries": 0, "allow_root": True}, "IdentityProvider": {"token": ""}}
    (settings / "jupyter_server_config.json").write_text(json.dumps(served | {"LabApp": {"expose_app_in_browser": True}}))
    folders = {"JUPYTER_CONFIG_DIR": settings, "JUPYTER_DATA_DIR": tmp_path / "data", "JUPYTER_RUNTIME_DIR": tmp_path / "runtime"}
    environment = os.environ | {key: str(path) for key, path in folders.items()}
    log = open(tmp_path / "lab.log", "w")
    server = subprocess.Popen(["make", "lab"], cwd=project.folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    browser = None
    try:
        waited(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/api").status == 200, 60)
        browser = Browser(tmp_path / "browser")
        browser.ask("Page.navigate", url=f"http://127.0.0.1:{port}/lab/tree/notebooks/tour.py")  # where the server would send a browser
        yield browser
    finally:
        if browser:
            browser.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
        log.close()


PANEL = "[...jupyterapp.shell.widgets('main')].find((widget) => widget.context?.path === %r)"
READY = f"""(() => {{
  const panel = {PANEL};
  return panel?.context.isReady && panel.context.sessionContext?.session?.kernel?.status === "idle" && !!panel.content.widgets;
}})()"""
RUN_ALL = f"(() => {{ jupyterapp.shell.activateById({PANEL}.id); void jupyterapp.commands.execute('notebook:run-all-cells'); }})()"
# What a notebook has come to: nothing while it runs, else the cells that did not run, and the errors among its outputs.
STATE = f"""(() => {{
  const panel = {PANEL};
  if (panel.context.sessionContext.session?.kernel?.status !== "idle") return null;
  const code = panel.content.widgets.map((cell) => cell.model).filter((model) => model.type === "code" && model.sharedModel.source.trim());
  const outputs = code.flatMap((model) => model.outputs.toJSON());
  const errors = outputs.filter((output) => output.output_type === "error").map((output) => output.evalue);
  const left = code.filter((model) => model.executionCount === null).length;
  return left && !errors.length ? null : {{ left, errors, outputs: outputs.length }};
}})()"""


def state_of_runs(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in (folder / "runs").rglob("*") if "encoded" not in path.parts}


def test_every_notebook_runs_in_jupyterlab_from_a_double_click(lab, project):
    lab.wait("window.jupyterapp && true", 120)
    lab.wait(READY % "notebooks/tour.py", 120)  # it opens on the tour, as a notebook
    before = state_of_runs(project.folder)
    for name in NOTEBOOKS:
        path = f"notebooks/{name}.py"
        lab.double_click(".jp-DirListing-item .jp-DirListing-itemText", f"{name}.py")
        lab.wait(READY % path, 120)
        lab.value(RUN_ALL % path)
        found = lab.wait(STATE % path)
        assert not found["left"] and not found["errors"] and found["outputs"] >= 3, (name, found)
        lab.value(f"{PANEL % path}.context.sessionContext.shutdown().then(() => true)")
    assert state_of_runs(project.folder) == before, "no result is kept"
