"""Tokenizers: read once by a process and those that it forks, as one of XLM-R's vocabulary takes seconds to read and to hash; or made."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from xtools import versions

FILES = ("*.json", "*.model", "*.txt")  # of an encoder's folder, those that its tokenizer may come from
APART = ("card.json",)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # XLM-R's special tokens; <pad> has id 1, as there
_read: dict[tuple, object] = {}


def read(where: str, **options):
    """The tokenizer of a folder or Hub id, as transformers reads it with `options`; folders with the same files have the same one.

    Raises OSError or ValueError when there is none.
    """
    key = _identity(where, options)
    if key not in _read:
        _read[key] = AutoTokenizer.from_pretrained(where, **options)
    return _read[key]


def _identity(where: str, options: dict) -> tuple:
    """The content of a folder's files, or a Hub id and its revision, which stands for one commit as long as a process lives."""
    if Path(where).is_dir():
        return (versions.folder_digest(Path(where), FILES, APART),)
    return where, options.get("revision")


def train_tokenizer(texts, vocabulary: int, max_length: int) -> PreTrainedTokenizerFast:
    """A byte-pair-encoding tokenizer trained on `texts`, with XLM-R's special tokens and its layout of pairs, `<s> a </s></s> b </s>`."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False, limit_alphabet=vocabulary // 2)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
