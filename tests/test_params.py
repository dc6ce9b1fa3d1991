"""The studies' settings against figures typed from their sources: google-research/xtreme (scripts/) and nyu-mll/jiant, file by file."""

import itertools
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from xtools import scoring, study, tasks
from xtools.benchmark import BENCHMARKS
from xtools.tasks import span
from xtools.training import rate_at


@dataclass(frozen=True)
class Script:
    """What a script trains XLM-R with: learning rates of base and large, epochs, examples a step times steps accumulated, tokens."""

    file: str
    rates: tuple[float, float]
    epochs: int
    batch: tuple[int, int]
    tokens: int
    warmup: int = 0  # steps; 0 and no decay where neither a script nor its program (third_party/run_*.py, by default) has any
    decay: float = 0.0
    every: int | None = (
        None  # save_steps, where only the checkpoint that is best on the development set is kept (--save_only_best_checkpoint)
    )


XTREME = {
    "xnli": Script("train_xnli.sh", (2e-5, 3e-5), 5, (2, 16), 128, every=100),  # base in 8 x 4
    "pawsx": Script("train_pawsx.sh", (2e-5, 2e-5), 5, (2, 16), 128, every=200),
    "social_iqa": Script("train_xcopa.sh", (2e-5, 3e-5), 5, (2, 16), 128),
    "xcopa": Script("train_xcopa.sh", (2e-5, 3e-5), 5, (2, 16), 128),
    "udpos": Script("train_udpos.sh", (2e-5, 2e-5), 10, (2, 16), 128, every=500),
    "panx": Script("train_panx.sh", (2e-5, 2e-5), 10, (2, 16), 128, every=1000),
    "xquad": Script("train_qa.sh", (3e-5, 3e-5), 3, (4, 8), 384, 500, 0.0001),
    "mlqa": Script("train_qa.sh", (3e-5, 3e-5), 3, (4, 8), 384, 500, 0.0001),
    "tydiqa": Script("train_qa.sh", (3e-5, 3e-5), 3, (4, 8), 384, 500, 0.0001),
    # The path of the model that run_tatoeba.sh scores says all but warm-up and decay, which are those of the script that names models so.
    "squad_v1": Script("run_tatoeba.sh", (3e-5, 3e-5), 2, (2, 16), 384, 500, 0.0001),
    "lareqa": Script("train_lareqa.sh", (2e-5, 2e-5), 3, (4, 4), 256),
    "mewslix": Script("train_mewslix.sh", (1e-5, 1e-5), 2, (8, 4), 64),  # the script has no base
}
UNTRAINED = {"tatoeba": 512, "tatoeba_squad": 512, "bucc2018": 512}  # tokens: MAXL of run_tatoeba.sh and of run_bucc2018.sh
LARGE = ("FacebookAI/xlm-roberta-large", "BAAI/AltCLIP-m9")  # the latter's text tower is the former, trained on
STUDIES = ["xtreme", "xtreme_r", "both", "frontier", "multimodal"]


@pytest.mark.parametrize("profile", STUDIES)
def test_targets_are_trained_as_the_benchmarks_scripts_train_them(profile):
    loaded = study.load(profile)
    for target, (backbone, entry) in itertools.product(loaded.targets, loaded.backbones.items()):
        assert bool(loaded.stages(target)) == (target not in ("tatoeba", "bucc2018"))
        for stage in loaded.stages(target):
            told, script = loaded.of(backbone).target.for_task(stage), XTREME[stage]
            rate = script.rates[entry.load in LARGE]
            assert told.learning_rate == rate, script.file
            assert (told.epochs, told.batch_size, told.max_length) == (script.epochs, script.batch[0] * script.batch[1], script.tokens)
            assert (told.weight_decay, told.clip, told.examples) == (script.decay, 1.0, None), script.file  # max_grad_norm of the programs
            assert (told.eval_steps, told.eval_rows, told.patience) == (script.every, None, None), (
                script.file
            )  # run_tag.py: eval_patience -1
            assert rates(told, 900) == pytest.approx(schedule(script, rate, 900), abs=1e-18), script.file


