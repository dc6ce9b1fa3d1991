"""What published encoders have not, a language-model head or enough layers: known from config and names of weights, loading none."""

import json
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

from xtools import ROOT, encoder, snapshots
from xtools.problems import Problem
from xtools.settings import Recipe
from xtools.study import Study

HAVE = ("MaskedLM", "PreTraining", "LMHeadModel")  # how transformers calls classes with a head, at their end
RENAMED = {"gamma": "weight", "beta": "bias"}  # of norms, in older checkpoints


def check(study: Study) -> None:
    """Before anything runs, raises Problem for a `+mlm` recipe on an encoder that is known here to have no language-model head, and for more
    `layers` than one is known to have."""
    for name, entry in study.backbones.items():
        if entry.lowest:
            _has_layers(study.place(name, study.seeds[0]), entry.revision, entry.lowest)
    recipes = [recipe for recipe in study.recipes if Recipe.parse(recipe).mlm]
    loaded = {name: entry for name, entry in study.backbones.items() if entry.load and recipes}
    without = [f"{name} ({e.load})" for name, e in loaded.items() if is_lacking(study.place(name, study.seeds[0]), e.revision)]
    if without:
        raise Problem(
            f"recipes: {', '.join(recipes)}: no language-model head to go on with in {', '.join(without)}; "
            "take these recipes or these encoders out of the study"
        )


def _has_layers(where: str, revision: str | None, layers: int) -> None:
    try:
        config = encoder.config_of(where, revision)
    except Problem:
        return  # told by what needs it
    encoder.lowest(config, layers, where)


def is_lacking(where: str, revision: str | None = None) -> bool:
    """Whether an encoder is known to have no language-model head, without a download: False too where nothing of it is here.

    What its weights are called says so; where none are here, the class that its config names.
    """
    try:
        config = encoder.config_of(where, revision)
    except Problem:
        return False  # told by what needs it
    if config.model_type in encoder.TOWERS:
        return True
    names = _names(where, revision)
    if names is None:
        return bool(config.architectures) and not any(name.endswith(HAVE) for name in config.architectures)
    head = _head(config)
    return bool(head) and not head & names


def _head(config) -> set[str]:
    """The names of the weights of an architecture's language-model head, save those that are the word embeddings'."""
    with torch.device("meta"):
        model = transformers.AutoModelForMaskedLM.from_config(config)
    own = set(map(id, model.base_model.parameters()))
    return {name for name, weight in model.named_parameters() if id(weight) not in own}


def _names(where: str, revision: str | None) -> set[str] | None:
    """What an encoder's weights are called, in one file or several, as today's; None where they are not here."""
    for name in ("model.safetensors.index.json", "model.safetensors"):
        path = (ROOT / where if snapshots.is_local(where) else snapshots.folder("models", where, revision)) / name
        if path.exists():
            return {_renamed(key) for key in _keys(path)}
    return None


def _keys(path: Path) -> list[str]:
    if path.suffix == ".json":
        return list(json.loads(path.read_text())["weight_map"])
    with safe_open(path, "pt") as file:
        return list(file.keys())


def _renamed(name: str) -> str:
    stem, _, last = name.rpartition(".")
    return f"{stem}.{RENAMED.get(last, last)}"
