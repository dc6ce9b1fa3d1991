"""An encoder published without a language-model head is known as such before anything runs."""

import json

import pytest
from safetensors.torch import load_file, save_file
from test_architectures import SMALLER, build

from xtools import encoder, heads, study
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.run import estimate
from xtools.settings import Backbone


@pytest.fixture(params=["FacebookAI/xlm-roberta-base", "google-bert/bert-base-multilingual-cased", "jhu-clsp/mmBERT-small"])
def made(request, tokenizer) -> Encoder:
    changes = {"num_hidden_layers": 1, "vocab_size": 2000}
    return build(request.param, tokenizer, **changes)


def test_weights_say_whether_there_is_a_head_whatever_the_config_says(made, tmp_path):
    encoder.save(made, tmp_path / "whole")
    encoder.save(Encoder(made.model.base_model, made.tokenizer), tmp_path / "body")
    for name, architecture in (("whole", "BertModel"), ("body", "BertForMaskedLM")):
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": [architecture]}))
    assert [heads.is_lacking(str(tmp_path / name)) for name in ("whole", "body")] == [False, True]
    assert [encoder.load(str(tmp_path / name)).predicts_words for name in ("whole", "body")] == [True, False], "as loading finds"


def test_norms_of_older_checkpoints_are_known(tokenizer, tmp_path):
    made = build("google-bert/bert-base-multilingual-cased", tokenizer, num_hidden_layers=1, vocab_size=2000)
    encoder.save(made, tmp_path)
    old = {"cls.predictions.transform.LayerNorm.weight": "cls.predictions.transform.LayerNorm.gamma"}
    state = {old.get(k, k): v for k, v in load_file(tmp_path / "model.safetensors").items() if "cls" not in k or k in old}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    assert not heads.is_lacking(str(tmp_path))


def test_weights_in_several_files_are_known(made, tmp_path):
    encoder.save(made, tmp_path)
    names = list(load_file(tmp_path / "model.safetensors"))
    (tmp_path / "model.safetensors").unlink()
    for kept, lacking in ((lambda name: True, False), (lambda name: name in dict(made.model.base_model.named_parameters()), True)):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(filter(kept, names), "x")}))
        assert heads.is_lacking(str(tmp_path)) == lacking


@pytest.mark.parametrize(("classes", "lacking"), [(["BertModel"], True), (["XLMRobertaForMaskedLM"], False), (None, False)])
def test_without_weights_the_config_says_it(classes, lacking, tiny, tmp_path):
    tiny.config.architectures = classes
    tiny.config.save_pretrained(tmp_path)
    assert heads.is_lacking(str(tmp_path)) == lacking


def test_what_is_not_here_is_not_judged():
    assert not heads.is_lacking("nobody/nothing") and not any(heads.is_lacking(name) for name in SMALLER)
    assert heads.is_lacking("google/siglip-base-patch16-256-multilingual"), "a text tower has none"


def test_mlm_is_refused_by_name_by_the_plan(tokenizer, tmp_path):
    body = build("google-bert/bert-base-multilingual-cased", tokenizer, num_hidden_layers=1, vocab_size=2000).model.base_model
    encoder.save(Encoder(body, tokenizer), tmp_path)
    told = study.load("pocket")
    entries = {"plain": told.backbones[told.first].model_copy(update={"load": str(tmp_path)}), "whole": told.backbones[told.last]}
    asked = told.model_copy(update={"backbones": entries, "recipes": ["none", "mnli", "mnli+mlm"]})
    with pytest.raises(Problem, match=rf"recipes: mnli\+mlm: no language-model head to go on with in plain \({tmp_path}\); take"):
        estimate.show(asked, None)
    heads.check(asked.model_copy(update={"recipes": ["none", "mnli"]}))
    heads.check(asked.model_copy(update={"backbones": {"whole": entries["whole"]}}))


def test_more_layers_than_an_encoder_has_are_told_before_anything_runs():
    base = {"load": "FacebookAI/xlm-roberta-base", "layers": 13}
    told = study.load("xtreme")
    for layers, match in ((13, "backbone FacebookAI/xlm-roberta-base: layers: 13, and it has 12"), (12, None)):
        asked = told.model_copy(update={"backbones": {"base": Backbone(**(base | {"layers": layers}))}})
        if match:
            with pytest.raises(Problem, match=match):
                heads.check(asked)
        else:
            heads.check(asked)
    heads.check(told.model_copy(update={"backbones": {"new": Backbone(load="nobody/nothing", layers=99)}}))  # not here: not judged