def rates(settings, steps: int) -> list[float]:
    return [rate_at(step, steps, settings) for step in range(steps)]


@cache
def schedule(script: Script, rate: float, steps: int) -> list[float]:
    """The learning rates of the programs: transformers' linear schedule."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    linear, found = get_linear_schedule_with_warmup(optimizer, script.warmup, steps), []
    for _ in range(steps):
        found += linear.get_last_lr()
        optimizer.step()
        linear.step()
    return found


def test_the_table_has_every_task_that_a_benchmark_trains():
    named = {task for tasks_ in BENCHMARKS.values() for task in tasks_} | {"social_iqa", "squad_v1"}
    assert named == {*XTREME, *UNTRAINED}


@pytest.mark.parametrize("profile", STUDIES)
def test_sentence_vectors_are_those_of_the_benchmarks_script(profile):
    """run_tatoeba.sh, XLM-R large: LAYER=13 of the last NLAYER=24 hidden states, from 0 on; evaluate_retrieval.py: `mean` by default, over
    all tokens, and cosine. For BUCC jiant's xtreme_runconfig_writer.py (retrieval_layer=14, mean): run_bucc2018.sh takes first tokens."""
    loaded = study.load(profile)
    hidden_states = range(25)  # the embeddings, then each layer's
    large = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=24))
    for backbone in loaded.backbones:
        told = loaded.retrieval_of(backbone)
        assert (told.layer or scoring.retrieval_layer(large), told.pooling) == (hidden_states[-24:][13], "mean")
    for target, tokens in UNTRAINED.items():
        assert target not in loaded.targets or loaded.target.for_task(target).max_length == tokens


def test_a_query_of_lareqa_is_shorter_than_an_answer():
    """train_lareqa.sh, run_eval_lareqa.sh: MAX_QUERY_LEN=96, MAX_ANSWER_LEN=256; nothing reads MAX_SEQ_LEN, their sum."""
    task, most = tasks.get("lareqa"), study.load("both").target.for_task("lareqa").max_length
    assert (task.length_of("test", most), task.length_of("candidates", most)) == (96, 256)


def test_windows_and_answers_are_run_squads():
    """train_qa.sh: --doc_stride 128 of 384 tokens; run_squad.py: --max_answer_length 30 by default."""
    assert (384 // span.STEPS, span.MAX_ANSWER) == (128, 30)


@pytest.mark.parametrize("profile", STUDIES)
def test_intermediate_tasks_are_trained_as_the_replication_guide_has_it(profile):
    """jiant: proj/simple/runscript.py, its defaults, which guides/projects/xstilts.md starts from (1e-5, 32 examples, 3 epochs, 256 tokens,
    max_grad_norm 1); warmup_steps_proportion=0.1 of proj/main/scripts/configurator.py; 0.01 of weight decay in shared/model_setup.py; of
    SQuAD, 384 tokens in scripts/benchmarks/xtreme/subscripts/c_tokenize_and_cache.sh and 2 epochs in d_write_configs.sh."""
    loaded = study.load(profile)
    for name in loaded.intermediate_tasks:
        told = loaded.intermediate.for_task(name)
        epochs, tokens = (2, 384) if name.startswith("squad") else (3, 256)
        assert (told.learning_rate, told.batch_size, told.epochs, told.max_length) == (1e-5, 32, epochs, tokens), name
        assert (told.warmup, told.warmup_steps, told.decay, told.weight_decay, told.clip) == (0.1, None, 0.9, 0.01, 1.0), name
        # subscripts/e_run_models.sh: eval_every_steps, no_improvements_for_n_evals; scripts/configurator.py: eval_subset_num
        assert (told.eval_steps, told.patience, told.eval_rows) == (1000, 30, 500), name


@pytest.mark.parametrize("profile", ["xtreme", "xtreme_r", "both"])
def test_masked_lm_on_the_side_is_as_recalled(profile):
    """Phang et al. 2020, recalled and not verified: 5e-6 with masked-LM; jiant's tasks/lib/mlm_simple.py: mlm_probability=0.15."""
    told = study.load(profile).intermediate
    assert (told.mlm_learning_rate, told.mlm_share) == (5e-6, 0.15)
