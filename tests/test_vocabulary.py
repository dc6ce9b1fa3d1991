"""Training on the rows of the words that it sees is training on the whole matrix, to the bit; and what it changed is all that a cell keeps."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from test_architectures import build

from xtools import encoder, finetuning, restarts, scoring, sources, study, tasks, vocabulary
from xtools.encoder import Encoder
from xtools.problems import Problem

SMOKE = study.load("smoke")
MNLI = tasks.get("mnli")
SMALL = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 6000}
CLASSES = {
    "xlm-roberta": ("FacebookAI/xlm-roberta-base", SMALL),
    "bert": ("google-bert/bert-base-multilingual-cased", SMALL),
    "distilbert": ("distilbert/distilbert-base-multilingual-cased", SMALL | {"hidden_dim": 96}),
    "deberta-v2": ("microsoft/mdeberta-v3-base", SMALL),
    "modernbert": ("jhu-clsp/mmBERT-small", SMALL),
}


def features(made: Encoder, n: int, split: str = "train"):
    return scoring.encoded(made, MNLI, sources.rows(SMOKE.data, MNLI, split, "qaa", n), 64)


def tuned(made: Encoder, how: str, settings, n: int = 400, **more):
    """A copy of the encoder, tuned on MNLI with the study's `vocabulary`, and what training gave."""
    made = copy.deepcopy(made)
    loaded = SMOKE.model_copy(update={"vocabulary": how})
    return made, restarts.tune(made, loaded, {"mnli": (MNLI, features(made, n))}, settings, {"mnli": 64}, 0, **more)


def weights(made: Encoder, result) -> dict[str, torch.Tensor]:
    return made.model.state_dict() | {f"head.{name}": weight for name, weight in result.heads["mnli"].state_dict().items()}


def are_equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", CLASSES)
def test_losses_weights_and_scores_are_those_of_the_whole_matrix_to_the_bit(name, tokenizer, settings):
    start = build(CLASSES[name][0], tokenizer, **CLASSES[name][1])
    told = settings.model_copy(update={"epochs": 1, "clip": 0.01})  # every gradient is clipped, by a norm over all of them
    (made, found), (whole, expected) = (tuned(start, how, told) for how in ("seen", "whole"))
    assert found.curve == expected.curve and found.curve["steps"] == 50
    assert are_equal(weights(made, found), weights(whole, expected))
    table, before = (m.model.base_model.get_input_embeddings().weight for m in (made, start))
    assert 100 < int((table != before).any(1).sum()) < 1600, "few words were seen, and they were trained"
    ids = torch.randint(5, 6000, (4, 30))
    assert torch.equal(made.hidden(ids), whole.hidden(ids)), "unseen words are the published ones"


def test_training_holds_the_rows_that_it_sees_alone(tiny):
    with vocabulary.training(tiny, torch.tensor([0, 1, 2, 7, 9])):
        part = tiny.model.base_model.get_input_embeddings()
        assert part.weight.shape == (5, 32) and part.padding_idx == 1
        assert sum(w.numel() for w in tiny.model.base_model.state_dict().values()) < tiny.model.lm_head.decoder.weight.numel()
        with pytest.raises(IndexError):
            tiny.model.base_model.train()(input_ids=torch.tensor([[0, 8, 2]]))
    assert tiny.model.base_model.get_input_embeddings().weight is tiny.model.lm_head.decoder.weight


def test_development_rows_of_other_words_are_scored_on_the_way_as_on_the_whole_matrix(tiny, settings):
    told = settings.model_copy(update={"eval_steps": 2, "restarts": 1, "learning_rate": 1e-2})
    read = {int(i) for feature in features(tiny, 8) for ids in feature["ids"] for i in ids}
    assert any(int(i) not in read for feature in features(tiny, 50, "dev") for ids in feature["ids"] for i in ids)
    (one, first), (other, second) = (tuned(tiny, how, told, 8) for how in ("seen", "whole"))
    assert first.curve == second.curve and len(first.curve["dev_step"]) > 0
    assert first.attempts == second.attempts and are_equal(weights(one, first), weights(other, second))


