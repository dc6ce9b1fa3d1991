import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xtools import ROOT, study
from xtools.benchmark import BENCHMARKS, XTREME, XTREME_R
from xtools.problems import Problem
from xtools.study import Cell, Recipe

SHIPPED = sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))


def write(folder, **changes):
    """params/smoke.yaml with changes; a dotted key reaches inside."""
    values = yaml.load((ROOT / "params" / "smoke.yaml").read_text(), study.Loader)
    for key, value in changes.items():
        *path, last = key.split("__")
        inside = values
        for part in path:
            inside = inside[part]
        inside[last] = value
    (folder / "bad.yaml").write_text(yaml.safe_dump(values))


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """A folder for the studies that need one."""
    monkeypatch.setenv("XTOOLS_MIRROR", str(tmp_path))


@pytest.mark.parametrize("profile", SHIPPED)
def test_shipped_studies_load(mirrored, profile):
    loaded = study.load(profile)
    assert loaded.title and loaded.cells()


@pytest.mark.parametrize("profile", SHIPPED)
def test_a_resolved_study_loads_again_as_the_same(mirrored, tmp_path, profile):
    loaded = study.load(profile)
    (tmp_path / f"{profile}.yaml").write_text(study.resolved(loaded))
    assert study.load(profile, tmp_path) == loaded
    assert all(key in yaml.safe_load(study.resolved(loaded)) for key in study.Study.model_fields if key != "name"), "defaults too"


@given(text=st.one_of(st.from_regex(r"-?[0-9]{1,4}[eE]-?[0-9]{1,3}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=30)))
@settings(max_examples=100, deadline=None)
def test_any_text_survives_in_a_resolved_study(text):
    loaded = study.load("smoke").model_copy(update={"title": text})
    assert yaml.load(study.resolved(loaded), study.Loader)["title"] == text


def likes(folder, **files):
    """A base study `whole`, and for each keyword a file with the given keys."""
    (folder / "whole.yaml").write_text((ROOT / "params" / "smoke.yaml").read_text())
    for name, values in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))


def test_a_study_like_another_has_its_keys_save_its_own(tmp_path):
    timing = {"examples": 7}
    likes(tmp_path, part={"like": "whole", "seeds": [4], "timing": timing})
    whole, part = (study.load(name, tmp_path) for name in ("whole", "part"))
    assert part.seeds == [4]
    assert part.timing == study.Timing(**timing), "a key's whole value is replaced"
    own = {"name", "seeds", "timing"}
    assert part.model_dump(exclude=own) == whole.model_dump(exclude=own)


def test_null_takes_a_key_of_the_other_study_away(tmp_path):
    likes(tmp_path, part={"like": "whole", "timing": None, "evaluation": None, "precision": None})
    part = study.load("part", tmp_path)
    assert (part.timing, part.evaluation, part.precision) == (study.Timing(), study.Evaluation(), "auto")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"like": "whol"}, "part.yaml: like: whol: no such study; did you mean whole?"),
        ({"like": ["whole"]}, "part.yaml: like: ['whole']: no such study"),
        ({"like": None}, "part.yaml: like: None: no such study"),
        ({"like": "part"}, "part.yaml: like: part is this study itself"),
        ({"like": "other"}, "part.yaml: like: other is itself like whole; name a study that stands alone"),
        ({"like": "empty"}, "empty.yaml: must hold keys"),
        ({"like": "whole", "title": None}, "part.yaml: title: missing"),
        ({"like": "whole", "evaluaton": None}, "part.yaml: evaluaton: unknown key; did you mean evaluation?"),
        ({"like": "whole", "target": {"epochs": 1}}, "part.yaml: target.learning_rate: missing"),
        ({"like": "wrong"}, "wrong.yaml: target.epochs: 0 is not valid"),
        ({"liek": "whole"}, "part.yaml: title: missing"),
    ],
)
def test_what_a_study_cannot_be_like_is_one_line(tmp_path, values, told):
    wrong = yaml.load((ROOT / "params" / "smoke.yaml").read_text(), study.Loader)
    wrong["target"]["epochs"] = 0
    likes(tmp_path, part=values, other={"like": "whole"}, empty=[], wrong=wrong)
    with pytest.raises(Problem) as error:
        study.load("part", tmp_path)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_an_encoder_beside_the_data_sets_is_taken_from_there(mirrored, tmp_path):
    loaded = study.load("laptop_folder")
    assert loaded.place("eight", 0) == "intfloat/multilingual-e5-small"
    beside = tmp_path / "intfloat" / "multilingual-e5-small"
    beside.mkdir(parents=True)
    (beside / "config.json").write_text("{}")
    assert loaded.place("eight", 0) == loaded.place("twelve", 1) == str(beside)
    assert study.load("pocket_full").place("large", 2) == "backbones/large-s2"


