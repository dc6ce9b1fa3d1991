from pathlib import Path

from xtools.api import compare as compare
from xtools.api import ledger as ledger
from xtools.api import load_study as load_study
from xtools.api import run_cell as run_cell
from xtools.api import score_folder as score_folder
from xtools.api import table as table
from xtools.api import time_encoder as time_encoder
from xtools.problems import Problem as Problem

ROOT: Path
__all__: list[str]
