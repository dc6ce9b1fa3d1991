"""Windows of question answering over long contexts, and whose tokens' answers count, against the rule written out slowly."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from xtools import batching, sources, tasks
from xtools.tasks import span

XQUAD = tasks.get("xquad")
shapes = st.tuples(st.integers(0, 3000), st.integers(1, 400), st.integers(1, 400)).map(lambda s: (s[0], s[1], min(s[1], s[2])))
relaxed = hypothesis_settings(deadline=None, max_examples=40)


def slow_spans(size: int, room: int, step: int) -> list[tuple[int, int]]:
    """BERT's loop over document spans: a window from where it is to the end or as far as there is room, then `step` on."""
    spans, start = [], 0
    while True:
        length = min(size - start, room)
        spans.append((start, start + length))
        if start + length == size:
            return spans
        start += min(length, step)


def slow_owner(spans: list[tuple[int, int]], token: int) -> int:
    """BERT's rule: the window that gives a token the most context to its shorter side, plus a hundredth of the window's length."""
    best, owner = None, -1
    for i, (start, stop) in enumerate(spans):
        end = stop - 1
        if token < start or token > end:
            continue
        context = min(token - start, end - token) + 0.01 * (stop - start)
        if best is None or context > best:
            best, owner = context, i
    return owner


@relaxed
@given(shapes)
def test_windows_are_those_of_the_loop_and_each_token_is_owned_once_as_the_rule_says(shape):
    spans = span.window_spans(*shape)
    assert spans == slow_spans(*shape)
    owned = span._owned(spans)
    owner = [i for i, (first, end) in enumerate(owned) for _ in range(first, end)]
    assert owner == [slow_owner(spans, token) for token in range(shape[0])]
    assert [token for first, end in owned for token in range(first, end)] == [*range(shape[0])]


@relaxed
@given(shapes, st.data())
def test_an_answer_that_fits_beside_a_step_is_whole_in_some_window(shape, data):
    size, room, step = shape
    length = data.draw(st.integers(1, room - step + 1))
    start = data.draw(st.integers(0, max(0, size - length)))
    assert any(first <= start and min(size, start + length) <= stop for first, stop in span.window_spans(*shape))


def test_xtremes_windows_start_128_tokens_apart(tokenizer):
    """google-research/xtreme, scripts/train_qa.sh: max_seq_length 384, doc_stride 128."""
    row = {"id": "0", "question": "1 2 3", "context": "4 " * 1000, "answers": {"text": [], "answer_start": []}}
    features = span.encode([row], tokenizer, XQUAD, 384)
    tokens = tokenizer(row["context"], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    first = [tokens.index(next(tuple(o) for o in f["offsets"] if o != span.OUTSIDE)) for f in features]
    assert first == [128 * i for i in range(len(features))]
    assert {len(f["ids"][0]) for f in features[:-1]} == {384}
    room = sum(o != span.OUTSIDE for o in features[0]["offsets"])
    assert room - 128 > 230, "so much of a window is in the next one too"


@pytest.mark.parametrize("max_length", [40, 64, 96])
def test_windows_are_those_that_the_tokenizer_cuts_itself(tokenizer, max_length):
    """Its `stride` is what two windows have in common: the room that the question leaves, minus the step."""
    short = sources.rows(sources.Source("microworld"), XQUAD, "test", "qac", 5)
    for row in [row | {"context": " ".join([row["context"]] * n)} for n, row in enumerate(short, 1)]:
        room = max_length - len(tokenizer(row["question"], add_special_tokens=False)["input_ids"]) - 4
        more = {"return_overflowing_tokens": True, "return_offsets_mapping": True}
        stride = room - min(room, max_length // 3)
        cut = tokenizer(row["question"], row["context"], truncation="only_second", max_length=max_length, stride=stride, **more)
        features = span.encode([row], tokenizer, XQUAD, max_length)
        assert [f["ids"][0] for f in features] == cut["input_ids"]
        inside = [[tuple(o) for o in f["offsets"] if o != span.OUTSIDE] for f in features]
        sides = [cut.sequence_ids(w) for w in range(len(features))]
        assert inside == [
            [o for o, s in zip(offsets, side, strict=True) if s == 1] for offsets, side in zip(cut["offset_mapping"], sides, strict=True)
        ]


@pytest.mark.parametrize("name", ["squad_v1", "squad_v2", "xquad", "mlqa", "tydiqa"])
def test_a_short_context_is_one_window_all_its_own(name, tokenizer):
    task, world = tasks.get(name), sources.Source("microworld")
    rows = sources.rows(world, task, "dev" if "dev" in task.hub else "test", "qac", 60)
    features = span.encode(rows, tokenizer, task, 128)
    assert [f["row"] for f in features] == [*range(len(rows))]
    plain = tokenizer([r["question"] for r in rows], [r["context"] for r in rows])["input_ids"]
    assert [f["ids"][0] for f in features] == plain
    assert all([i for i, o in enumerate(f["offsets"]) if o != span.OUTSIDE] == [*range(*f["own"])] for f in features)


def test_an_answer_counts_where_it_starts_in_a_windows_own_tokens(tokenizer):
    words = " ".join(str(i % 10) for i in range(100))
    row = {"id": "0", "question": "1", "context": words, "answers": {"text": [], "answer_start": []}}
    features = span.encode([row], tokenizer, XQUAD, 48)
    logits = torch.zeros(len(features), batching.pad([f["ids"][0] for f in features], 1).shape[1], 2)
    shared = {o for o in features[0]["offsets"] if o in features[1]["offsets"] and o[0] >= 0}
    place = max(i for i, o in enumerate(features[0]["offsets"]) if o in shared)
    logits[0, place] = 9.0  # near its end the first window is sure of a token that the second sees amid more context
    own = features[1]["own"][0]
    logits[1, own] = 5.0
    parts = span.decode(logits, {"features": features}, XQUAD)
    assert not features[0]["own"][0] <= place < features[0]["own"][1]
    assert parts[1][:3] == (10.0, own, own)
    first = features[1]["offsets"][own]
    assert span.assemble(features, parts, [row]) == [words[first[0] : first[1]].strip()]


def test_a_context_without_text_is_one_window_without_an_answer(tokenizer):
    row = {"id": "0", "question": "1 2", "context": "", "answers": {"text": [], "answer_start": []}}
    features = span.encode([row], tokenizer, XQUAD, 48)
    logits = torch.randn(1, batching.pad([f["ids"][0] for f in features], 1).shape[1], 2)
    assert len(features) == 1 and span.assemble(features, span.decode(logits, {"features": features}, XQUAD), [row]) == [""]
