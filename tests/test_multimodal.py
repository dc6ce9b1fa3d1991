import pytest
import torch

from xtools import encoder, multimodal
from xtools.sources import pictures
from xtools.training import train


@pytest.fixture(scope="module")
def words():
    texts = [caption["text"] for caption in pictures.captions(1, 500)]
    return encoder.train_tokenizer(texts, 800, 128)


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