def test_a_task_may_be_scored_on_rows_of_its_own_number():
    rows = study.Evaluation(dev=50, test=100, tasks={"tatoeba": {"test": None}, "xquad": {"test": 60}})
    assert [(rows.of(name).dev, rows.of(name).test) for name in ("tatoeba", "xquad", "xnli")] == [(50, None), (50, 60), (50, 100)]


def test_backbones_are_named_once_from_small_to_large():
    loaded = study.load("pocket")
    assert (loaded.first, loaded.last) == ("small", "large")
    assert study.load("smoke").first == study.load("smoke").last == "tiny"


def test_a_study_of_a_folder_needs_its_variable(monkeypatch):
    monkeypatch.delenv("XTOOLS_MIRROR", raising=False)
    with pytest.raises(Problem, match=r"params/laptop_folder.yaml: source: \$XTOOLS_MIRROR is not set"):
        study.load("laptop_folder")
    monkeypatch.setenv("XTOOLS_MIRROR", "/nowhere/at/all")
    with pytest.raises(Problem, match="no such folder"):
        study.load("laptop_folder")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipes": ["none", "mnlj"]}, ["recipes", "mnlj", "did you mean mnli"]),
        ({"recipes": ["none", "mnli+mln"]}, ["recipes", "mnli+mln", "<task>[-mt][+mlm][@N]"]),
        ({"recipes": ["none", "mnli@0"]}, ["recipes", "mnli@0"]),
        ({"recipes": ["none@5"]}, ["recipes", "none takes no"]),
        ({"recipes": ["mnli+mlm"]}, ["intermediate.mlm_examples", "missing"]),
        ({"recipes": ["xnli"]}, ["recipes", "xnli", "did you mean mnli"]),
        ({"targets": ["xnil"]}, ["targets", "xnil", "did you mean xnli"]),
        ({"target__learning_rate": -1e-3}, ["target.learning_rate", "-0.001", "greater than 0"]),
        ({"target__learning_rte": 1e-3}, ["target.learning_rte", "unknown key", "did you mean learning_rate"]),
        ({"evaluaton": {}}, ["evaluaton", "unknown key", "did you mean evaluation"]),
        ({"intermediate__tasks": {"all": {"max_length": 64}}}, ["intermediate.tasks.all.max_length", "set theirs"]),
        ({"target__epochs": 1.5}, ["target.epochs", "1.5", "integer"]),
        ({"target__epochs": "three"}, ["target.epochs", "three"]),
        ({"target__tasks": {"xnli": {"epoch": 3}}}, ["tasks.xnli.epoch", "did you mean epochs"]),
        ({"target__tasks": {"xnli": {"epochs": 0}}}, ["epochs", "greater than or equal to 1"]),
        ({"backbones": {"tiny": {"layers": 2, "hidden": 30, "heads": 4}}}, ["backbones.tiny", "multiple of heads"]),
        ({"backbones": {"tiny": {}}}, ["backbones.tiny", "give load"]),
        ({"backbones": {"tiny": {"layers": 2}}}, ["backbones.tiny", "give load"]),
        ({"backbones": {"tiny": {"load": "a/b", "hidden": 32, "heads": 2}}}, ["backbones.tiny", "give load"]),
        ({"backbones": {"tiny": {"load": "a/b", "layers": 0}}}, ["backbones.tiny.layers", "0", "greater than or equal to 1"]),
        ({"languages": ["qaa", "qaz"]}, ["languages", "qaz", "did you mean"]),
        ({"target__max_length": 256}, ["target.max_length", "256", "128 tokens of pretraining.max_length"]),
        ({"backbones": {"tiny": {"load": "a/b", "pictures": True}}}, ["backbones.tiny", "pictures", "give layers"]),
        ({"backbones": {"tiny": {"layers": 2, "hidden": 32, "heads": 4, "pictures": True}}}, ["pretraining.captions", "missing"]),
        ({"name": "other"}, ["name", "called as its file is"]),
        ({"liek": "pocket"}, ["liek", "unknown key", "did you mean like"]),
        ({"timing": {"variants": ["fp16/sdpa"]}}, ["timing.variants.0", "fp16/sdpa", "<fp32, bf16 or int8>"]),
        ({"timing": {"weights": "random"}}, ["timing.weights", "backbones.tiny.load"]),
        ({"seeds": [0, 0]}, ["seeds", "twice"]),
        ({"seeds": []}, ["seeds"]),
        ({"pretraining": None}, ["pretraining", "missing"]),
        ({"intermediate": None}, ["intermediate", "missing"]),
        ({"source": "hub", "languages": {"xnli": ["en", "dee"]}, "targets": ["xnli"]}, ["languages.xnli", "dee", "did you mean de"]),
        (
            {"source": "/nowhere", "source_language": "en", "languages": ["en", "de"], "targets": ["xnli"]},
            ["source", "/nowhere", "no such folder"],
        ),
    ],
)
def test_bad_parameters_are_one_clear_line(tmp_path, changes, told):
    write(tmp_path, **changes)
    with pytest.raises(Problem) as error:
        study.load("bad", tmp_path)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in ["bad.yaml", *told]), message


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(Problem, match="no such study; did you mean pocket"):
        study.load("poket")
    (tmp_path / "broken.yaml").write_text("title: [")
    with pytest.raises(Problem, match=r"broken.yaml, line \d+: not valid YAML"):
        study.load("broken", tmp_path)
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(Problem, match="must hold keys"):
        study.load("empty", tmp_path)
    (tmp_path / "numbered.yaml").write_text("1: x")
    with pytest.raises(Problem, match=r"numbered.yaml, line 1: 1: a key must be text"):
        study.load("numbered", tmp_path)


