"""Figures: legible to the colour-blind (shape and shade as well as hue), with units and intervals, each with a text alternative."""

import base64
import html
import io
import itertools

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.ticker import LogLocator

from xtools.report import stats
from xtools.results import Point

MARKERS = ["o", "s", "D", "^", "v", "P", "X", "*", "<", ">"]
LINES = ["-", "--", "-.", ":"]
sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", rc={"figure.dpi": 110, "savefig.bbox": "tight"})


def figure(fig, alt: str) -> HTML:
    """The figure as an image inside the page, with its text alternative."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    plt.close(fig)
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">')


def lead(sentence: str) -> HTML:
    """A sentence set apart, for the answer that a page gives."""
    return HTML(f'<p class="lead">{html.escape(sentence)}</p>')


def answer(effect: str, limits: str) -> HTML:
    """A question's answer, and what it leaves open."""
    return HTML(f'<p class="lead">{html.escape(effect)}</p><p><em>What this study cannot say:</em> {html.escape(limits)}</p>')


def nothing(sentence: str) -> HTML:
    """A plain line in place of a figure or table that has nothing to show."""
    return HTML(f"<p>{html.escape(sentence)}</p>")


def frame(table: pd.DataFrame, caption: str = "", empty: str = "") -> HTML:
    """A table as HTML, text escaped; in place of an empty one the line `empty`."""
    if table.empty:
        return nothing(empty or f"{caption}: nothing to show yet")
    body = table.to_html(index=False, border=0, escape=True, na_rep="–", float_format="{:.1f}".format)
    return HTML(body.replace(">", f"><caption>{html.escape(caption)}</caption>", 1) if caption else body)


def linked(table: pd.DataFrame, links: dict, caption: str = "") -> HTML:
    """As `frame`, with a last column that unfolds into links: `links` has {text: address} for each row of the table."""
    shown = table.map(lambda value: html.escape(f"{value}"))
    shown["cells"] = [_unfold(links[row]) for row in table.index]
    body = shown.to_html(index=False, border=0, escape=False)
    return HTML(body.replace(">", f"><caption>{html.escape(caption)}</caption>", 1) if caption else body)


def _unfold(addresses: dict[str, str]) -> str:
    if not addresses:
        return "–"
    items = " ".join(f'<a href="{html.escape(address)}">{html.escape(text)}</a>' for text, address in addresses.items())
    return f"<details><summary>{len(addresses)}</summary>{items}</details>"


def learning_curve(curve: dict | None, what: str) -> HTML:
    """Training loss against steps; below it, where there are any, the scores on development rows, and the state that was kept."""
    if curve is None:
        return nothing(f"{what}: nothing was trained here")
    looked = bool(curve.get("dev_step"))
    fig, axes = plt.subplots(1 + looked, sharex=True, squeeze=False, figsize=(5.5, 2.6 + 2 * looked))
    axes[0, 0].plot(curve["step"], curve["loss"], marker="o", markersize=3)
    axes[0, 0].set(ylabel="training loss (nats)", title=what)
    if looked:
        _development(axes[1, 0], curve)
    axes[-1, 0].set(xlabel="step")
    told = f"{what}: loss falls from {curve['loss'][0]:.2f} to {curve['loss'][-1]:.2f} in {curve['steps']} steps"
    return figure(fig, told + (f" of {curve['planned']}; the state after step {curve['kept']} is kept" if looked else ""))


