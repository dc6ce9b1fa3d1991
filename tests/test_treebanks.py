"""Universal Dependencies as XTREME tags them: which treebanks, and one tag for a multi-word token; on made-up words."""

import datasets
import huggingface_hub
import pytest

from xtools import benchmark, snapshots, sources, tasks
from xtools.problems import Problem
from xtools.sources import Source, conllu, revisions
from xtools.tasks import treebanks
from xtools.tasks.treebanks import DEFAULT, PRECEDENCE, TREEBANKS, tagged


def sentence(words: str, **tokens: str) -> dict:
    """A sentence of `word/TAG/head` or `word/TAG/head/deps` pieces; a multi-word token `_2_3="form"` covers words 2 and 3."""
    pieces = [(*piece.split("/"), "_")[:4] for piece in words.split()]
    columns = {name: [piece[i] for piece in pieces] for i, name in enumerate(("tokens", "upos", "head", "deps"))}
    return columns | {"mwt": [{"id": name[1:].replace("_", "-"), "form": form} for name, form in tokens.items()]}


def read(row: dict, language: str) -> str:
    found = tagged(row, language)
    return " ".join(f"{word}/{tag}" for word, tag in zip(found["words"], found["tags"], strict=True))


# ---------------------------------------------------------------- the rule, worked out by hand


def test_of_words_on_one_level_precedence_decides_language_by_language():
    """Both words hang on the verb: the earlier tag in the language's list of conllu_to_conll.py is the token's."""
    auxiliary = sentence("ka/AUX/3 lo/PRON/3 mirun/VERB/0", _1_2="kalo")
    assert {lang: read(auxiliary, lang) for lang in ("de", "es", "fr", "it", "tr")} == {
        "de": "kalo/PRON mirun/VERB",
        "es": "kalo/AUX mirun/VERB",
        "fr": "kalo/AUX mirun/VERB",
        "it": "kalo/AUX mirun/VERB",
        "tr": "kalo/PRON mirun/VERB",
    }
    adverb = sentence("mirun/VERB/0 ne/ADV/1 lo/PRON/1", _2_3="nelo")
    assert {lang: read(adverb, lang) for lang in ("he", "fr", "it")} == {
        "he": "mirun/VERB nelo/PRON",
        "fr": "mirun/VERB nelo/PRON",
        "it": "mirun/VERB nelo/ADV",
    }


def test_the_word_that_stands_highest_in_the_tree_is_taken_whatever_its_tag():
    assert read(sentence("or/ADJ/0 mirun/VERB/1 ./PUNCT/1", _1_2="ormirun"), "ar") == "ormirun/ADJ ./PUNCT"
    assert read(sentence("zu/ADP/2 mora/NOUN/3 mirun/VERB/0", _1_2="zumora"), "pt") == "zumora/NOUN mirun/VERB"
    three = sentence("we/CCONJ/4 be/ADP/4 ha/DET/4 mora/NOUN/5 mirun/VERB/0", _1_4="webehamora")
    assert read(three, "he") == "webehamora/NOUN mirun/VERB"
    assert read(three | {"mwt": [{"id": "1-3", "form": "webeha"}]}, "he") == "webeha/ADP mora/NOUN mirun/VERB"


def test_edges_of_the_enhanced_graph_count_too():
    """In the tree both are one step below the verb, and the pronoun has precedence; in the graph the noun stands above the pronoun."""
    assert read(sentence("ka/AUX/3 lo/PRON/3 mirun/VERB/0 mora/NOUN/3", _1_2="kalo"), "wo") == "kalo/PRON mirun/VERB mora/NOUN"
    graph = sentence("ka/AUX/3/3:aux lo/PRON/3/3:obj|4:nmod|5.1:dep mirun/VERB/0/0:root mora/NOUN/3/3:obj", _1_2="kalo")
    assert read(graph, "wo") == "kalo/AUX mirun/VERB mora/NOUN"
    circle = sentence("ka/AUX/3/2:dep lo/PRON/3/1:dep mirun/VERB/0/0:root", _1_2="kalo")
    assert read(circle, "wo") == "kalo/PRON mirun/VERB", "each has the other, the verb and the root above it"


