"""Sentences of CoNLL-U files, on made-up ones."""

import pytest

from xtools.sources import conllu

FILE = (
    "# sent_id = 1\n"
    "1-2\tzun\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tzu\tzu\tADP\t_\t_\t3\tcase\t3:case\tSpaceAfter=No\n"
    "2\tdun\tdun\tDET\t_\t_\t3\tdet\t3:det|3.1:dep\t_\n"
    "3\tmo\u2028ra\tmora\tNOUN\t_\t_\t0\troot\t0:root\t_\n"
    "3.1\tlost\tlost\tVERB\t_\t_\t_\t_\t3:dep\t_\n"
    "\n"
    "# sent_id = 2\n"
    "1\tKepa\tKepa\tPROPN\t_\t_\t0\troot\t_\t_\n"
)


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_words_heads_and_multi_word_tokens_are_read_and_empty_nodes_are_not(end):
    first, second = conllu.sentences(FILE + end)
    assert first["tokens"] == ["zu", "dun", "mo\u2028ra"], "a break that is not a line's end stands inside a form"
    assert first["upos"] == ["ADP", "DET", "NOUN"] and first["head"] == ["3", "3", "0"]
    assert first["deps"] == ["3:case", "3:det|3.1:dep", "0:root"] and first["mwt"] == [{"id": "1-2", "form": "zun"}]
    assert (second["tokens"], second["mwt"]) == (["Kepa"], [])


def test_a_line_cut_short_is_told_with_its_number():
    with pytest.raises(ValueError, match="line 4 has 4 columns, not 10"):
        conllu.sentences(FILE[: FILE.index("DET")])
    assert conllu.sentences("") == []