def _development(ax, curve: dict) -> None:
    """Each task's scores on development rows, with a line where the state was kept."""
    for marker, (task, scores) in zip(itertools.cycle(MARKERS), curve["dev"].items()):
        ax.plot(curve["dev_step"], scores, marker=marker, markersize=4, label=task)
    ax.axvline(curve["kept"], color="#444", linewidth=1, linestyle="--", label="kept")
    ax.set(ylabel="development score (%)")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def language_tax(tokens: dict[str, float], ms: dict[str, float], source: str, what: str) -> HTML:
    """Sub-words and latency per example relative to the source language's, one pair of bars per language."""
    if not tokens:
        return nothing(f"{what}: not timed yet")
    base = source if source in tokens else next(iter(tokens))
    ratios = pd.DataFrame({"sub-words": pd.Series(tokens) / tokens[base], "latency": pd.Series(ms) / ms[base]})
    ratios = ratios.sort_values("sub-words").rename_axis("language").reset_index()
    fig, ax = plt.subplots(figsize=(max(4, 0.7 * len(ratios)), 2.6))
    sns.barplot(ratios.melt("language"), x="language", y="value", hue="variable", ax=ax)
    for bars, hatch in zip(ax.containers, ("", "//"), strict=False):
        for bar in bars:
            bar.set_hatch(hatch)
    ax.axhline(1, color="#444", linewidth=1)
    ax.set(xlabel="", ylabel=f"relative to {base}", title=f"{what}: cost of a language")
    ax.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    worst = ratios.iloc[-1]
    return figure(fig, f"{what}: {worst.language} takes {worst['sub-words']:.2f} times the sub-words of {base}")


def sweep(points: list[Point], what: str) -> HTML:
    """Milliseconds per example against length, one line per batch size; holes are left out and named below."""
    if not points:
        return nothing("This study sweeps no lengths.")
    timed = pd.DataFrame([(p.length, p.batch, p.ms / p.batch) for p in points if p.ms is not None], columns=["length", "batch", "each"])
    holes = "; ".join(f"{p.length} tokens x {p.batch}: {p.hole}" for p in points if p.hole)
    if timed.empty:
        return nothing(holes)
    fig, ax = plt.subplots(figsize=(5.5, 2.8))
    for marker, (batch, of_batch) in zip(MARKERS, timed.groupby("batch"), strict=False):
        ax.plot(of_batch.length, of_batch.each, marker=marker, label=f"{batch}")
    ax.set(xscale="log", yscale="log", xlabel="length (tokens)", ylabel="ms per example", title=f"{what}: length and batch size")
    ax.set_xticks(sorted(timed.length.unique()), [str(n) for n in sorted(timed.length.unique())])
    ax.minorticks_off()
    ax.legend(title="batch", loc="upper left", bbox_to_anchor=(1, 1))
    shown = figure(fig, f"{what}: from {timed.each.min():.3g} to {timed.each.max():.3g} ms per example")
    return HTML(shown.data + (f"<p>Holes: {html.escape(holes)}</p>" if holes else ""))


def amounts(gains: pd.DataFrame, what: str) -> HTML:
    """Gain against the number of intermediate examples (log scale), one line per kind of language, one panel per backbone and task."""
    if gains.empty:
        return nothing("This study varies no amount of intermediate data.")
    panels = list(gains.groupby(["backbone", "task"], sort=False))
    kinds = list(dict.fromkeys(gains.kind))
    fig, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.2), sharey=True, squeeze=False)
    for ax, ((backbone, task), panel) in zip(axes[0], panels, strict=True):
        for i, (kind, line) in enumerate(panel.groupby("kind", sort=False)):
            line = line.sort_values("examples")
            error = [line["mean"] - line.low, line.high - line["mean"]]
            apart = line.examples * 1.04 ** (i - (len(kinds) - 1) / 2)  # so that intervals do not hide each other
            ax.errorbar(apart, line["mean"], error, marker=MARKERS[i], capsize=3, label=kind, linestyle=LINES[i % len(LINES)])
        ax.axhline(0, color="#444", linewidth=1)
        ax.set(xscale="log", xlabel=f"examples of {task} (log scale)", title=backbone)
        ax.set_xticks(sorted(panel.examples.unique()), [f"{n:,}" for n in sorted(panel.examples.unique())], rotation=30)
        ax.minorticks_off()
    axes[0][0].set_ylabel("gain (points)")
    axes[0][-1].legend(title="language", loc="upper left", bbox_to_anchor=(1, 1))
    return figure(fig, f"{what}: gain against the number of intermediate examples, by kind of language")


