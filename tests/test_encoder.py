import pytest
import torch
from safetensors import safe_open

from xtools import encoder as encoders
from xtools.batching import pad
from xtools.problems import Problem
from xtools.settings import Variant


def test_pairs_have_xlmr_layout(tokenizer):
    ids = tokenizer("a", "b")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id == 0
    assert ids[-1] == tokenizer.sep_token_id == 2
    assert ids.count(2) == 3
    assert tokenizer.pad_token_id == 1


def test_save_and_load_keep_the_function(tiny, tmp_path):
    encoders.save(tiny, tmp_path)
    again = encoders.load(str(tmp_path))
    ids = torch.tensor([[0, 9, 10, 2, 1, 1]])
    assert torch.equal(tiny.hidden(ids), again.hidden(ids))
    assert again.tokenizer("x y")["input_ids"] == tiny.tokenizer("x y")["input_ids"]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert len(list(file.keys())) > 10
    assert not list(tmp_path.glob("*.bin"))


def test_half_precision_copy_is_half_the_size_and_close(tiny, tmp_path):
    encoders.save(tiny, tmp_path / "full")
    encoders.save(tiny, tmp_path / "half", torch.float16)
    sizes = [(tmp_path / k / "model.safetensors").stat().st_size for k in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    ids = torch.tensor([[0, 9, 10, 2]])
    assert torch.allclose(tiny.hidden(ids), encoders.load(str(tmp_path / "half")).hidden(ids), atol=0.02)


def test_padding_does_not_change_a_sentence(tiny):
    alone, padded = torch.tensor([[0, 9, 10, 2]]), torch.tensor([[0, 9, 10, 2, 1, 1, 1]])
    assert torch.allclose(tiny.hidden(alone), tiny.hidden(padded)[:, :4], atol=1e-5)


def test_mean_pooling_ignores_padding(tiny):
    hidden = torch.randn(1, 4, 8)
    ids = torch.tensor([[0, 9, 2, 1]])
    assert torch.allclose(encoders.pool(hidden, ids, 1, "mean"), hidden[:, :3].mean(1))
    assert torch.equal(encoders.pool(hidden, ids, 1, "first"), hidden[:, 0])


def test_the_same_seed_gives_the_same_weights(tokenizer):
    a, b, c = (encoders.create(tokenizer, 1, 16, 2, 64, seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_missing_backbone_is_one_line():
    with pytest.raises(Problem, match="nobody/nothing: cannot be loaded") as error:
        encoders.load("nobody/nothing")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_asked_for_by_name_must_be_there():
    with pytest.raises(Problem, match="a GPU was asked for"):
        encoders.choose_device("cuda")


def test_bf16_is_close_to_fp32(tiny):
    ids = torch.tensor([[0, 9, 10, 2]])
    full = tiny.hidden(ids)
    tiny.precision = "bf16"
    assert torch.allclose(full, tiny.hidden(ids), atol=0.1)


def test_a_half_downloaded_encoder_is_told(tiny, tmp_path):
    encoders.save(tiny, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(Problem, match="cannot be loaded") as error:
        encoders.load(str(tmp_path))
    assert "downloaded whole" in str(error.value) and "\n" not in str(error.value)


def test_precision_follows_the_processor_and_the_encoders_width(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert [encoders.choose_precision("auto", cpu, width) for width in (48, 128, 1024)] == ["fp32", "bf16", "bf16"]
    assert encoders.choose_precision("bf16", cpu, 48) == "bf16", "what is asked for is done"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert encoders.choose_precision("auto", cpu, 1024) == "fp32"


@pytest.mark.parametrize(("own", "other"), [("eager", "fp32/sdpa"), ("sdpa", "fp32/eager"), ("sdpa", "fp32/sdpa")])
def test_padding_is_masked_under_every_kind_of_attention(tiny, own, other):
    tiny.model.set_attn_implementation(own)
    ids = pad([[0, *range(9, 29), 2], [0, 9, 10, 2]], tiny.tokenizer.pad_token_id)
    alone = tiny.hidden(ids[1:, :4])
    for made in (tiny, tiny.variant(other)):
        assert torch.allclose(made.hidden(ids)[1:, :4], alone, atol=1e-5)


def test_variants_are_read_apart():
    assert Variant.parse("bf16/sdpa") == Variant("bf16", "sdpa")
    assert Variant.parse("int8/packed/compiled") == Variant("int8", "packed", compiled=True)


@pytest.mark.parametrize(
    "name", ["", "fp32", "fp16/sdpa", "fp32/flash", "fp32/sdpa/", "fp32/sdpa/fast", "fp32/sdpa/compiled/", "fp32/sdpa\n"]
)
def test_a_bad_variant_is_told_by_the_encoder_as_by_the_study(tiny, name):
    for read in (Variant.parse, tiny.variant):
        with pytest.raises(ValueError, match=r"not <fp32, bf16 or int8>/<eager, sdpa or packed>"):
            read(name)


def test_a_variant_runs_as_it_says(tiny):
    made = tiny.variant("bf16/packed")
    assert (made.precision, made.packed, made.body.config._attn_implementation) == ("bf16", True, "packed")
    assert not tiny.packed and tiny.precision == "fp32", "the encoder itself stays as it was"
