import pytest
import torch
from transformers import AltCLIPConfig, AltCLIPModel, SiglipConfig, SiglipModel

from xtools import encoder, finetuning, multimodal, pretraining, scoring, sources, tasks
from xtools.problems import Problem
from xtools.sources import pictures
from xtools.training import train
from xtools.words import train_tokenizer


@pytest.fixture(scope="module")
def words():
    texts = [caption["text"] for caption in pictures.captions(1, 500)]
    return train_tokenizer(texts, 800, 128)


def test_captions_find_their_pictures_after_some_training_and_not_before(words, settings):
    made = encoder.create(words, 2, 32, 4, 128, 0)
    tower = multimodal.new_tower(made, 0)
    held_out = {language: found for language, found in pictures.parallel(2, 50).items() if language == "qaa"}
    before = multimodal.found(made, tower, held_out)["qaa"]
    stream = multimodal.caption_stream(made, tower, pictures.captions(0, 3000))
    modules = torch.nn.ModuleDict({"encoder": made.model, "tower": tower})
    train(modules, [stream], settings.model_copy(update={"learning_rate": 2e-3, "batch_size": 32, "epochs": 4}), 0)
    after = multimodal.found(made, tower, held_out)["qaa"]
    assert before < 12 and after > 30, "chance is 2%"


def test_the_loss_is_that_of_transformers_own_clip(words):
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    made = encoder.create(words, 1, 32, 4, 128, 0)
    tower, captions = multimodal.new_tower(made, 0), pictures.captions(3, 6)
    ids = multimodal.pad(words([c["text"] for c in captions])["input_ids"], words.pad_token_id)
    similar = tower.texts(made, ids) @ tower.pictures(multimodal.pixels(captions, "cpu")).T * tower.scale.exp()
    theirs = image_text_contrastive_loss(similar)
    assert multimodal.caption_stream(made, tower, captions).loss([*range(6)]).item() == pytest.approx(theirs.item(), rel=1e-5)


# ---------------------------------------------------------------- text towers of published checkpoints

TEXT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, bos_token_id=0, eos_token_id=2)
VISION = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=16)


def checkpoint(folder, words, kind: str):
    """A small multimodal checkpoint with its tokenizer, as a user would download it; returns its text tower."""
    torch.manual_seed(1)
    size = {"vocab_size": len(words), "pad_token_id": words.pad_token_id}
    if kind == "altclip":
        text, vision = TEXT | size | {"max_position_embeddings": 130, "project_dim": 16}, VISION | {"projection_dim": 16}
        model = AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config=TEXT | size | {"max_position_embeddings": 64}, vision_config=VISION))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model.text_model


@pytest.mark.parametrize("kind", ["altclip", "siglip"])
def test_a_text_tower_keeps_its_weights_trains_and_survives_saving(kind, words, settings, tmp_path):
    published = checkpoint(tmp_path / kind, words, kind)
    made = encoder.load(str(tmp_path / kind))
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), published.parameters(), strict=True))
    task = tasks.get("xnli")
    rows = sources.rows(sources.Source("microworld"), task, "train", "qaa", 16)
    heads, _ = finetuning.fine_tune(made, {"xnli": (task, scoring.encoded(made, task, rows, 64))}, settings, 0)
    encoder.save(made, tmp_path / "tuned")
    again = encoder.load(str(tmp_path / "tuned"))
    assert scoring.predict(again, heads["xnli"], task, rows, 64) == scoring.predict(made, heads["xnli"], task, rows, 64)
    assert not torch.equal(next(iter(again.model.parameters())), next(iter(published.parameters()))), "it was trained"


@pytest.mark.parametrize("kind", ["altclip", "siglip"])
def test_of_a_text_tower_too_the_lowest_layers_can_be_kept(kind, words, tmp_path):
    published = checkpoint(tmp_path, words, kind)
    made = encoder.load(str(tmp_path), layers=1)
    state, whole = made.model.state_dict(), published.state_dict()
    assert made.config.num_hidden_layers == 1 and state.keys() < whole.keys()
    assert all(torch.equal(weight, whole[name]) for name, weight in state.items())


def test_a_task_longer_than_the_tower_reads_is_refused_with_the_reason(words, tmp_path):
    checkpoint(tmp_path, words, "siglip")
    made, task = encoder.load(str(tmp_path)), tasks.get("xquad")
    rows = sources.rows(sources.Source("microworld"), task, "train", "qaa", 4)
    with pytest.raises(Problem, match=r"xquad: max_length is 128, and siglip_text_model reads 64 tokens at most; set tasks\.xquad"):
        scoring.encoded(made, task, rows, 128)


def test_masked_language_modelling_needs_a_head(words, tmp_path):
    checkpoint(tmp_path, words, "altclip")
    with pytest.raises(Problem, match="altclip_text_model has no language-model head"):
        pretraining.masked_lm_stream(encoder.load(str(tmp_path)), [[0, 5, 2]], 0.15)
    assert pretraining.guesses(encoder.load(str(tmp_path)), {"qaa": ["one"]}).empty
