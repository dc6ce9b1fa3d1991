"""Phase 1: the encoder of a backbone and seed, published, downloaded or made from nothing; and `make backbones`, which publishes."""

import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
import torch

from xtools import ROOT, encoder, multimodal, pretraining, sources, tasks, words
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.settings import Pretraining
from xtools.sources import pictures, world
from xtools.study import Study

CARD = "card.json"
HELD_OUT = 100  # captions per language with which a multimodal encoder is tried


def published(study: Study, backbone: str, seed: int) -> Encoder:
    """The backbone's encoder from its folder or the Hub.

    Raises Problem when a published microworld backbone was made in another version of the world.
    """
    entry, where = study.backbones[backbone], study.place(backbone, seed)
    local = ROOT / where
    if local.exists() and (local / CARD).exists():
        card = json.loads((local / CARD).read_text())
        if study.source == "microworld" and card["world"] != world.fingerprint():
            raise Problem(
                f"{where}: made for another microworld ({card['world']}, now {world.fingerprint()}); run make backbones PROFILE={study.name}"
            )
    if where.startswith("backbones/") and not local.exists():
        raise Problem(f"{where}: not there; run make backbones PROFILE={study.name}, or take seed {seed} out of the study")
    return encoder.load(str(local) if local.exists() else where, entry.revision, entry.tokenizer, entry.lowest)


def at_random(study: Study, backbone: str) -> tuple[Encoder, str]:
    """The backbone's architecture with random weights, and where its tokenizer is from."""
    entry = study.backbones[backbone]
    if not entry.load:
        raise Problem(f"backbones.{backbone}: random weights are of a published encoder; give load")
    texts = [text for found in _evaluation_rows(study, 500).values() for row in found for text in sources.texts(row)]
    return encoder.at_random(study.place(backbone, study.seeds[0]), texts, entry.revision, entry.lowest)


def make(study: Study, backbone: str, seed: int, checkpoint: Path | None = None) -> tuple[Encoder, dict]:
    """A new encoder, tokenizer included, pretrained on the study's unlabelled text; and its card."""
    entry, settings = study.backbones[backbone], study.pretraining
    involved = [tasks.get(name) for name in [*study.intermediate_tasks, *study.targets]]
    languages = {target: study.languages_of(target) for target in study.targets}
    documents = sources.unlabelled(study.data, involved, languages, settings.documents, seed)
    texts = (text for document in documents for text in ([document] if isinstance(document, str) else document))
    tokenizer = words.train_tokenizer(texts, settings.vocabulary, settings.max_length)
    new = encoder.create(tokenizer, entry.layers, entry.hidden, entry.heads, settings.max_length, seed)
    new.precision = encoder.choose_precision(study.precision, new.device, entry.hidden)
    new.model.to(encoder.choose_device(study.device))
    captions, tower = [], None
    if entry.pictures:
        captions, tower = pictures.captions(seed, settings.captions), multimodal.new_tower(new, seed)
    result = pretraining.pretrain(new, documents, settings, seed, checkpoint, captions, tower)
    card = {
        "world": _world(study),
        "seed": seed,
        "shape": _shape(study, backbone),
        "parameters": parameters(new)["all"],
        "documents": len(documents),
        "tokens": result["tokens"],
        "pretraining": _pretraining(study, backbone),
        "precision": new.precision,
        "curve": {key: result[key] for key in ("steps", "step", "loss")},
    }
    if tower:
        held_out = pictures.parallel("held out", HELD_OUT)
        card |= {"captions": len(captions), "pictures_found": multimodal.found(new.exact(), tower, held_out)}
    return new, card


def obtain(study: Study, backbone: str, seed: int, checkpoint: Path | None = None) -> tuple[Encoder, dict]:
    """The backbone's encoder, loaded or made, and its card (empty for one that comes without)."""
    entry = study.backbones[backbone]
    if not entry.load:
        return make(study, backbone, seed, checkpoint)
    card = ROOT / study.place(backbone, seed) / CARD
    return published(study, backbone, seed), json.loads(card.read_text()) if card.exists() else {}


def parameters(made: Encoder) -> dict[str, int]:
    """The number of weights in all, and of those that are word embeddings."""
    embeddings = sum(p.numel() for p in made.model.get_input_embeddings().parameters())
    return {"all": sum(p.numel() for p in made.model.parameters()), "embeddings": embeddings}


def describe(model: Encoder, card: dict) -> pd.DataFrame:
    """The encoder's size, and what its card says of its pretraining."""
    config, size = model.config, parameters(model)
    rows = {
        "architecture": config.model_type,
        "layers x hidden x heads": f"{config.num_hidden_layers} x {config.hidden_size} x {config.num_attention_heads}",
        "vocabulary": f"{config.vocab_size:,}",
        "parameters": f"{size['all']:,} ({size['embeddings']:,} of them word embeddings)",
    }
    if card:
        rows |= {"documents": f"{card['documents']:,}", "tokens read": f"{card['tokens']:,}", "steps": f"{card['curve']['steps']:,}"}
    return pd.DataFrame(rows.items(), columns=["", backbone_name(model)])