def variants(latencies: pd.DataFrame, what: str) -> HTML:
    """Latency of each setting (precision, attention, compiled), one marker per backbone, with 95% intervals over repetitions."""
    if latencies.empty:
        return nothing("This study times no other settings.")
    settings = list(dict.fromkeys(latencies.setting))
    fig, ax = plt.subplots(figsize=(6.2, 0.42 * len(settings) + 1.2))
    for i, (backbone, of_backbone) in enumerate(latencies.groupby("backbone", sort=False)):
        y = [settings.index(s) for s in of_backbone.setting]
        error = [of_backbone["mean"] - of_backbone.low, of_backbone.high - of_backbone["mean"]]
        ax.errorbar(of_backbone["mean"], y, xerr=error, fmt=MARKERS[i % len(MARKERS)], capsize=3, label=backbone)
    ax.set(xscale="log", xlabel="median latency of one example (ms, log scale)", title=what)
    ax.set_yticks(range(len(settings)), settings)
    _ticks(ax)
    ax.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure(fig, f"{what}: " + "; ".join(f"{r.backbone} {r.setting} {r.mean:.3g} ms" for r in latencies.itertuples()))


def _ticks(ax) -> None:
    """Plain numbers on a logarithmic axis of times, close enough that a factor below two shows some."""
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()


def scores_by_language(scores: dict[str, float], metric: str, source: str, chance: float = 0, empty: str = "") -> HTML:
    """One bar per language, the source language dark; a dotted line at chance; in place of no bar the line `empty`."""
    if not scores:
        return nothing(empty)
    order = sorted(scores, key=lambda language: (language != source, -scores[language]))
    fig, ax = plt.subplots(figsize=(max(4, 0.6 * len(order)), 2.6))
    colours = [sns.color_palette()[0] if language == source else "#b8c4d6" for language in order]
    bars = ax.bar(order, [scores[language] for language in order], color=colours, edgecolor="black", linewidth=0.6)
    ax.bar_label(bars, fmt="%.0f", fontsize=9)
    if chance:
        ax.axhline(chance, color="black", linestyle=":", linewidth=1)
    ax.set(ylabel=f"{metric} (%)", ylim=(0, 108))
    return figure(fig, f"{metric} by language: " + ", ".join(f"{language} {scores[language]:.1f}" for language in order))


def gain_map(summary: pd.DataFrame, recipes: list[str], targets: list[str], title: str) -> HTML:
    """Gain over `none` per recipe and target: shade and number; bold where the interval excludes zero."""
    if summary.empty:
        return nothing(f"{title}: no recipe has a gain to show yet")
    wide = summary.pivot(index="recipe", columns="target", values="mean").reindex(index=recipes, columns=targets)
    fig, ax = plt.subplots(figsize=(1.1 * len(targets) + 1.5, 0.55 * len(recipes) + 1))
    bound = max(5.0, float(wide.abs().max().max()))
    sns.heatmap(wide, cmap="PuOr_r", center=0, vmin=-bound, vmax=bound, ax=ax, cbar_kws={"label": "gain (points)"}, linewidths=1)
    for row in summary.itertuples():
        sure = row.low > 0 or row.high < 0
        x, y = targets.index(row.target) + 0.5, recipes.index(row.recipe) + 0.5
        shade = "white" if abs(row.mean) > 0.6 * bound else "black"
        ax.text(x, y, f"{row.mean:+.1f}", ha="center", va="center", color=shade, weight="bold" if sure else "normal")
    ax.set(xlabel="", ylabel="", title=title)
    plt.setp(ax.get_yticklabels(), rotation=0)
    return figure(fig, f"{title}: " + "; ".join(f"{r.recipe} on {r.target} {r.mean:+.1f}" for r in summary.itertuples()))


