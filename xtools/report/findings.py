"""What a phase found, in a sentence or two computed from its result: the last words of each phase's notebook."""

from xtools import results, scoring, tasks
from xtools.study import Recipe


def of_backbone(backbone: str, result: results.Backbone) -> str:
    """The encoder's size, and how its pretraining ended."""
    size, card = result.parameters, result.card
    told = f"{backbone} has {size.all / 1e6:,.1f} million weights, {100 * size.embeddings / size.all:.0f}% of them word embeddings"
    if "curve" not in card:
        return f"{told}; it comes pretrained."
    first, last = card["curve"]["loss"][0], card["curve"]["loss"][-1]
    return f"{told}. Pretraining read {card['tokens'] / 1e6:,.1f} million tokens and brought the masked-LM loss from {first:.2f} to {last:.2f}."


def of_intermediate(recipe: str, result: results.Intermediate) -> str:
    """Which tasks were learnt, and how far above chance."""
    told = []
    for name, score in result.dev.items():
        task = tasks.get(name)
        value = score.metrics[task.metric]
        learnt = "learnt" if scoring.beats_chance(value, task.chance, score.n) else "not told from chance"
        told.append(f"{name}: {learnt}, {value:.1f} ({task.metric}, chance {task.chance:.0f}, {score.n} rows)")
    kind = "Several tasks at once" if Recipe.parse(recipe).task == "all" else "One task"
    return f"{kind}, {_training(result.curve, result.attempts)}. {'; '.join(told)}."


def _training(curve: results.Curve, attempts: list[results.Attempt]) -> str:
    """How long a run was, which state of it is kept, and whether others came to nothing before it."""
    told = f"{curve.steps:,} steps" + (f" of {curve.planned:,}" if curve.steps < curve.planned else "")
    told += f", of which the state after step {curve.kept:,} is kept" if curve.kept not in (None, curve.steps) else ""
    lost = [f"seed {attempt.seed} {attempt.ended}" for attempt in attempts if attempt.ended != "kept"]
    return told + (f"; came to nothing: {', '.join(lost)}" if lost else "")


def of_target(target: str, source: str, result: results.Target) -> str:
    """The mean over languages, the best and the worst of them, and the transfer gap."""
    by_language = {language: score.metrics[result.metric] for language, score in result.scores.items()}
    best, worst = max(by_language, key=by_language.get), min(by_language, key=by_language.get)
    told = f"{target}: {result.score:.1f} on average over {len(by_language)} languages ({result.metric}), from {by_language[worst]:.1f} in {worst} "
    told += f"to {by_language[best]:.1f} in {best}."
    if result.gap is None:
        return f"{told} There is no {source} test score beside others, so there is no transfer gap."
    return f"{told} The other languages lie {result.gap:.1f} points below {source} on average: the transfer gap."


def of_timing(backbone: str, result: results.Timing) -> str:
    """Latency, throughput, and the dearest language."""
    measured, tokens = result.measured, result.tokens_by_language
    most, fewest = max(tokens, key=tokens.get), min(tokens, key=tokens.get)
    doubts = f" Doubtful: {'; '.join(measured.flags)}." if measured.flags else ""
    return (
        f"{backbone} answers one example in {measured.latency_ms.median:.3g} ms and {measured.throughput:,.0f} a second all at once. "
        f"{most} costs {tokens[most] / tokens[fewest]:.2f} times the sub-words of {fewest} and "
        f"{measured.by_language_ms[most] / measured.by_language_ms[fewest]:.2f} times the time.{doubts}"
    )