def test_numbers_written_with_an_exponent_are_numbers(tmp_path):
    (tmp_path / "x.yaml").write_text((ROOT / "params/smoke.yaml").read_text().replace("learning_rate: 1e-3", "learning_rate: 5e-4"))
    assert study.load("x", tmp_path).target.learning_rate == 5e-4


def test_the_grid_is_every_combination_once():
    loaded = study.load("pocket")
    cells = loaded.cells()
    assert len(cells) == len(set(cells)) == len({c.name for c in cells})
    b, s, r, t = len(loaded.backbones), len(loaded.seeds), len(loaded.recipes), len(loaded.targets)
    phases = [c.phase for c in cells]
    assert phases.count("target") == b * s * r * t
    assert phases.count("intermediate") == b * s * (r - 1)
    assert phases.count("backbone") == b * s
    for i, cell in enumerate(cells):
        assert loaded.upstream(cell) is None or loaded.upstream(cell) in cells[:i], "upstream cells come first"


def test_what_a_cell_starts_from():
    upstream = study.load("pocket_full").upstream
    assert upstream(Cell("s", "target", "b", "mnli", "xnli", 1)) == Cell("s", "intermediate", "b", "mnli", seed=1)
    assert upstream(Cell("s", "target", "b", "none", "xnli", 1)) == Cell("s", "backbone", "b", seed=1)
    assert upstream(Cell("s", "backbone", "b", seed=1)) is None
    assert upstream(Cell("s", "target", "b", "mnli", "mlqa", 1)) == Cell("s", "target", "b", "mnli", "xquad", 1), "one model serves both"


