"""`make gpu` on a CPU: complete with three packages, and no step stops another."""

import json
import os
import resource
import subprocess
import sys
import time

import pytest
import torch

from xtools import ROOT, packing
from xtools.run import contest, gpu
from xtools.settings import Training

# Of what this environment has, the packages that torch, transformers and safetensors do not bring.
ONLY = """
import sys
from importlib.machinery import PathFinder
ABSENT = "accelerate datasets faiss ipykernel jupytext matplotlib nbformat pandas papermill psutil pyarrow pydantic rich scipy seaborn seqeval sklearn"
class Only(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT.split() else PathFinder.find_spec(name, path, target)
sys.meta_path = [Only if finder is PathFinder else finder for finder in sys.meta_path]
from xtools.run import gpu
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", ONLY + code], cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_three_packages_are_enough_to_import_it():
    done = run("import importlib.util; assert not importlib.util.find_spec('pydantic'); print(gpu.contest.lacks_trainer())")
    assert done.returncode == 0, done.stderr
    assert "pip install accelerate" in done.stdout


@pytest.mark.slow
def test_all_is_measured_in_three_minutes_on_a_cpu(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = before.ru_utime + before.ru_stime
    done = run(f"sys.exit(gpu.main(['--output', {str(tmp_path / 'gpu.json')!r}]))")
    assert done.returncode == 0, done.stderr
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)  # of processors: a busy machine takes longer
    assert spent.ru_utime + spent.ru_stime - begun < 180
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {*found["steps"]} == {*gpu.steps(["toy"])} and not [step for step in found["steps"].values() if "failed" in step]
    agreement = found["steps"]["agreement"]["result"]
    assert agreement["padded fp32"]["gradient_cosine"] == pytest.approx(1) and agreement["packed fp32"]["states"] < 1e-4
    assert 1e-4 < agreement["padded bf16"]["states"] < 0.05
    assert found["machine"]["result"]["torch"] == torch.__version__ and "accelerate" in found["trainer"]


def stumble(device, shapes):
    raise RuntimeError("a kernel\nis missing")


def fall(device, shapes):
    os._exit(3)


def dawdle(device, shapes):
    time.sleep(60)


def test_whatever_befalls_a_step_the_others_run_and_it_is_told(tmp_path, monkeypatch, capsys):
    made = {"stumble": stumble, "fall": fall, "dawdle": dawdle, "stand": lambda device, shapes: {"fine": shapes}}
    monkeypatch.setattr(gpu, "steps", lambda shapes: made)
    monkeypatch.setattr(gpu, "EACH", 6)
    assert gpu.main(["--shapes", "toy", "--output", str(tmp_path / "gpu.json")]) == 1
    found = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    told = [found[name].get("failed") for name in made]
    assert told == ["RuntimeError: a kernel is missing", "its process ended with status 3", "not done after 6 s", None]
    assert found["stand"]["result"] == {"fine": ["toy"]}
    assert "stumble: RuntimeError: a kernel is missing" in capsys.readouterr().err


def test_no_step_begins_when_the_time_is_up(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "LIMIT", 3)
    monkeypatch.setattr(gpu, "steps", lambda shapes: {"stumble": stumble})
    gpu.main(["--shapes", "toy", "--output", str(tmp_path / "gpu.json")])
    assert json.loads((tmp_path / "gpu.json").read_text())["steps"]["stumble"]["failed"] == "no time was left"


def test_a_way_that_computes_something_else_is_seen():
    made = {"states": torch.ones(4), "gradient": torch.tensor([1.0, 0.0]), "logits": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}
    other = {"states": torch.ones(4) * 1.5, "gradient": torch.tensor([0.0, 1.0]), "logits": torch.tensor([[1.0, 0.0], [1.0, 0.0]])}
    found = gpu.compared(other, made)
    assert found == {"states": 0.5, "gradient": pytest.approx(2**0.5), "gradient_cosine": 0.0, "logits": 1.0, "same_predictions": 0.5}


def test_a_fault_in_packing_is_seen(monkeypatch):
    monkeypatch.setattr(gpu, "WAYS", {name: gpu.WAYS[name] for name in ("padded fp32", "packed fp32")})
    right = gpu.agreement(torch.device("cpu"), ["toy"])["packed fp32"]
    monkeypatch.setitem(packing.FIRST_POSITION, "xlm-roberta", lambda config: 0)
    wrong = gpu.agreement(torch.device("cpu"), ["toy"])["packed fp32"]
    assert right["states"] < 1e-5, "0 where torch computes both in the same way, as some CPUs do"
    assert wrong["states"] > 0.1
    assert right["gradient_cosine"] > 0.9999 > wrong["gradient_cosine"]


def test_its_settings_are_a_studys_defaults():
    told = Training(learning_rate=1e-5, epochs=1, batch_size=8, max_length=contest.LONGEST)
    assert {**contest.SETTINGS, "batch_size": 8} == told.model_dump()
