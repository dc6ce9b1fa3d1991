"""Published architectures, built from their shapes with random weights: every format trains two steps and scores a batch."""

import logging

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast

from xtools import encoder, finetuning, pretraining, scoring, sources, tasks
from xtools.batching import pad
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.settings import Training
from xtools.sources import Source

WORLD = Source("microworld")
TRAINED = ("xnli", "xcopa", "panx", "xquad", "lareqa")  # one of each format that trains
TWO_STEPS = Training(learning_rate=1e-5, epochs=1, batch_size=2, max_length=64)


def build(name: str, tokenizer, **changes) -> Encoder:
    """An encoder of a published shape with random weights; its vocabulary is the published one's size, the tokenizer the tests' own."""
    config = encoder.config_of(name)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
    config.update(changes | {name: value for name, value in special.items() if hasattr(config, name)})
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    torch.manual_seed(0)
    return Encoder(AutoModelForMaskedLM.from_config(config, attn_implementation="eager"), tokenizer)


def every_format_works(made: Encoder):
    for name in TRAINED:
        task = tasks.get(name)
        rows = sources.rows(WORLD, task, "train", "qaa", 4)
        heads, curve = finetuning.fine_tune(made, {name: (task, scoring.encoded(made, task, rows, TWO_STEPS.max_length))}, TWO_STEPS, 0)
        assert curve["steps"] >= 2 and all(loss == loss and loss < 1e4 for loss in curve["loss"])
        if task.is_searched:
            vectors = scoring.embed(made, task, rows, [1, made.config.num_hidden_layers], "first", 64)
            assert vectors.shape == (2, 4, made.config.hidden_size)
        else:
            scores, predictions = scoring.evaluate(made, heads[name], task, rows, 64, "qaa")
            assert len(predictions) == 4 and 0 <= scores[task.metric] <= 100


@pytest.mark.parametrize(("size", "millions"), [("base", 278), pytest.param("large", 560, marks=pytest.mark.slow)])
def test_xlmr_at_its_real_size(size, millions, tokenizer):
    made = build(f"FacebookAI/xlm-roberta-{size}", tokenizer)
    assert sum(p.numel() for p in made.model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)
    every_format_works(made)


SMALLER = {
    "microsoft/Multilingual-MiniLM-L12-H384": {"num_hidden_layers": 2, "vocab_size": 2000},
    "google-bert/bert-base-multilingual-cased": {"num_hidden_layers": 2, "vocab_size": 2000},
    "distilbert/distilbert-base-multilingual-cased": {"n_layers": 2, "vocab_size": 2000},
    "microsoft/mdeberta-v3-base": {"num_hidden_layers": 2, "vocab_size": 2000},
    "google/rembert": {"num_hidden_layers": 2, "vocab_size": 2000},
    "jhu-clsp/mmBERT-small": {"num_hidden_layers": 2, "vocab_size": 2000},
}


@pytest.mark.parametrize("name", SMALLER)
def test_other_architectures_with_two_layers(name, tokenizer):
    every_format_works(build(name, tokenizer, **SMALLER[name]))


BERT, XLMR = "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS] $A [SEP] [SEP] $B [SEP]"  # layouts of a pair, with the same names of special tokens
PAIRS = [("one two", "three four five"), ("one", "two"), ("five four three two", "one")]
WITH, WITHOUT = ["input_ids", "token_type_ids", "attention_mask"], ["input_ids", "attention_mask"]