def test_what_a_targets_model_is_trained_on():
    loaded = study.load("both")
    without = loaded.model_copy(update={"first_tasks": False})
    known = {"xnli": ["xnli"], "xcopa": ["social_iqa", "xcopa"], "tatoeba": [], "tatoeba_squad": ["squad_v1"], "lareqa": ["lareqa"]}
    assert {target: loaded.stages(target) for target in known} == known
    assert {target: without.stages(target) for target in known} == known | {"xcopa": ["xcopa"]}, "what defines a target stays"
    start = loaded.upstream(Cell("both", "target", "base", "mnli", "tatoeba_squad", 1))
    assert start == Cell("both", "intermediate", "base", "mnli", seed=1), "recipes come before its first task"


def test_targets_trained_otherwise_share_no_model():
    loaded = study.load("pocket_full")
    other = loaded.target.model_copy(update={"tasks": loaded.target.tasks | {"mlqa": {"examples": 77}}})
    assert loaded.serves("mlqa") == "xquad" and loaded.is_served("xquad")
    assert loaded.model_copy(update={"target": other}).serves("mlqa") is None
    assert loaded.model_copy(update={"targets": ["mlqa"]}).serves("mlqa") is None


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"xquad": "tydiqa"}, None),
        ({"xquad": "udpos"}, "shares.xquad: udpos trains no model for it"),
        ({"xquad": "xquad"}, "shares.xquad: xquad trains no model for it"),
        ({"tatoeba": "xquad"}, "shares.tatoeba: xquad trains no model for it"),
        ({"xquad": "tydiqa", "tydiqa": "xquad"}, "shares.tydiqa: xquad trains no model for it"),
        ({"xquad": "tydi"}, "shares: tydi is unknown; did you mean tydiqa?"),
        ({"xnli": "pawsx"}, "shares.xnli: target.tasks gives pawsx other settings; one model has one"),
    ],
)
def test_a_study_may_say_that_two_targets_share_a_model(tmp_path, shares, told):
    tasks = {"pawsx": {"epochs": 7}}
    values = yaml.load((ROOT / "params" / "laptop.yaml").read_text(), study.Loader)
    values |= {"shares": shares, "target": values["target"] | {"tasks": tasks}}
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(values))
    if told is None:
        loaded = study.load("shared", tmp_path)
        cell = Cell("shared", "target", "eight", "mnli", "xquad", 1)
        assert loaded.upstream(cell) == Cell("shared", "target", "eight", "mnli", "tydiqa", 1)
        assert [*loaded.cells()].index(cell) > [*loaded.cells()].index(loaded.upstream(cell)), "it comes first"
    else:
        with pytest.raises(Problem) as error:
            study.load("shared", tmp_path)
        assert told in str(error.value), error.value