def test_several_tokens_of_a_sentence_are_fused_and_the_rest_stays():
    row = sentence("zu/ADP/3 dun/DET/3 mora/NOUN/4 mirun/VERB/0 ka/ADP/7 lun/DET/7 sel/NOUN/4 ./PUNCT/4", _1_2="zun", _5_6="kan")
    assert read(row, "fr") == "zun/ADP mora/NOUN mirun/VERB kan/ADP sel/NOUN ./PUNCT"


def test_a_tag_without_precedence_is_told():
    with pytest.raises(ValueError, match="ADV among the words of a multi-word token, where es has no precedence"):
        tagged(sentence("mirun/VERB/0 ne/ADV/1 lo/PRON/1", _2_3="nelo"), "es")


def test_spaces_and_joiners_go_out_of_words():
    row = sentence("1|000/NUM/2 mi\u200cra/NOUN/0", _1_2="")
    row |= {"tokens": ["1 000", "mi\u200cra"], "mwt": []}
    assert tagged(row, "fr") == {"words": ["1000", "mira"], "tags": ["NUM", "NOUN"]}


@pytest.mark.parametrize(
    ("words", "kept"), [("_ _ _", False), ("Mora _ _", False), ("_", False), ("Mora", True), ("Mora ka _", True), ("Mora _", False)]
)
def test_sentences_of_which_all_words_or_all_but_one_are_blank_are_dropped(words, kept):
    """udpos_preprocess keeps n words with b blanks where b is 0 or less than n - 1."""
    row = sentence(" ".join(f"{word}/X/{i}" for i, word in enumerate(words.split())))
    assert (tagged(row, "fr") is not None) == kept


def test_blanks_are_counted_after_fusing():
    assert read(sentence("_/NOUN/0 _/ADP/1", _1_2="morant"), "mr") == "morant/NOUN"


def test_precedence_is_the_scripts():
    """As typed from third_party/ud-conversion-tools/conllu_to_conll.py of google-research/xtreme, whose German list is commented out."""
    assert " ".join(DEFAULT) == "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT"
    assert {language: " ".join(order) for language, order in PRECEDENCE.items()} == {
        "es": "VERB AUX PRON ADP DET",
        "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ",
        "it": "VERB AUX ADV PRON ADP DET INTJ",
    }


# ---------------------------------------------------------------- which treebanks

# Sentences of test and development sets as the card of google/xtreme has them, less those that it holds of other languages: of Swiss
# German (UZH), Ancient Greek (Perseus, PROIEL) and Old French (SRCMF). It holds others of Chinese and Russian too; these are below.
CARD = {
    "af": (425, 194), "ar": (1_680, 909), "bg": (1_116, 1_115), "de": (22_458 - 100, 19_233), "el": (2_809 - 1_306 - 1_047, 2_559 - 1_137 - 1_019),
    "en": (5_440, 3_974), "es": (3_147, 3_054), "et": (3_760, 3_125), "eu": (1_799, 1_798), "fa": (600, 599), "fi": (4_422, 3_239),
    "fr": (9_465 - 1_927, 5_979 - 1_842), "he": (491, 484), "hi": (2_684, 1_659), "hu": (449, 441), "id": (1_557, 559), "it": (3_518, 2_278),
    "ja": (2_372, 511), "kk": (1_047, 0), "ko": (4_276, 3_016), "mr": (47, 46), "nl": (1_471, 1_394), "pt": (2_681, 1_770), "ta": (120, 80),
    "te": (146, 131), "th": (1_000, 0), "tl": (55, 0), "tr": (4_785, 988), "ur": (535, 552), "vi": (800, 800), "yo": (100, 0),
}  # fmt: skip


def sentences(split: str, language: str) -> int:
    return sum(part.rows for part in tasks.get("udpos").parts(split, language))


def test_treebanks_add_up_to_what_is_known_of_each_language():
    assert sentences("train", "en") == 21_253, "Hu et al. 2020, Table 1"
    assert {language: (sentences("test", language), sentences("dev", language)) for language in CARD} == CARD
    assert [(sentences("test", language), sentences("dev", language)) for language in "lt pl ro uk wo ru zh".split()] == [
        (739, 672), (4_942, 3_960), (2_272, 2_247), (892, 672), (470, 449), (8_976, 8_108), (3_455, 1_000)
    ], "stats.xml of r2.7 and of r2.5"  # fmt: skip
    assert sum(part.size("fr") for part in tasks.get("udpos").parts("test", "fr")) == 4_997 + 12, "of French-FTB its sentences of one word"


