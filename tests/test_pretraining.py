import torch

from xtools import pretraining
from xtools.settings import Pretraining
from xtools.sources import world


def test_masking_takes_the_stated_share_and_no_special_token(tokenizer):
    torch.manual_seed(0)
    ids = torch.randint(5, len(tokenizer), (64, 40))
    ids[:, 0], ids[:, -8:] = 0, 1
    masked, chosen = pretraining.mask_tokens(ids, tokenizer, 0.25)
    ordinary = 64 * 31
    assert abs(int(chosen.sum()) / ordinary - 0.25) < 0.03
    assert not chosen[:, 0].any() and not chosen[:, -8:].any()
    assert torch.equal(masked[~chosen], ids[~chosen])
    share = (masked[chosen] == tokenizer.mask_token_id).float().mean()
    assert 0.72 < share < 0.88


def test_no_token_of_a_long_document_is_lost(tokenizer):
    text = " ".join(str(i) for i in range(500))
    whole = tokenizer(text)["input_ids"][1:-1]
    pieces = pretraining.encode_documents(tokenizer, [text], 32)
    assert [t for piece in pieces for t in piece[1:-1]] == whole
    assert max(map(len, pieces)) <= 32


def test_pretraining_learns(tiny):
    settings = Pretraining(learning_rate=2e-3, epochs=1, batch_size=32, max_length=64, documents=1500, vocabulary=1600)
    result = pretraining.pretrain(tiny, world.corpus(0, 1500), settings, 0)
    assert result["loss"][-1] < result["loss"][0] - 0.8
    frame = pretraining.guesses(tiny, {"qaa": ["vo dog"]})
    assert list(frame.columns) == ["language", "text", "gold", "guess"]