def test_recipes_are_read_apart():
    assert Recipe.parse("mnli-mt+mlm@300") == Recipe("mnli", translated=True, mlm=True, examples=300)
    assert Recipe.parse("squad_v1@50") == Recipe("squad_v1", examples=50)
    assert study.load("pocket_full").tasks_of("all") == [
        "anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["xtreme", "xtreme_r"])
def test_a_benchmarks_study_has_its_tasks_in_its_languages(name):
    loaded = study.load(name)
    assert set(loaded.targets) == set(BENCHMARKS[name])
    assert all(loaded.languages_of(target) == languages for target, languages in BENCHMARKS[name].items())


def test_one_study_has_the_targets_and_languages_of_both_benchmarks():
    both, xtreme, xtreme_r = (study.load(name) for name in ("both", "xtreme", "xtreme_r"))
    assert set(both.targets) == {*XTREME, *XTREME_R} and len(both.targets) == 13
    for target in both.targets:
        assert set(both.languages_of(target)) == {*XTREME.get(target, []), *XTREME_R.get(target, [])}
        for single in (xtreme, xtreme_r):
            if target in single.targets:
                assert both.target.for_task(target) == single.target.for_task(target), "the same training"
                assert both.stages(target) == single.stages(target) and both.serves(target) == single.serves(target)
    counts = {t: len(both.languages_of(t)) for t in ("panx", "xquad", "udpos", "tatoeba", "tatoeba_squad")}
    assert counts == {"panx": 48, "xquad": 12, "udpos": 38, "tatoeba": 36, "tatoeba_squad": 41}
    assert both.recipes == xtreme.recipes and both.intermediate == xtreme.intermediate


NINE = ["anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa"]


@pytest.mark.parametrize("profile", ["xtreme", "xtreme_r", "both"])
@pytest.mark.parametrize("folder", [None, ""])
def test_a_study_without_the_licensed_set_is_one_without_its_recipes(monkeypatch, profile, folder):
    monkeypatch.delenv("CCGBANK", raising=False)
    if folder is not None:
        monkeypatch.setenv("CCGBANK", folder)
    loaded = study.load(profile)
    assert loaded.left_out == ["ccg"] and "ccg" not in loaded.recipes and len(loaded.recipes) == 12
    assert loaded.tasks_of("all") == [task for task in NINE if task != "ccg"]
    assert not [cell for cell in loaded.cells() if cell.recipe == "ccg"] and [cell for cell in loaded.cells() if cell.recipe == "all"]
    told = loaded.left_out_told()
    assert told == f"ccg: $CCGBANK is not set, so left out: ccg; all is over the other 8: {', '.join(loaded.tasks_of('all'))}"


@pytest.mark.parametrize("folder", [".", "/nowhere/at/all"])
def test_a_study_that_names_the_licensed_set_needs_it(monkeypatch, tmp_path, folder):
    monkeypatch.delenv("CCGBANK", raising=False)
    without = study.resolved(study.load("xtreme"))
    monkeypatch.setenv("CCGBANK", folder)
    loaded = study.load("xtreme")
    assert loaded.left_out == [] == list(loaded.left_out_told()) and loaded.tasks_of("all") == NINE
    assert study.resolved(loaded) == without, "its parameters are the same, each in its place"


@pytest.mark.parametrize(
    ("recipes", "kept"),
    [
        (["none", "ccg", "all"], ["none"]),
        (["none", "ccg@50", "mnli", "all"], ["none", "mnli", "all"]),
        (["none", "mnli"], ["none", "mnli"]),
    ],
)
def test_what_is_left_of_a_studys_recipes(tmp_path, recipes, kept):
    changes = {"source": "hub", "source_language": "en", "languages": {"xnli": ["en", "de"]}, "targets": ["xnli"], "recipes": recipes}
    write(tmp_path, **changes)
    loaded = study.load("bad", tmp_path)
    assert loaded.recipes == kept and loaded.left_out == [recipe for recipe in recipes if recipe not in kept]
    assert yaml.safe_load(study.resolved(loaded))["recipes"] == recipes
    assert ("names no folder" in loaded.left_out_told()) == (kept != recipes)


def test_the_microworld_has_every_task():
    assert study.load("pocket_full").tasks_of("all") == NINE and study.load("pocket_full").left_out == []


def test_exceptions_per_task():
    loaded = study.load("smoke")
    phase = loaded.target.model_copy(update={"tasks": {"xnli": {"epochs": 9}}})
    assert phase.for_task("xnli").epochs == 9
    assert phase.for_task("xquad").epochs == loaded.target.epochs
