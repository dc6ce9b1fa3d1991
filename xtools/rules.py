"""What must hold between the keys of a study: one function a rule, which raises ValueError with the line that the user reads.

Each takes the study (xtools/study.py), whose keys are valid by themselves. `RULES` are in the order in which they are looked at: a rule may
rely on those before it.
"""

from collections import Counter

from pydantic import ValidationError

from xtools import tasks
from xtools.problems import nearest
from xtools.settings import Finetuning, Recipe, wrong
from xtools.sources import world


def recipes_are_of_the_form(study) -> None:
    for recipe in study.recipes:
        Recipe.parse(recipe)


def none_stands_alone(study) -> None:
    if any(Recipe.parse(recipe).task == "none" and recipe != "none" for recipe in study.recipes):
        raise ValueError("recipes: none takes no -mt, +mlm or @N")


def recipes_name_intermediate_tasks(study) -> None:
    _all_known("recipes", [Recipe.parse(recipe).task for recipe in study.recipes], ["none", "all", *_tasks(are_targets=False)])


def targets_name_target_tasks(study) -> None:
    _all_known("targets", study.targets, _tasks(are_targets=True))


def exceptions_name_tasks_of_their_phase(study) -> None:
    if study.intermediate:
        _all_named("intermediate", study.intermediate, ["all", *_tasks(are_targets=False)])
    _all_known("evaluation.tasks", study.evaluation.tasks, [*tasks.registry()])
    firsts = [task.first for task in tasks.registry().values() if task.first]
    _all_named("target", study.target, [*_tasks(are_targets=True), *firsts])


def nothing_stands_twice(study) -> None:
    lists = {key: getattr(study, key) for key in ("recipes", "targets", "seeds", "languages")}
    by_target = study.languages if isinstance(study.languages, dict) else {}
    for key, names in (lists | {f"languages.{target}": names for target, names in by_target.items()}).items():
        if isinstance(names, list) and (twice := [name for name, times in Counter(names).items() if times > 1]):
            raise ValueError(f"{key}: {twice[0]} stands twice; keep one")


def exceptions_set_what_training_has(study) -> None:
    for key, phase in (("intermediate", study.intermediate), ("target", study.target)):
        if phase:
            for where, exceptions in {"tasks": phase.tasks, **{f"backbones.{name}": of for name, of in phase.backbones.items()}}.items():
                _are_settings(phase, f"{key}.{where}", exceptions)


def _are_settings(phase, where: str, exceptions: dict[str, dict]) -> None:
    for name, exception in exceptions.items():
        for key in exception:
            if key not in Finetuning.model_fields:
                raise ValueError(f"{where}.{name}.{key}: unknown key{nearest(key, Finetuning.model_fields)}")
        try:
            phase.model_copy(update={"tasks": {name: phase.tasks.get(name, {}) | exception}}).for_task(name)
        except ValidationError as error:
            raise ValueError(wrong(error.errors()[0], where, name)) from error


def exceptions_are_of_backbones(study) -> None:
    """Of the study's, or of any on the Hub: a protocol knows more encoders than a study has."""
    for key, phase in (("intermediate", study.intermediate), ("target", study.target)):
        for name in phase.backbones if phase else ():
            if name not in study.backbones and "/" not in name:
                raise ValueError(f"{key}.backbones: {name} is unknown{nearest(name, study.backbones)}")


def each_task_of_all_has_its_own_length(study) -> None:
    if study.intermediate and "max_length" in study.intermediate.tasks.get("all", {}):
        raise ValueError("intermediate.tasks.all.max_length: each of its tasks is trained at its own; set theirs")


def intermediate_recipes_have_their_phase(study) -> None:
    if set(study.recipes) - {"none"} and not study.intermediate:
        raise ValueError("intermediate: missing, and recipes name intermediate tasks")


def masked_lm_recipes_have_documents(study) -> None:
    if any(Recipe.parse(recipe).mlm for recipe in study.recipes) and not study.intermediate.mlm_examples:
        raise ValueError("intermediate.mlm_examples: missing, and a recipe has +mlm")


def new_backbones_are_pretrained(study) -> None:
    if any(not backbone.load for backbone in study.backbones.values()) and not study.pretraining:
        raise ValueError("pretraining: missing, and a backbone is to be made from nothing")


def inputs_fit_new_backbones(study) -> None:
    """An encoder that is made here has as many positions as its pretraining text may have tokens."""
    if all(backbone.load for backbone in study.backbones.values()):
        return
    for key, phase in (("intermediate", study.intermediate), ("target", study.target)):
        for name in [None, *phase.tasks] if phase else ():
            asked = (phase.for_task(name) if name else phase).max_length
            if asked > study.pretraining.max_length:
                where = f"{key}.tasks.{name}.max_length" if name else f"{key}.max_length"
                raise ValueError(f"{where}: {asked} is more than the {study.pretraining.max_length} tokens of pretraining.max_length")