def backbone_name(model: Encoder) -> str:
    return Path(model.config.name_or_path).name or "made here"


def _evaluation_rows(study: Study, n: int) -> dict[str, list[dict]]:
    """The first `n` test rows of the first target in each of its languages."""
    task = tasks.get(study.targets[0])
    return {lang: sources.read(study.data, task, "test", lang, n) for lang in study.languages_of(task.name)}


def fertility(model: Encoder, study: Study, n: int = 200) -> dict[str, float]:
    """Sub-words per white-space word in each language (Acs 2019 calls it fertility), on evaluation text."""
    by_language = {}
    for language, rows in _evaluation_rows(study, n).items():
        text = [sources.texts(row)[0] for row in rows]
        ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        by_language[language] = sum(map(len, ids)) / sum(len(t.split()) for t in text)
    return by_language


def sample_texts(study: Study, n: int) -> dict[str, list[str]]:
    """A few evaluation texts per language."""
    return {language: [sources.texts(row)[0] for row in rows] for language, rows in _evaluation_rows(study, n).items()}


def publish(study: Study, backbone: str, seed: int) -> str:
    """Make one backbone and write it where the study loads it from, weights as fp16; the line that tells of it."""
    torch.set_num_threads(1)
    folder = ROOT / study.backbones[backbone].load.format(seed=seed)
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    new, card = make(study, backbone, seed)
    card["seconds"] = round(time.monotonic() - start)
    encoder.save(new, folder, torch.float16)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
    return f"{folder.relative_to(ROOT)}: loss {card['curve']['loss'][-1]:.3f} after {card['tokens']:,} tokens in {card['seconds']} s"


def _world(study: Study) -> str | None:
    return world.fingerprint() if study.source == "microworld" else None


def _shape(study: Study, backbone: str) -> dict[str, int]:
    return study.backbones[backbone].model_dump(include={"layers", "hidden", "heads"})


def _pretraining(study: Study, backbone: str) -> dict:
    """The settings that a backbone is made with; captions are read by one with pictures alone."""
    unread = set() if study.backbones[backbone].pictures else {"captions"}
    return study.pretraining.model_dump(exclude_none=True, exclude=unread)


def differences(study: Study) -> list[str]:
    """One line for each published backbone whose card says otherwise than the study: which keys, and both values."""
    found = {where: _different(study, backbone, card) for backbone, _, where, card in _cards(study) if card}
    return [f"{where}: {'; '.join(lines)}" for where, lines in found.items() if lines]


def _cards(study: Study):
    """(backbone, seed, its folder in the project's, card or None) of every backbone that has a card or that the study could publish."""
    for seed in study.seeds:
        for backbone, entry in study.backbones.items():
            where = entry.load.format(seed=seed) if entry.load else ""
            path = ROOT / where / CARD
            if where and (entry.hidden or path.exists()):
                yield backbone, seed, where, json.loads(path.read_text()) if path.exists() else None


def _different(study: Study, backbone: str, card: dict) -> list[str]:
    """Where a card and the study differ: in the world, and where the study says how the backbone is made, in shape and pretraining.

    A setting that is younger than the card has its default there, since a new setting's default is what was done before it.
    """
    pairs = [("world", card["world"], _world(study))]
    if study.backbones[backbone].hidden:
        pairs += _pairs("shape", card["shape"], _shape(study, backbone))
    if study.backbones[backbone].hidden and study.pretraining:
        defaults = {key: field.default for key, field in Pretraining.model_fields.items() if not field.is_required()}
        pairs += _pairs("pretraining", defaults | card["pretraining"], _pretraining(study, backbone))
    return [f"{key} is {made} in its card, {asked} in the study" for key, made, asked in pairs if made != asked]


def _pairs(part: str, made: dict, asked: dict) -> list[tuple]:
    """(key, value in the card, value in the study) of every key that either has; None is as good as absent."""
    return [(f"{part}.{key}", made.get(key), asked.get(key)) for key in dict.fromkeys([*asked, *made])]


def publish_all(study: Study, jobs: int) -> None:
    """Make every published backbone of a study that is missing, or whose card says otherwise than the study, `jobs` at a time.

    Raises Problem when the study does not say how.
    """
    makeable = [item for item in _cards(study) if study.backbones[item[0]].hidden]
    todo = [(backbone, seed) for backbone, seed, _, card in makeable if not card or _different(study, backbone, card)]
    if not todo:
        print("backbones: all there and as the study has them; nothing to do")
    if todo and not study.pretraining:
        raise Problem(f"params/{study.name}.yaml: pretraining: missing, and {len(todo)} backbones are to be made")
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(publish, study, *item) for item in todo]):
            print(done.result(), flush=True)
