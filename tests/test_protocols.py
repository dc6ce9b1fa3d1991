"""The authors' protocol against figures typed from their guide (XTREME's: tests/test_params.py), and how a study takes a protocol up."""

import re

import pytest

from xtools import study
from xtools.problems import Problem
from xtools.settings import over

LARGE, BASE = "FacebookAI/xlm-roberta-large", "FacebookAI/xlm-roberta-base"

# nyu-mll/jiant, jiant/scripts/benchmarks/xtreme/subscripts/d_write_configs.sh: --epochs, --train_batch_size x --gradient_accumulation_steps;
# c_tokenize_and_cache.sh: --max_seq_length
PHANG = {
    "xnli": (2, 4 * 8, 256),
    "pawsx": (5, 4 * 8, 256),
    "udpos": (10, 4 * 8, 256),
    "panx": (10, 4 * 8, 256),
    "xquad": (2, 4 * 4, 384),
    "mlqa": (2, 4 * 4, 384),
    "tydiqa": (2, 4 * 4, 384),
}


@pytest.mark.parametrize("task", PHANG)
def test_phangs_targets_train_as_the_authors_guide_says(task):
    told = study.load("phang").target.for_task(task)
    assert (told.epochs, told.batch_size, told.max_length) == PHANG[task]
    assert told.learning_rate == 1e-5 and (told.warmup, told.decay) == (0.1, 0.9), "e_run_models.sh; xtreme_runconfig_writer.py"
    assert (told.eval_steps, told.eval_rows, told.patience) == (1000, 500, 30), "e_run_models.sh; xtreme_runconfig_writer.py"


def test_a_studys_own_keys_stand_over_its_protocols(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "protocol: phang\ntitle: t\nsource: microworld\nsource_language: qaa\nlanguages: [qaa]\nbackbones: {b: {load: some/encoder}}\n"
        "seeds: [0]\nrecipes: [none]\ntargets: [xnli]\ntarget: {examples: 7, tasks: {xnli: {epochs: 1}}}\n"
    )
    told = study.load("own", tmp_path).target.for_task("xnli")
    assert (told.examples, told.epochs, told.learning_rate, told.patience) == (7, 1, 1e-5, 30)


@pytest.mark.parametrize(
    ("name", "told"), [("xtrem", "xtrem is unknown; did you mean xtreme"), ("[xtreme]", "['xtreme'] is unknown"), ("3", "3 is")]
)
def test_an_unknown_protocol_is_told_with_the_nearest(tmp_path, name, told):
    (tmp_path / "own.yaml").write_text(f"protocol: {name}\n")
    with pytest.raises(Problem, match=re.escape(f"own.yaml: protocol: {told}")):
        study.load("own", tmp_path)


@pytest.mark.parametrize(
    ("exceptions", "told"),
    [
        ({"nobody": {"xnli": {"epochs": 1}}}, "target.backbones: nobody is unknown"),
        ({"tiny": {"xnl": {"epochs": 1}}}, "target.backbones.tiny: xnl is unknown; did you mean xnli"),
        ({"tiny": {"xnli": {"epoch": 1}}}, "backbones.tiny.xnli.epoch: unknown key; did you mean epochs"),
        ({"tiny": {"xnli": {"epochs": 0}}}, "epochs"),
    ],
)
def test_exceptions_for_a_backbone_are_checked(exceptions, told):
    smoke = study.load("smoke").model_dump()
    smoke["target"]["backbones"] = exceptions
    with pytest.raises(ValueError, match=told):
        study.Study.model_validate(smoke)


def test_a_backbone_is_named_by_its_name_or_by_what_it_loads():
    smoke = study.load("xtreme")
    own = {BASE: {"xnli": {"epochs": 7}}, "base": {"xnli": {"epochs": 8}}, LARGE: {"xnli": {"epochs": 9}}}
    told = smoke.model_copy(update={"target": smoke.target.model_copy(update={"backbones": own})})
    assert [told.of(name).target.for_task("xnli").epochs for name in ("base", "large")] == [8, 9]
    assert told.target.for_task("xnli").epochs == 5


def test_over_goes_into_dicts_and_replaces_all_else():
    assert over({"a": 1, "b": {"c": 2, "d": [3]}}, {"b": {"d": [4]}, "e": None}) == {"a": 1, "b": {"c": 2, "d": [4]}, "e": None}
