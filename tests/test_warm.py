import multiprocessing
import os
import time

import pytest
import torch

from xtools.run import warm


def hold(pipe, directory):
    import tempfile

    tempfile.tempdir = directory
    torch.cuda.device_count = lambda: 2
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    with warm.own_gpu():
        pipe.send(os.environ["CUDA_VISIBLE_DEVICES"])
        time.sleep(1)


def test_cells_side_by_side_get_gpus_of_their_own(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    processes = [context.Process(target=hold, args=(theirs, str(tmp_path))) for _ in range(3)]
    for process in processes:
        process.start()
    first, second = ours.recv(), ours.recv()
    assert {first, second} == {"0", "1"}
    assert not ours.poll(0.3), "the third waits until one is free"
    assert ours.recv() in {"0", "1"}
    for process in processes:
        process.join()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_taken(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with warm.own_gpu():
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_preloading_starts_no_python_thread():
    import subprocess
    import sys

    code = "import threading; from xtools.run import warm; warm.preload(); assert threading.active_count() == 1, threading.enumerate()"
    subprocess.run([sys.executable, "-c", code], check=True)
