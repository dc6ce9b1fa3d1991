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

from xtools.report import figures, stats, tables
from xtools.results import Point
from xtools.study import Study

MARKERS = ["o", "s", "D", "^", "v", "P", "X", "*", "<", ">"]
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


def nothing(sentence: str) -> HTML:
    """A plain line in place of a figure or table that has nothing to show."""
    return HTML(f"<p>{html.escape(sentence)}</p>")


def frame(table: pd.DataFrame, caption: str = "", empty: str = "") -> HTML:
    """A table as HTML, text escaped; in place of an empty one the line `empty`."""
    if table.empty:
        return nothing(empty or f"{caption}: nothing to show yet")
    return HTML(figures.rows_html(table, caption))


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
    """Sub-words and latency per example over the source language's, a row a language."""
    return figures.tax(tokens, ms, source, f"{what}: cost of a language") or nothing(f"{what}: not timed yet")


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


# ---------------------------------------------------------------- pictures that stand by themselves (results/<study>/*.png)


def gain_map(study: Study, table: pd.DataFrame):
    """A figure of mean gains over `none` (points), recipes by targets, a panel a backbone; bold with * where the 95% interval, for all recipes
    of a target at once, excludes zero."""
    frames = {name: tables.gain_frame(study, table, name).set_index("recipe") for name in study.backbones}
    found = {name: shown.map(lambda value: stats.read(value) or (float("nan"),) * 3) for name, shown in frames.items()}
    means = {name: own.map(lambda interval: interval[0]).dropna(axis=1, how="all") for name, own in found.items()}
    most = max(float(own.abs().max().max()) for own in means.values())
    height = 1.1 + 0.45 * len(study.recipes)
    fig, axes = plt.subplots(
        len(means), 1, squeeze=False, figsize=(2.2 + 0.95 * len(study.targets), height * len(means)), layout="constrained"
    )
    for ax, (name, own) in zip(axes[:, 0], means.items(), strict=True):
        sure = found[name][own.columns].map(lambda interval: interval[1] > 0 or interval[2] < 0)
        words = own.map("{:+.1f}".format) + sure.map({True: "*", False: ""}.get)
        sns.heatmap(own, annot=words, fmt="", cmap="PuOr", vmin=-most, vmax=most, linewidths=1, ax=ax, cbar_kws={"label": "points"})
        for text, bold in zip(ax.texts, sure.to_numpy().ravel(), strict=True):
            text.set_fontweight("bold" if bold else "normal")
        ax.set(title=f"{study.name}, {name}: gain over none", ylabel="")
        ax.tick_params(axis="y", rotation=0)
    return fig


def language_map(study: Study, table: pd.DataFrame):
    """A figure of scores by language, a panel a target, of the last backbone: a mark a recipe at the mean of its seeds, a line from the least to
    the greatest of them; the source language first, the others by their scores after `none`."""
    test = table[(table.backbone == study.last) & (table.split == "test")]
    fig, axes = plt.subplots(
        -(-len(study.targets) // 3),
        min(3, len(study.targets)),
        squeeze=False,
        figsize=(11, 2.9 * -(-len(study.targets) // 3)),
        layout="constrained",
    )
    for ax, target in itertools.zip_longest(axes.flat, study.targets):
        if target is None:
            ax.set_axis_off()
            continue
        own = test[test.target == target]
        plain = own[own.recipe == "none"].groupby("language").score.mean()
        order = sorted(plain.index, key=lambda language: (language != study.source_language, -plain[language]))
        sns.pointplot(
            own, x="language", y="score", hue="recipe", order=order, hue_order=study.recipes, dodge=0.5, errorbar=("pi", 100),
            markers=MARKERS[: len(study.recipes)], linestyle="none", markersize=4, err_kws={"linewidth": 1}, ax=ax,
        )  # fmt: skip
        ax.set(title=target, xlabel="", ylabel=f"{own.metric.iloc[0]} (%)")
        ax.get_legend().remove()
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, title=f"{study.last}, recipe", loc="outside right upper")
    return fig
