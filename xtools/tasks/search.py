"""Exact nearest neighbours by cosine between two sets of vectors: of small sets at once, of large ones in tiles.

Vectors [rows, dim] are numpy arrays in fp32 or fp16, of any length; their products are fp32. Tiles are computed on `device`, on a CPU on as
many cores as idle then. One thread computes a tile, whatever their number, and tiles meet in one order: what is found does not hang on the
number. Beside the vectors, memory holds `CHUNK` rows in fp32 and a tile a thread, whatever the sets' sizes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import psutil
import torch

CPU = torch.device("cpu")
SMALL = 2**28  # most pairs of rows that are compared at once: 16,384 x 16,384
BLOCK = 65_536  # candidates that faiss searches at a time
CHUNK = 32_768  # rows of the second set that are held in fp32
GLANCE = 0.1  # seconds of a look at how busy the machine is
TILES = {"cpu": (1024, 4096), "cuda": (8192, 16_384)}  # rows and columns: what stays in a CPU's caches, what fills a GPU

Found = tuple[np.ndarray, np.ndarray]  # cosines, best first, and the rows of the other set that they are with: both [rows, k]


def nearest(queries: np.ndarray, index: np.ndarray, k: int, device: torch.device = CPU) -> Found:
    """The `k` rows of `index` [m, dim] with the largest cosine to each of `queries` [n, dim].

    Of rows with equal cosines that are searched in tiles the first come first; faiss, which searches small sets, has an order of its own.
    """
    return _at_once(queries, index, k) if _is_small(queries, index) else tiled(queries, index, k, device, both=False)[0]


def mutual(x: np.ndarray, y: np.ndarray, k: int, device: torch.device = CPU) -> tuple[Found, Found]:
    """As `nearest`, in both directions: of y to each row of x, and of x to each row of y. Large sets are multiplied once for both."""
    if _is_small(x, y):
        return _at_once(x, y, k), _at_once(y, x, k)
    return tiled(x, y, k, device, both=True)


def _is_small(x: np.ndarray, y: np.ndarray) -> bool:
    return len(x) * len(y) <= SMALL


# ---------------------------------------------------------------- at once


def _at_once(queries: np.ndarray, index: np.ndarray, k: int) -> Found:
    queries = _unit(queries)
    best = faiss.ResultHeap(len(queries), min(k, len(index)), keep_max=True)
    for start in range(0, len(index), BLOCK):  # a normalised copy of all of a large index would not fit beside it
        block = _unit(index[start : start + BLOCK])
        cosines, places = faiss.knn(queries, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(cosines, places + start)
    best.finalize()
    return best.D, best.I


def _unit(x: np.ndarray) -> np.ndarray:
    """A copy of x [n, dim] with rows of length 1, in fp32."""
    x = np.array(x, dtype=np.float32, order="C")
    faiss.normalize_L2(x)
    return x


# ---------------------------------------------------------------- in tiles


class Best:
    """The `k` largest cosines of each of n rows so far and their columns, [n, k], best first; of equal ones the first column's first.

    Tiles come in the order of their columns, so that what is held stands before what is new.
    """

    def __init__(self, n: int, k: int, device: torch.device):
        self.cosines = torch.full((n, k), -torch.inf, device=device)
        self.columns = torch.full((n, k), -1, device=device)

    def add(self, tile: torch.Tensor, row: int, column: int) -> None:
        """Take in a tile [rows, columns] of cosines whose first row and column are the whole's `row` and `column`."""
        least = self.cosines[row : row + len(tile), -1]
        rows = (tile.amax(1) > least).nonzero()[:, 0]
        if len(rows):
            part = tile[rows]
            self._merge(rows + row, part, self._enters(part, least[rows]), column)

    def _enters(self, part: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
        """Which cosines beat the least that is held; while a row lacks some, of a tile's own the largest and what equals them."""
        enters = part > least[:, None]
        if least.isneginf().any():
            enters &= part >= part.topk(min(self.cosines.shape[1], part.shape[1])).values[:, -1:]
        return enters

    def _merge(self, rows: torch.Tensor, part: torch.Tensor, enters: torch.Tensor, column: int) -> None:
        """Put what enters among what is held of `rows`: stable sorts leave equal cosines in the order of their columns."""
        k, (place, new) = self.cosines.shape[1], enters.nonzero(as_tuple=True)
        places = torch.cat([torch.arange(len(rows), device=rows.device).repeat_interleave(k), place])
        cosines = torch.cat([self.cosines[rows].flatten(), part[place, new]])
        columns = torch.cat([self.columns[rows].flatten(), new + column])
        order = cosines.argsort(descending=True, stable=True)
        order = order[places[order].argsort(stable=True)]
        counts = places.bincount()
        rank = torch.arange(len(order), device=rows.device) - (counts.cumsum(0) - counts)[places[order]]
        kept = order[rank < k]
        self.cosines[rows], self.columns[rows] = cosines[kept].view(-1, k), columns[kept].view(-1, k)

    def put(self, row: int, parts: list["Best"]) -> None:
        """Hold, from `row` on, the best of what parts hold of the same rows, each of later columns than those before it."""
        cosines, columns = (torch.cat([getattr(part, name) for part in parts], 1) for name in ("cosines", "columns"))
        order = cosines.argsort(dim=1, descending=True, stable=True)[:, : self.cosines.shape[1]]
        rows = slice(row, row + len(cosines))
        self.cosines[rows], self.columns[rows] = cosines.gather(1, order), columns.gather(1, order)

    def found(self) -> Found:
        return self.cosines.cpu().numpy(), self.columns.cpu().numpy()


@torch.inference_mode()
def tiled(
    x: np.ndarray, y: np.ndarray, k: int, device: torch.device = CPU, both: bool = True, tile: tuple[int, int] | None = None
) -> tuple[Found, Found]:
    """As `mutual`, tile by tile of `tile` (rows, columns); without `both` the second half of what is returned is empty."""
    (high, wide), of_x = tile or TILES[device.type], Best(len(x), min(k, len(y)), device)
    of_y = Best(len(y) if both else 0, min(k, len(x)), device)

    @torch.inference_mode()
    def search(rows: range) -> Best:
        """Compare some of x's rows with `index`; of each of its rows the best among them."""
        of_index = Best(len(index) if both else 0, of_y.cosines.shape[1], device)
        for start in rows:
            block = _moved(x[start : min(start + high, len(x))], device)
            for left in range(0, len(index), wide):
                cosines = block @ index[left : left + wide].T
                of_x.add(cosines, start, top + left)
                if both:
                    of_index.add(cosines.T, left, start)
        return of_index

    with _one_thread_each():
        for top in range(0, len(y), CHUNK):
            index = _moved(y[top : top + CHUNK], device)
            found = _shared(search, range(0, len(x), high), idle_cores() if device.type == "cpu" else 1)
            if both:
                of_y.put(top, found)
    return of_x.found(), of_y.found()


def idle_cores() -> int:
    """How many cores of the machine, of those that this process may use, have nothing to do; one at least."""
    idle = (os.cpu_count() or 1) * (1 - psutil.cpu_percent(GLANCE) / 100)
    return max(1, min(round(idle), len(os.sched_getaffinity(0))))


def _shared(work: Callable[[range], Best], blocks: range, threads: int) -> list[Best]:
    """What `work` gives on even shares of the blocks, one after another, a thread each."""
    size = -(-len(blocks) // threads)
    with ThreadPoolExecutor(threads) as pool:
        return [*pool.map(work, (blocks[start : start + size] for start in range(0, len(blocks), size)))]


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch compute with one thread in each thread: how it shares a product among more may change the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _moved(x: np.ndarray, device: torch.device) -> torch.Tensor:
    """Rows of length 1, in fp32, on a device."""
    return torch.nn.functional.normalize(torch.from_numpy(x).to(device).float(), dim=1)