def by_language(table: pd.DataFrame, recipes: list[str], languages: list[str], title: str) -> HTML:
    """Score per language and recipe, averaged over the targets that have every language, with 95% intervals over seeds."""
    if table.empty:
        return nothing(f"{title}: no scores yet")
    test = table[table.split == "test"]
    whole = test.groupby("target").language.nunique()
    test = test[test.target.isin(whole[whole == len(languages)].index)].groupby(["recipe", "language", "seed"]).score.mean().reset_index()
    fig, ax = plt.subplots(figsize=(1.1 * len(languages) + 2.2, 3.4))
    for i, recipe in enumerate(recipes):
        summary = stats.summarize(test[test.recipe == recipe], ["language"], "score").set_index("language").reindex(languages)
        x = [j + (i - (len(recipes) - 1) / 2) * 0.14 for j in range(len(languages))]
        error = [summary["mean"] - summary.low, summary.high - summary["mean"]]
        ax.errorbar(x, summary["mean"], yerr=error, fmt=MARKERS[i % len(MARKERS)], label=recipe, capsize=2, markersize=6)
    ax.set_xticks(range(len(languages)), languages)
    ax.set(ylabel="mean score (%)", title=title)
    ax.legend(title="recipe", bbox_to_anchor=(1.01, 1), loc="upper left")
    means = test.groupby(["recipe", "language"]).score.mean()
    return figure(fig, f"{title}: " + "; ".join(f"{r} {lang} {v:.1f}" for (r, lang), v in means.items()))


def chosen(table: pd.DataFrame, backbone: str, target: str, recipes, languages) -> HTML:
    """Scores by language of a backbone and target (or `all`), for the recipes and languages chosen."""
    of_backbone = table[(table.backbone == backbone) & table.language.isin(languages)]
    of_backbone = of_backbone if target == "all" else of_backbone[of_backbone.target == target]
    chosen_some = len(recipes) and len(languages)
    return by_language(of_backbone[: len(of_backbone) if chosen_some else 0], list(recipes), list(languages), f"{backbone}, {target}")


def chooser(table: pd.DataFrame, backbones: list[str], recipes: list[str], targets: list[str]):
    """Widgets to choose a backbone, target, recipes and languages with, and the figure of what is chosen."""
    languages = list(dict.fromkeys(table.language))
    return ipywidgets.interactive(
        chosen,
        table=ipywidgets.fixed(table),
        backbone=backbones,
        target=["all", *targets],
        recipes=ipywidgets.SelectMultiple(options=recipes, value=recipes[:2]),
        languages=ipywidgets.SelectMultiple(options=languages, value=languages),
    )


def score_against_latency(points: pd.DataFrame, frontier: pd.DataFrame, title: str) -> HTML:
    """Average score against latency per backbone (marker) and recipe (colour), with 95% intervals over seeds; a line joins the points
    of the frontier."""
    if points.empty:
        return nothing(f"{title}: no timing record, or no complete average, yet")
    fig, ax = plt.subplots(figsize=(6.5, 3.6))
    backbones, recipes = list(dict.fromkeys(points.backbone)), list(dict.fromkeys(points.recipe))
    for row in points.itertuples():
        j = recipes.index(row.recipe)
        x = row.latency * (1 + 0.02 * (j - (len(recipes) - 1) / 2))  # apart, so that intervals do not hide each other
        error = [[row.mean - row.low], [row.high - row.mean]] if row.low == row.low else None
        marker = MARKERS[backbones.index(row.backbone) % len(MARKERS)]
        ax.errorbar([x], [row.mean], yerr=error, fmt=marker, color=sns.color_palette()[j % 10], capsize=2, markersize=7)
    ax.step(frontier.latency, frontier["mean"], where="post", color="#444", linewidth=1, linestyle="--", label="frontier")
    for j, recipe in enumerate(recipes):
        ax.plot([], [], "-", linewidth=4, color=sns.color_palette()[j % 10], label=recipe)
    for i, backbone in enumerate(backbones):
        ax.plot([], [], MARKERS[i % len(MARKERS)], color="black", label=backbone)
    ax.set(xlabel="median latency of one example (ms)", ylabel="average over targets (%)", title=title, xscale="log")
    _ticks(ax)
    ax.legend(bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure(fig, f"{title}: " + "; ".join(f"{r.backbone} {r.recipe} {r.mean:.1f} at {r.latency:.2f} ms" for r in points.itertuples()))