def test_files_are_taken_by_prefix_at_a_commit_and_only_by_their_language():
    assert set(treebanks.LANGUAGES) == set(benchmark.XTREME_R["udpos"]) and len(treebanks.LANGUAGES) == 38
    assert list(TREEBANKS) == sorted(TREEBANKS), "in the order of the files' names, as XTREME joins them"
    for part in tasks.get("udpos").all_parts():
        assert part.config.startswith(f"{part.only[0]}_") and len(part.revision) == 40 and part.rows > 0
    assert len({treebank.commit for treebank in TREEBANKS.values()}) == len(TREEBANKS)


# ---------------------------------------------------------------- from files


def conllu_text(rows: list[dict]) -> str:
    blocks = []
    for row in rows:
        spans = {token["id"].split("-")[0]: token for token in row["mwt"]}
        lines = []
        for i, (word, tag, head, deps) in enumerate(zip(*(row[c] for c in ("tokens", "upos", "head", "deps")), strict=True), 1):
            if token := spans.get(str(i)):
                lines.append("\t".join([token["id"], token["form"], *"________"]))
            lines.append("\t".join([str(i), word, "_", tag, "_", "_", head, "dep", deps, "_"]))
        blocks.append("\n".join(["# text = x", *lines, "", ""]))
    return "".join(blocks)


TURKISH = [sentence("ka/AUX/3 lo/PRON/3 mirun/VERB/0", _1_2="kalo"), sentence("mora/NOUN/0 sel/ADJ/1")]


def put(root, treebank: str, split: str, rows: list[dict]) -> Source:
    """A treebank's file in the folder, as its repository has it."""
    path = root / f"UniversalDependencies/UD_{TREEBANKS[treebank].name}/{treebank}-ud-{split}.conllu"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(conllu_text(rows))
    return Source(str(root), subset=True)


def test_a_file_and_the_hubs_copy_of_it_give_the_same_rows(tmp_path, parquet_root):
    assert conllu.sentences(conllu_text(TURKISH)) == TURKISH
    own = sources.rows(put(tmp_path / "own", "tr_imst", "dev", TURKISH), tasks.get("udpos"), "dev", "tr")
    assert [(row["words"], row["tags"]) for row in own] == [(["kalo", "mirun"], ["PRON", "VERB"]), (["mora", "sel"], ["NOUN", "ADJ"])]
    of_numbers = [
        row | {"upos": [treebanks.UD_ORDER.index(tag) for tag in row["upos"]], "deps": [None] * len(row["deps"])} for row in TURKISH
    ]
    of_numbers = [row | {"head": [*map(int, row["head"])]} for row in of_numbers]
    for name, rows in (("dev", TURKISH), ("validation", of_numbers)):
        root = parquet_root(f"{name}/commul/universal_dependencies", "tr_imst", {name: rows})
        assert sources.rows(Source(f"{root}/{name}", subset=True), tasks.get("udpos"), "dev", "tr") == own


def test_a_folder_that_has_both_is_read_from_the_file(tmp_path, parquet_root):
    parquet_root("commul/universal_dependencies", "tr_imst", {"dev": TURKISH})
    source = put(tmp_path, "tr_imst", "dev", TURKISH[:1])
    assert len(sources.rows(source, tasks.get("udpos"), "dev", "tr")) == 1
    assert [entry["part"] for entry in sources.counts(source, tasks.get("udpos"), ["train", "dev", "test"], []) if entry["rows"]] == []
    assert tasks.get("udpos").parts("dev", "tr")[0].copy.repo == "commul/universal_dependencies"


def test_from_the_hub_a_treebank_is_read_at_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
    commit, repo = TREEBANKS["tr_imst"].commit, "UniversalDependencies/UD_Turkish-IMST"
    with pytest.raises(Problem, match=f"{repo}: tr_imst-ud-dev.conllu: not fetched"):
        sources.rows(Source("hub"), tasks.get("udpos"), "dev", "tr")
    path = snapshots.folder("github", repo, commit) / "tr_imst-ud-dev.conllu"
    path.parent.mkdir(parents=True)
    path.write_text(conllu_text(TURKISH * 494))
    assert commit in str(path) and len(sources.rows(Source("hub"), tasks.get("udpos"), "dev", "tr")) == 988
    assert revisions.of(Source("hub"), [("udpos", "dev", "tr")]) == [f"{repo}@{commit} tr_imst-ud-dev.conllu {commit}"]


