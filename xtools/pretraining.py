"""Masked-LM pretraining of a small encoder from nothing (phase 1 of studies that do not download one)."""

import pandas as pd
import torch

from xtools import multimodal
from xtools.batching import moved, pad
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.training import Stream, train

HEADS = (  # modules of language-model heads, in order: XLM-R; BERT, DeBERTa and RemBERT; ModernBERT; DistilBERT
    ("lm_head",),
    ("cls",),
    ("head", "decoder"),
    ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
)
ROUND_MASKED = 64  # predicted tokens per batch come in multiples of this: few shapes, few kernels for the matrix library to build


def encode_documents(tokenizer, documents: list, max_length: int) -> list[list[int]]:
    """Token ids per document, a text or a pair of texts; one longer than `max_length` tokens is cut into several, none is lost."""
    encoded = []
    for ids in tokenizer(documents, return_attention_mask=False)["input_ids"]:
        inside, width = ids[1:-1], max_length - 2
        encoded += [[ids[0], *inside[i : i + width], ids[-1]] for i in range(0, len(inside), width)]
    return encoded


def mask_tokens(ids: torch.Tensor, tokenizer, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked copy of ids [sequences, tokens], in the host's memory, and the mask of positions to predict.

    A `share` of the ordinary tokens is predicted; of these 80% become <mask>, 10% a random token, 10% stay (Devlin et al. 2019, 3.1).
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    n = ROUND_MASKED * max(1, round(share * int((~special).sum()) / ROUND_MASKED))
    draws = torch.rand(ids.shape).masked_fill(special, 2.0)
    chosen = (draws <= draws.flatten().kthvalue(min(n, draws.numel())).values) & ~special
    fate = torch.rand(ids.shape)
    masked = torch.where(chosen & (fate < 0.8), tokenizer.mask_token_id, ids)
    anything = torch.randint(len(tokenizer.all_special_ids), len(tokenizer), ids.shape)
    return torch.where(chosen & (fate >= 0.9), anything, masked), chosen


def masked_logits(encoder: Encoder, ids: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logits [chosen tokens, vocabulary]; no others are computed where the architecture's language-model head is known."""
    head = next((parts for parts in HEADS if all(hasattr(encoder.model, part) for part in parts)), None)
    if head is None:
        return _at(encoder.model(**encoder.inputs(ids)).logits, chosen)
    states = _at(encoder.hidden(ids), chosen)
    for part in head:
        states = getattr(encoder.model, part)(states)
    return states


def _at(states: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The states [chosen tokens, size] of states [sequences, tokens, size], the mask being in the host's memory."""
    return states.flatten(0, 1).index_select(0, moved(chosen.flatten().nonzero()[:, 0], states.device))


def masked_lm_stream(encoder: Encoder, documents: list[list[int]], share: float) -> Stream:
    """A training stream over tokenized documents.

    Raises Problem for an encoder without a language-model head.
    """
    if not encoder.predicts_words:
        who = f"{encoder.config.name_or_path} ({encoder.config.model_type})" if encoder.config.name_or_path else encoder.config.model_type
        raise Problem(f"+mlm: {who} has no language-model head to go on with; take its +mlm recipes out of the study")

    def loss(indices: list[int]) -> torch.Tensor:
        ids = pad([documents[i] for i in indices], encoder.tokenizer.pad_token_id)
        masked, chosen = mask_tokens(ids, encoder.tokenizer, share)
        with encoder.autocast():
            logits = masked_logits(encoder, masked, chosen)
        return torch.nn.functional.cross_entropy(logits.float(), moved(ids[chosen], logits.device))

    return Stream("mlm", [len(d) for d in documents], loss)


def pretrain(encoder: Encoder, documents: list, settings, seed: int, checkpoint=None, captions=(), tower=None) -> dict:
    """Train the encoder in place on documents (texts or pairs); returns the learning curve and the number of tokens seen.

    With a picture tower, batches of captioned pictures come between, and the tower is trained too.
    """
    encoded = encode_documents(encoder.tokenizer, documents, settings.max_length)
    streams, modules = [masked_lm_stream(encoder, encoded, settings.mask_share)], encoder.model
    if tower:
        streams.append(multimodal.caption_stream(encoder, tower, captions))
        modules = torch.nn.ModuleDict({"encoder": encoder.model, "tower": tower})
    result = train(modules, streams, settings, seed, checkpoint)
    return result | {"tokens": sum(sum(stream.lengths) for stream in streams) * settings.epochs}


@torch.inference_mode()
def guesses(encoder: Encoder, texts: dict[str, list[str]]) -> pd.DataFrame:
    """For each text one masked token (the middle one): the text around it, the gold token, and the encoder's first guess.

    Nothing for an encoder without a language-model head.
    """
    if not encoder.predicts_words:
        return pd.DataFrame(columns=["language", "text", "gold", "guess"])
    tokenizer, rows = encoder.tokenizer, []
    for language, samples in texts.items():
        for text in samples:
            ids = tokenizer(text, truncation=True, max_length=64)["input_ids"]
            place = len(ids) // 2
            gold, masked = ids[place], [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            logits = encoder.model(input_ids=torch.tensor([masked], device=encoder.device)).logits
            around = tokenizer.decode(masked[1:-1]).replace(tokenizer.mask_token, "___")
            guess = tokenizer.decode([int(logits[0, place].argmax())])
            rows.append({"language": language, "text": around, "gold": tokenizer.decode([gold]), "guess": guess})
    return pd.DataFrame(rows)