def words(layout: str, names: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words that lays pairs out so, and gives the inputs of these names."""
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *"one two three four five".split()])}
    made = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=layout, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=names, **special)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("layout", "names", "two"),
    [
        (BERT, WITH, True),
        (XLMR, WITHOUT, False),
        (XLMR, WITH, False),
        (BERT, WITHOUT, False),
        ("[CLS] $A [SEP] [SEP] $B:1 [SEP]:1", WITH, True),
        ("[CLS] $A [SEP] [SEP]:1 $B:1 [SEP]:1", WITH, True),
    ],
)
def test_segments_of_pairs_are_the_tokenizers_own(layout, names, two, packed):
    tokenizer = words(layout, names)
    made = build("google-bert/bert-base-multilingual-cased", tokenizer, num_hidden_layers=1, vocab_size=20)
    made.model.eval()
    torch.nn.init.normal_(made.model.base_model.embeddings.token_type_embeddings.weight)
    pairs = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    keep = pairs["attention_mask"].bool()
    own = pairs.setdefault("token_type_ids", torch.zeros_like(pairs["input_ids"]))
    assert own.any() == two and torch.equal(made.inputs(pairs["input_ids"])["token_type_ids"], own * keep)
    states = made.pack(packed).hidden(pairs["input_ids"])[keep]
    assert torch.allclose(states, made.pack(False).model.base_model(**pairs).last_hidden_state[keep], atol=1e-5)


def test_one_text_is_one_segment():
    tokenizer = words(BERT, WITH)
    made = build("google-bert/bert-base-multilingual-cased", tokenizer, num_hidden_layers=1, vocab_size=20)
    assert not made.inputs(tokenizer(["one two", "three"], padding=True, return_tensors="pt")["input_ids"])["token_type_ids"].any()


def test_xlmr_has_one_segment(tiny):
    assert "token_type_ids" not in tiny.inputs(torch.tensor([[0, 9, 2]]))


@pytest.mark.parametrize("name", SMALLER)
def test_logits_of_masked_tokens_are_the_models_own_and_no_others_are_computed(name, tokenizer, monkeypatch):
    made = build(name, tokenizer, **SMALLER[name])
    made.model.eval()
    ids = pad([[0, 9, 10, 11, 2], [0, 12, 2]], tokenizer.pad_token_id)
    chosen = ids == 10
    whole = made.model(**made.inputs(ids)).logits
    monkeypatch.setattr(made.model, "forward", None)
    assert torch.allclose(pretraining.masked_logits(made, ids, chosen), whole[chosen], atol=1e-5)


def test_masked_lm_with_a_head_that_is_not_known(tokenizer):
    config = AutoConfig.for_model("albert", vocab_size=2000, embedding_size=16, hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
    made = Encoder(AutoModelForMaskedLM.from_config(config), tokenizer)
    stream = pretraining.masked_lm_stream(made, [[0, 9, 8, 7, 2]] * 4, 0.5)
    assert 0 < stream.loss([0, 1, 2, 3]).item() < 20


# ---------------------------------------------------------------- checkpoints with and without a language-model head

IDS = torch.tensor([[0, 9, 10, 11, 2], [0, 12, 2, 1, 1]])


@pytest.fixture
def printed():
    """What transformers logs, from warnings on."""
    lines = logging.Handler(logging.WARNING)
    lines.told = []
    lines.emit = lambda record: lines.told.append(record.getMessage())
    logging.getLogger("transformers").addHandler(lines)
    yield lines.told
    logging.getLogger("transformers").removeHandler(lines)


@pytest.mark.parametrize("name", SMALLER)
def test_an_encoder_with_its_head_is_loaded_as_transformers_loads_it(name, tokenizer, tmp_path, printed, recwarn):
    encoder.save(build(name, tokenizer, **SMALLER[name]), tmp_path)
    made, theirs = encoder.load(str(tmp_path)), AutoModelForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert made.predicts_words and made.model.state_dict().keys() == theirs.state_dict().keys()
    assert torch.equal(made.model(**made.inputs(IDS)).logits, theirs(**made.inputs(IDS)).logits)
    assert not printed and not recwarn.list


@pytest.mark.parametrize("name", SMALLER)
def test_an_encoder_published_without_a_head_predicts_no_words_and_nothing_is_printed(name, tokenizer, tmp_path, printed, recwarn):
    whole = build(name, tokenizer, **SMALLER[name])
    encoder.save(Encoder(whole.model.base_model, tokenizer), tmp_path / "published")
    AutoModelForMaskedLM.from_pretrained(tmp_path / "published")
    assert printed, "transformers itself tells of the missing head"
    printed.clear()
    made = encoder.load(str(tmp_path / "published"))
    assert not printed and not recwarn.list and not made.predicts_words
    whole.model.eval()
    assert torch.equal(made.hidden(IDS), whole.hidden(IDS))
    assert not {key for key in made.model.state_dict() if "pooler" in key}, "a pooler would be random"
    encoder.save(made, tmp_path / "tuned")
    again = encoder.load(str(tmp_path / "tuned"))
    assert not printed and not again.predicts_words and torch.equal(again.hidden(IDS), made.hidden(IDS))


def test_an_encoder_without_a_head_is_refused_for_masked_lm_by_name_and_trains_otherwise(tokenizer, tmp_path):
    model = AutoModel.from_config(build("FacebookAI/xlm-roberta-base", tokenizer, num_hidden_layers=1, vocab_size=2000).config)
    encoder.save(Encoder(model, tokenizer), tmp_path / "plain")  # with a pooler, which is published too and has no use
    made = encoder.load(str(tmp_path / "plain"))
    with pytest.raises(Problem, match=r"\+mlm: .*plain \(xlm-roberta\) has no language-model head"):
        pretraining.masked_lm_stream(made, [[0, 5, 2]], 0.15)
    assert pretraining.guesses(made, {"qaa": ["one"]}).empty
    every_format_works(made)


@pytest.mark.parametrize("without", ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"])
def test_a_head_of_which_a_part_is_missing_is_no_head(tiny, without, tmp_path):
    state = {key: value for key, value in tiny.model.state_dict().items() if without not in key and "decoder" not in key}
    tiny.model.save_pretrained(tmp_path, state_dict=state)
    tiny.tokenizer.save_pretrained(tmp_path)
    assert not encoder.load(str(tmp_path)).predicts_words


@pytest.mark.parametrize("headless", [False, True])
def test_a_checkpoint_in_several_files_is_read_alike(tiny, headless, tmp_path):
    model = tiny.model.base_model if headless else tiny.model
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    tiny.tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    made = encoder.load(str(tmp_path))
    assert made.predicts_words != headless and torch.equal(made.hidden(IDS), tiny.hidden(IDS))


@pytest.mark.parametrize("headless", [False, True])
def test_an_encoder_of_which_a_layer_is_missing_is_a_problem(tiny, headless, tmp_path):
    model = tiny.model.base_model if headless else tiny.model
    tiny.model.save_pretrained(
        tmp_path, state_dict={k: v for k, v in model.state_dict().items() if "layer.1." not in k and "decoder" not in k}
    )
    tiny.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(Problem, match=r"its checkpoint lacks 16 of its weights \(roberta.encoder.layer.1"):
        encoder.load(str(tmp_path))


def test_what_is_published_with_the_project_has_its_head_and_is_loaded_in_silence(printed, recwarn):
    folder = encoder.ROOT / "backbones" / "small-s0"
    made, theirs = encoder.load(str(folder)), AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    assert not printed and not recwarn.list and made.predicts_words
    assert torch.equal(made.hidden(IDS), theirs.base_model(**made.inputs(IDS)).last_hidden_state)
    assert torch.equal(made.model(**made.inputs(IDS)).logits, theirs(**made.inputs(IDS)).logits)
    assert not pretraining.guesses(made, {"qaa": ["vo dog"]}).empty


# ---------------------------------------------------------------- the lowest layers of a published encoder


def without_its_last_layer(made: Encoder) -> Encoder:
    """The encoder, its last layer taken out by hand."""
    stack = next(m for m in made.model.base_model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 2)
    del stack[1]
    return made


@pytest.mark.parametrize("name", SMALLER)
def test_the_lowest_layers_are_the_published_ones(name, tokenizer, tmp_path, printed, recwarn):
    encoder.save(build(name, tokenizer, **SMALLER[name]), tmp_path / "whole")
    made, whole = (encoder.load(str(tmp_path / "whole"), layers=n) for n in (1, None))
    assert made.config.num_hidden_layers == encoder.config_of(str(tmp_path / "whole"), None, 1).num_hidden_layers == 1
    assert sum(p.numel() for p in made.model.parameters()) < sum(p.numel() for p in whole.model.parameters())
    by_hand = without_its_last_layer(whole)
    assert torch.equal(made.hidden(IDS), by_hand.hidden(IDS)) and made.predicts_words
    encoder.save(made, tmp_path / "cut")
    again = encoder.load(str(tmp_path / "cut"))
    assert torch.equal(again.hidden(IDS), made.hidden(IDS)) and not printed and not recwarn.list


def test_more_layers_than_there_are_are_a_problem(tiny, tmp_path):
    encoder.save(tiny, tmp_path)
    with pytest.raises(Problem, match=rf"^backbone {tmp_path}: layers: 3, and it has 2$"):
        encoder.load(str(tmp_path), layers=3)
    with pytest.raises(Problem, match="layers: 13, and it has 12"):
        encoder.config_of("FacebookAI/xlm-roberta-base", None, 13)


def test_an_architecture_whose_depth_is_not_known_is_a_problem():
    with pytest.raises(Problem, match="backbone ours/funnel: layers: it is not known how to cut funnel; take"):
        encoder.lowest(AutoConfig.for_model("funnel"), 2, "ours/funnel")