def pictures_are_of_the_microworld(study) -> None:
    if _sees_pictures(study) and study.source != "microworld":
        raise ValueError("backbones: pictures are the microworld's alone; take a published multimodal encoder instead")


def pictures_have_captions(study) -> None:
    if _sees_pictures(study) and not (study.pretraining and study.pretraining.captions):
        raise ValueError("pretraining.captions: missing, and a backbone learns from pictures")


def random_weights_are_of_published_encoders(study) -> None:
    for name, backbone in study.backbones.items():
        if study.timing.weights == "random" and not backbone.load:
            raise ValueError(f"timing.weights: random weights are of a published encoder; give backbones.{name}.load")


def languages_are_of_the_microworld(study) -> None:
    if study.source == "microworld":
        for target in study.targets:
            _all_known("languages", study.languages_of(target), world.LANGUAGES)


def languages_are_of_the_target(study) -> None:
    """The microworld has every task in all of its languages."""
    for target in study.targets if study.source != "microworld" else ():
        known = tasks.get(target).languages
        for language in study.languages_of(target):
            if language not in known:
                raise ValueError(f"languages.{target}: {language} is not among its languages{nearest(language, known)}")


def shared_models_are_of_like_targets(study) -> None:
    for target, other in study.shares.items():
        _all_known("shares", [target, other], study.targets)
        one, two = tasks.get(target), tasks.get(other)
        if target == other or not (one.is_trained and two.is_trained) or one.format != two.format or other in study.shares:
            raise ValueError(f"shares.{target}: {other} trains no model for it; name another target of its format that trains its own")
        if study.serves(target) != other:
            raise ValueError(f"shares.{target}: target.tasks gives {other} other settings; one model has one")


def every_target_has_languages(study) -> None:
    if isinstance(study.languages, dict):
        _all_known("languages", study.languages, _tasks(are_targets=True))
    for target in study.targets:
        if not study.languages_of(target):
            raise ValueError(f"languages: {target} has none; name those that it is scored in, or take it out of targets")
        if tasks.get(target).is_bitext and set(study.languages_of(target)) == {study.source_language}:
            raise ValueError(f"languages: {target} pairs {study.source_language} with another language; name one")


def source_language_is_scored(study) -> None:
    """In some target that could be: without it there is no gap. The source language of pairs of sentences has no score."""
    made = study.source == "microworld"
    _all_known("source_language", [study.source_language], world.LANGUAGES if made else sorted({"en", *_languages(tasks.registry())}))
    could = [name for name in study.targets if not tasks.get(name).is_bitext and (made or study.source_language in _languages([name]))]
    if could and not any(study.source_language in study.languages_of(name) for name in could):
        raise ValueError(f"source_language: {study.source_language} is not among the languages that targets are scored in; put it there")


RULES = (
    recipes_are_of_the_form,
    none_stands_alone,
    nothing_stands_twice,
    recipes_name_intermediate_tasks,
    targets_name_target_tasks,
    exceptions_name_tasks_of_their_phase,
    exceptions_set_what_training_has,
    exceptions_are_of_backbones,
    each_task_of_all_has_its_own_length,
    intermediate_recipes_have_their_phase,
    masked_lm_recipes_have_documents,
    new_backbones_are_pretrained,
    inputs_fit_new_backbones,
    pictures_are_of_the_microworld,
    pictures_have_captions,
    random_weights_are_of_published_encoders,
    languages_are_of_the_microworld,
    languages_are_of_the_target,
    shared_models_are_of_like_targets,
    every_target_has_languages,
    source_language_is_scored,
)


def _all_known(key: str, names, choices) -> None:
    for name in names:
        if name not in choices:
            raise ValueError(f"{key}: {name} is unknown{nearest(name, choices)}")


def _all_named(key: str, phase, choices) -> None:
    _all_known(f"{key}.tasks", phase.tasks, choices)
    for name, exceptions in phase.backbones.items():
        _all_known(f"{key}.backbones.{name}", exceptions, choices)


def _tasks(are_targets: bool) -> list[str]:
    return [name for name, task in tasks.registry().items() if task.is_target == are_targets]


def _languages(names) -> list[str]:
    return [language for name in names for language in tasks.get(name).languages]


def _sees_pictures(study) -> bool:
    return any(backbone.pictures for backbone in study.backbones.values())
