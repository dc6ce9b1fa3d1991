"""Nearest neighbours: whatever the tiles, the answer is that of a plain product, equal cosines in the order of their rows."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from xtools.tasks import search


def with_ties(n: int, seed: int) -> np.ndarray:
    """Vectors [n, 8] of four ones each: their cosines are quarters, so exact, and most have equals."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation([1, 1, 1, 1, 0, 0, 0, 0]) for _ in range(n)]).astype(np.float32)


def plain(x: np.ndarray, y: np.ndarray, k: int) -> search.Found:
    """All cosines, sorted."""
    x, y = (v / np.linalg.norm(v.astype(np.float32), axis=1, keepdims=True) for v in (x, y))
    order = np.argsort(-(x @ y.T), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(x @ y.T, order, 1), order


def same(found: search.Found, wanted: search.Found) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 40), m=st.integers(1, 40), k=st.integers(1, 6), tile=st.tuples(st.integers(1, 9), st.integers(1, 9)), data=st.data()
)
def test_tiles_of_any_size_on_any_cores_give_what_a_plain_product_gives_with_ties_in_order(n, m, k, tile, data):
    x, y = with_ties(n, data.draw(st.integers(0, 99))), with_ties(m, data.draw(st.integers(100, 199)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "CHUNK", data.draw(st.integers(1, 50)))
        patch.setattr(search, "idle_cores", lambda: data.draw(st.integers(1, 5)))  # asked anew for each chunk
        of_x, of_y = search.tiled(x, y, k, tile=tile)
    assert same(of_x, plain(x, y, k)) and same(of_y, plain(y, x, k))


def test_large_sets_are_searched_in_tiles_and_agree_with_small_ones(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(n, 24)).astype(np.float32) * 9 for n in (300, 500))
    at_once, both = search.nearest(x, y, 7), search.mutual(x, y, 7)
    monkeypatch.setattr(search, "SMALL", 300 * 500 - 1)
    monkeypatch.setattr(search, "_at_once", None)
    monkeypatch.setattr(search, "TILES", {"cpu": (64, 32)})
    for found, wanted in ((search.nearest(x, y, 7), at_once), *zip(search.mutual(x, y, 7), both, strict=True)):
        assert np.array_equal(found[1], wanted[1]) and np.allclose(found[0], wanted[0], atol=1e-6)


def test_not_a_bit_hangs_on_the_number_of_cores_nor_on_torchs_threads(monkeypatch):
    rng = np.random.default_rng(6)
    x, y = (rng.normal(size=(n, 384)).astype(np.float16) for n in (700, 900))
    monkeypatch.setattr(search, "CHUNK", 400)
    found, before = [], torch.get_num_threads()
    try:
        for cores, threads in ((1, 1), (1, 4), (2, 2), (3, 1), (64, 1)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(search, "idle_cores", lambda cores=cores: cores)
            found.append(search.tiled(x, y, 4, tile=(64, 128)))
            assert torch.get_num_threads() == threads, "what torch may use is as it was"
    finally:
        torch.set_num_threads(before)
    assert all(same(a, b) for other in found[1:] for a, b in zip(other, found[0], strict=True))


def test_every_core_gets_work_and_torch_one_thread_in_each(monkeypatch):
    monkeypatch.setattr(search, "idle_cores", lambda: 3)
    moved, shares = search._moved, {}

    def watched(rows, device):
        shares.setdefault(threading.get_ident(), []).append((len(rows), torch.get_num_threads()))
        return moved(rows, device)

    monkeypatch.setattr(search, "_moved", watched)
    wait = threading.Barrier(3)  # or one thread could do all before the next has begun
    add = search.Best.add
    monkeypatch.setattr(search.Best, "add", lambda *args: (wait.wait(60), add(*args))[1])
    search.tiled(with_ties(90, 0), with_ties(50, 1), 4, tile=(10, 50))
    shares.pop(threading.get_ident())
    assert list(shares.values()) == [[(10, 1)] * 3] * 3


def test_the_cores_that_idle_are_those_that_others_leave(monkeypatch):
    monkeypatch.setattr(search.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(search.os, "sched_getaffinity", lambda process: set(range(6)))
    for busy, idle in ((0, 6), (40, 5), (90, 1), (100, 1)):
        monkeypatch.setattr(search.psutil, "cpu_percent", lambda seconds, busy=busy: busy)
        assert search.idle_cores() == idle


def test_half_precision_in_a_file_is_searched_as_in_memory_and_moves_cosines_little(tmp_path):
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(n, 64)).astype(np.float32) for n in (50, 400))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    file = np.memmap(tmp_path / "y", np.float16, "w+", shape=y.shape)
    file[:] = y
    halves = search.tiled(x.astype(np.float16), y.astype(np.float16), 5)
    assert all(same(a, b) for a, b in zip(halves, search.tiled(x.astype(np.float16), file, 5), strict=True))
    assert np.abs(halves[0][0] - plain(x, y, 5)[0]).max() < 1e-3
    assert (halves[0][1][:, 0] == plain(x, y, 5)[1][:, 0]).mean() > 0.95


def test_a_set_smaller_than_k_is_found_whole():
    x, y = with_ties(5, 0), with_ties(3, 1)
    of_x, of_y = search.tiled(x, y, 4, tile=(2, 2))
    assert of_x[1].shape == (5, 3) and of_y[1].shape == (3, 4)
    assert all(sorted(row) == [0, 1, 2] for row in of_x[1].tolist())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_finds_what_a_cpu_finds():
    x, y = with_ties(700, 2), with_ties(900, 3)
    assert all(same(a, b) for a, b in zip(search.tiled(x, y, 4, torch.device("cuda")), search.tiled(x, y, 4), strict=True))
