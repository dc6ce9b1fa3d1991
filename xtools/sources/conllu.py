"""Sentences of a CoNLL-U file, in the columns that commul/universal_dependencies has them in on the Hub."""

COLUMNS = 10  # ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC (universaldependencies.org/format.html)


def sentences(text: str) -> list[dict]:
    """The sentences of a file: tokens, upos, head and deps of their syntactic words, and in mwt the id ("3-4") and form of each multi-word
    token; empty nodes ("5.1") are left out.

    Raises ValueError for a line that has not ten columns.
    """
    found, words = [], []
    for number, line in enumerate(text.split("\n"), 1):  # other breaks, as str.splitlines knows them, stand inside forms
        if line and not line.startswith("#"):
            columns = line.split("\t")
            if len(columns) != COLUMNS:
                raise ValueError(f"line {number} has {len(columns)} columns, not {COLUMNS}")
            words.append(columns)
        elif not line and words:
            found.append(_sentence(words))
            words = []
    return [*found, _sentence(words)] if words else found


def _sentence(lines: list[list[str]]) -> dict:
    words = [columns for columns in lines if columns[0].isdigit()]
    return {
        "tokens": [columns[1] for columns in words],
        "upos": [columns[3] for columns in words],
        "head": [columns[6] for columns in words],
        "deps": [columns[8] for columns in words],
        "mwt": [{"id": columns[0], "form": columns[1]} for columns in lines if "-" in columns[0]],
    }
