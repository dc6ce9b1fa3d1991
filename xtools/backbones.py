"""Phase 1: the encoder of a backbone and seed, published, downloaded or made from nothing; and `make backbones`, which publishes."""

import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
import torch

from xtools import ROOT, encoder, multimodal, pretraining, sources, tasks
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.sources import pictures, world
from xtools.study import Study

CARD = "card.json"
HELD_OUT = 100  # captions per language with which a multimodal encoder is tried


def published(study: Study, backbone: str, seed: int) -> Encoder:
    """The backbone's encoder from its folder or the Hub.

    Raises Problem when a published microworld backbone was made in another version of the world.
    """
    entry = study.backbones[backbone]
    where = entry.load.format(seed=seed)
    local = ROOT / where
    if local.exists() and (local / CARD).exists():
        card = json.loads((local / CARD).read_text())
        if study.source == "microworld" and card["world"] != world.fingerprint():
            raise Problem(
                f"{where}: made for another microworld ({card['world']}, now {world.fingerprint()}); run make backbones PROFILE={study.name}"
            )
    if where.startswith("backbones/") and not local.exists():
        raise Problem(f"{where}: not there; run make backbones PROFILE={study.name}, or take seed {seed} out of the study")
    return encoder.load(str(local) if local.exists() else where, entry.revision, entry.tokenizer)


def at_random(study: Study, backbone: str) -> tuple[Encoder, str]:
    """The backbone's architecture with random weights, and where its tokenizer is from."""
    entry = study.backbones[backbone]
    if not entry.load:
        raise Problem(f"backbones.{backbone}: random weights are of a published encoder; give load")
    texts = [text for found in _evaluation_rows(study, 500).values() for row in found for text in sources.texts(row)]
    return encoder.at_random(entry.load.format(seed=study.seeds[0]), texts)


def make(study: Study, backbone: str, seed: int, checkpoint: Path | None = None) -> tuple[Encoder, dict]:
    """A new encoder, tokenizer included, pretrained on the study's unlabelled text; and its card."""
    entry, settings = study.backbones[backbone], study.pretraining
    involved = [tasks.get(name) for name in [*study.intermediate_tasks, *study.targets]]
    languages = {target: study.languages_of(target) for target in study.targets}
    documents = sources.unlabelled(study.data, involved, languages, settings.documents, seed)
    texts = (text for document in documents for text in ([document] if isinstance(document, str) else document))
    tokenizer = encoder.train_tokenizer(texts, settings.vocabulary, settings.max_length)
    made = encoder.create(tokenizer, entry.layers, entry.hidden, entry.heads, settings.max_length, seed)
    made.precision = encoder.choose_precision(study.precision, made.device, entry.hidden)
    made.model.to(encoder.choose_device(study.device))
    captions, tower = [], None
    if entry.pictures:
        captions, tower = pictures.captions(seed, settings.captions), multimodal.new_tower(made, seed)
    result = pretraining.pretrain(made, documents, settings, seed, checkpoint, captions, tower)
    card = {
        "world": world.fingerprint() if study.source == "microworld" else None,
        "seed": seed,
        "shape": {"layers": entry.layers, "hidden": entry.hidden, "heads": entry.heads},
        "parameters": parameters(made)["all"],
        "documents": len(documents),
        "tokens": result["tokens"],
        "pretraining": settings.model_dump(exclude_none=True),
        "precision": made.precision,
        "curve": {key: result[key] for key in ("steps", "step", "loss")},
    }
    if tower:
        held_out = pictures.parallel("held out", HELD_OUT)
        card |= {"captions": len(captions), "pictures_found": multimodal.found(made.exact(), tower, held_out)}
    return made, card


def obtain(study: Study, backbone: str, seed: int, checkpoint: Path | None = None) -> tuple[Encoder, dict]:
    """The backbone's encoder, loaded or made, and its card (empty for one that comes without)."""
    entry = study.backbones[backbone]
    if not entry.load:
        return make(study, backbone, seed, checkpoint)
    card = ROOT / entry.load.format(seed=seed) / CARD
    return published(study, backbone, seed), json.loads(card.read_text()) if card.exists() else {}


def parameters(made: Encoder) -> dict[str, int]:
    """The number of weights in all, and of those that are word embeddings."""
    embeddings = sum(p.numel() for p in made.model.get_input_embeddings().parameters())
    return {"all": sum(p.numel() for p in made.model.parameters()), "embeddings": embeddings}


def describe(made: Encoder, card: dict) -> pd.DataFrame:
    """The encoder's size, and what its card says of its pretraining."""
    config, size = made.config, parameters(made)
    rows = {
        "architecture": config.model_type,
        "layers x hidden x heads": f"{config.num_hidden_layers} x {config.hidden_size} x {config.num_attention_heads}",
        "vocabulary": f"{config.vocab_size:,}",
        "parameters": f"{size['all']:,} ({size['embeddings']:,} of them word embeddings)",
    }
    if card:
        rows |= {"documents": f"{card['documents']:,}", "tokens read": f"{card['tokens']:,}", "steps": f"{card['curve']['steps']:,}"}
    return pd.DataFrame(rows.items(), columns=["", backbone_name(made)])


def backbone_name(made: Encoder) -> str:
    return Path(made.config.name_or_path).name or "made here"


def _evaluation_rows(study: Study, n: int) -> dict[str, list[dict]]:
    """The first `n` test rows of the first target in each of its languages."""
    task = tasks.get(study.targets[0])
    return {lang: sources.read(study.data, task, "test", lang, n) for lang in study.languages_of(task.name)}


def fertility(made: Encoder, study: Study, n: int = 200) -> dict[str, float]:
    """Sub-words per white-space word in each language (Acs 2019 calls it fertility), on evaluation text."""
    found = {}
    for language, rows in _evaluation_rows(study, n).items():
        text = [sources.texts(row)[0] for row in rows]
        ids = made.tokenizer(text, add_special_tokens=False)["input_ids"]
        found[language] = sum(map(len, ids)) / sum(len(t.split()) for t in text)
    return found


def sample_texts(study: Study, n: int) -> dict[str, list[str]]:
    """A few evaluation texts per language."""
    return {language: [sources.texts(row)[0] for row in rows] for language, rows in _evaluation_rows(study, n).items()}


def publish(study: Study, backbone: str, seed: int) -> str:
    """Make one backbone and write it where the study loads it from, weights as fp16; the line that tells of it."""
    torch.set_num_threads(1)
    folder = ROOT / study.backbones[backbone].load.format(seed=seed)
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    made, card = make(study, backbone, seed)
    card["seconds"] = round(time.monotonic() - start)
    encoder.save(made, folder, torch.float16)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
    return f"{folder.relative_to(ROOT)}: loss {card['curve']['loss'][-1]:.3f} after {card['tokens']:,} tokens in {card['seconds']} s"


def publish_all(study: Study, jobs: int) -> None:
    """Make every published backbone of a study that is missing or of another world, `jobs` at a time."""
    todo = []
    for seed in study.seeds:
        for backbone, entry in study.backbones.items():
            if not (entry.layers and entry.load):
                continue
            card = ROOT / entry.load.format(seed=seed) / CARD
            if not card.exists() or json.loads(card.read_text())["world"] != world.fingerprint():
                todo.append((backbone, seed))
    if not todo:
        print("backbones: all there and of this world; nothing to do")
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(publish, study, *item) for item in todo]):
            print(done.result(), flush=True)
