"""English intermediate-task training for zero-shot cross-lingual transfer: training, evaluation and timing, and the study around them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the project