def test_a_language_of_several_treebanks_is_all_of_them_and_a_missing_one_is_named(tmp_path):
    for treebank in ("pl_lfg", "pl_pdb"):
        source = put(tmp_path, treebank, "test", [sentence(f"{treebank}/NUM/0")])
    rows = sources.rows(source, tasks.get("udpos"), "test", "pl")
    assert [row["words"] for row in rows] == [["pl_lfg"], ["pl_pdb"]] and rows[0]["id"] != rows[1]["id"]
    for split in ("train", "dev"):
        put(tmp_path, "en_ewt", split, TURKISH)
    named = {
        entry["part"]: entry["rows"]
        for entry in sources.counts(source, tasks.get("udpos"), ["train", "dev", "test"], ["pl"])
        if "test" in entry["part"]
    }
    assert named["UniversalDependencies/UD_Polish-PUD (pl_pud-ud-test.conllu, test)"] == 0
    with pytest.raises(Problem, match=r"UD_Polish-LFG \(pl_lfg-ud-test.conllu, test\): 1 rows where the published split has 1,727"):
        sources.rows(Source(str(tmp_path)), tasks.get("udpos"), "test", "pl")


def test_what_is_missing_damaged_or_without_its_tokens_is_told_in_a_line(tmp_path, parquet_root):
    root = parquet_root("google/xtreme", "udpos.Turkish", {"validation": [{"tokens": ["ka", "lo"], "pos_tags": [3, 10]}]})
    source, task = Source(str(root), subset=True), tasks.get("udpos")
    with pytest.raises(Problem) as missing:
        sources.rows(source, task, "dev", "tr")
    assert str(missing.value).startswith(f"UniversalDependencies/UD_Turkish-IMST (tr_imst-ud-dev.conllu, dev): not in {root}, nor commul/")
    put(root, "tr_imst", "dev", TURKISH)
    path = root / "UniversalDependencies/UD_Turkish-IMST/tr_imst-ud-dev.conllu"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(Problem) as damaged:
        sources.rows(source, task, "dev", "tr")
    assert "damaged or cut short (line 9 has 8 columns" in str(damaged.value)
    split = {"tokens": ["ka", "lo"], "upos": ["AUX", "PRON"]}
    with pytest.raises(Problem) as without:
        sources.rows(Source(str(parquet_root("commul/universal_dependencies", "uk_iu", {"dev": [split]})), True), task, "dev", "uk")
    assert "(uk_iu, dev|validation), row 0, column head: is missing (columns: tokens, upos)" in str(without.value)
    assert not any("\n" in str(error.value) for error in (missing, damaged, without))


def test_the_identity_of_a_folder_is_that_of_file_and_copy(tmp_path, parquet_root):
    reads = [("udpos", "dev", "tr")]
    source = put(tmp_path, "tr_imst", "dev", TURKISH)
    before = revisions.of(source, reads)
    put(tmp_path, "tr_imst", "dev", TURKISH[:1])
    after = revisions.of(source, reads)
    assert before != after == revisions.of(source, reads)
    parquet_root("commul/universal_dependencies", "tr_imst", {"dev": TURKISH})
    assert revisions.of(source, reads) != after


@pytest.mark.parametrize("treebank", ["ar_pud", "de_gsd", "en_ewt", "fi_tdt", "hi_pud", "tr_imst", "wo_wtb", "zh_gsd"])
def test_mirror_words_spell_the_sentences_text(mirror, treebank):
    """What is fused is what is written: the words, joined, are the text without its spaces."""
    raw = datasets.load_dataset("parquet", data_files=f"{mirror}/commul/universal_dependencies/{treebank}/test-*.parquet", split="train")
    language = treebank.split("_")[0]
    spelt = [("".join(tagged(row, language)["words"]), "".join(row["text"].split())) for row in raw]
    assert sum(words == text for words, text in spelt) > 0.99 * len(spelt)
    assert len(raw) == TREEBANKS[treebank].test