def test_a_run_that_is_started_again_starts_from_the_same_rows(tiny, settings, monkeypatch):
    ends = {"seen": iter([33.0, 80.0]), "whole": iter([33.0, 80.0])}
    found = {}
    for how, left in ends.items():
        monkeypatch.setattr(finetuning, "looks", lambda *_, left=left: lambda heads: {"mnli": next(left)})
        made, result = tuned(tiny, how, settings.model_copy(update={"restarts": 1}), 16)
        assert [attempt.ended for attempt in result.attempts] == ["at chance", "kept"]
        found[how] = weights(made, result)
    assert are_equal(*found.values())


def test_a_run_that_fails_leaves_the_whole_matrix(tiny):
    table = tiny.model.base_model.get_input_embeddings()
    with pytest.raises(ZeroDivisionError), vocabulary.training(tiny, torch.tensor([1, 5])):
        1 / 0  # noqa: B018
    assert tiny.model.base_model.get_input_embeddings() is table


def test_what_changes_every_row_has_the_whole_matrix(tiny, settings):
    data = {"mnli": (MNLI, features(tiny, 8))}
    assert vocabulary.changeable(tiny, data, settings, [object()]) is None, "masked-LM's softmax is over all words"
    assert vocabulary.changeable(tiny, data, settings.model_copy(update={"decay_embeddings": True}), []) is None
    ids = vocabulary.changeable(tiny, data, settings, [])
    assert ids.tolist() == sorted({1} | {int(i) for feature in data["mnli"][1] for ids in feature["ids"] for i in ids})


def begun(made: Encoder) -> Encoder:
    """A copy with which a chain of cells begins."""
    made = copy.deepcopy(made)
    made.changed = torch.empty(0, dtype=torch.long)
    return made


def test_a_cell_keeps_what_was_changed_and_the_next_goes_on_from_there(tokenizer, settings, tmp_path):
    start = begun(build(*CLASSES["bert"][:1], tokenizer, **CLASSES["bert"][1]))
    made = start
    for n, folder in ((16, tmp_path / "first"), (40, tmp_path / "second")):
        made, _ = tuned(made, "seen", settings, n)
        vocabulary.save(made, folder)
        again = vocabulary.load(folder, lambda: begun(start))
        assert are_equal(again.model.state_dict(), made.model.state_dict()) and torch.equal(again.changed, made.changed)
        assert [path.name for path in folder.iterdir()] == [vocabulary.FILE]
        assert (folder / vocabulary.FILE).stat().st_size < 0.3 * 4 * sum(p.numel() for p in start.model.parameters())
        made = again
    one, two = (set(load_file(tmp_path / name / vocabulary.FILE)[vocabulary.IDS].tolist()) for name in ("first", "second"))
    assert one < two, "rows of the cell before are handed on"


@pytest.mark.parametrize("known", [False, True])
def test_of_what_may_have_changed_everywhere_all_is_kept(tiny, settings, tmp_path, known):
    start = begun(tiny) if known else tiny
    made, _ = tuned(start, "whole" if known else "seen", settings, 16)
    vocabulary.save(start, tmp_path) if known else None
    vocabulary.save(made, tmp_path)
    assert not (tmp_path / vocabulary.FILE).exists()
    again = vocabulary.load(tmp_path, lambda: 1 / 0)
    assert again.changed is None and are_equal(again.model.state_dict(), encoder.load(str(tmp_path)).model.state_dict())


def test_a_part_of_another_encoder_is_refused(tiny, tokenizer, tmp_path):
    vocabulary.save(begun(tiny), tmp_path)
    with pytest.raises(Problem, match="is of another encoder"):
        vocabulary.load(tmp_path, lambda: encoder.create(tokenizer, 3, 32, 2, 64, 0))
