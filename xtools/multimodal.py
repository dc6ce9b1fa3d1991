"""Multimodal encoders: learning from captioned pictures beside text (CLIP, Radford et al. 2021), and text towers of published ones."""

import math

import numpy as np
import torch
import transformers

from xtools.batching import moved, pad
from xtools.encoder import Encoder, pool
from xtools.sources import pictures
from xtools.training import Stream

CAPTIONS = "pictures"  # the name of their stream
SCALE = 1 / 0.07  # the first temperature, Radford et al. 2021, section 2.5; also their bound of 100 below


class PictureTower(torch.nn.Module):
    """What pictures need beside the encoder: a vision transformer, and projections of its vectors and the encoder's into one space."""

    def __init__(self, hidden: int, heads: int, size: int, patch: int):
        super().__init__()
        config = transformers.CLIPVisionConfig(
            hidden_size=hidden,
            intermediate_size=4 * hidden,
            num_hidden_layers=2,
            num_attention_heads=heads,
            image_size=size,
            patch_size=patch,
        )
        self.vision = transformers.CLIPVisionModel(config)
        self.of_pictures = torch.nn.Linear(hidden, hidden, bias=False)
        self.of_texts = torch.nn.Linear(hidden, hidden, bias=False)
        self.scale = torch.nn.Parameter(torch.tensor(math.log(SCALE)))

    def pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors [pictures, hidden] of pixels [pictures, 3, size, size]."""
        return torch.nn.functional.normalize(self.of_pictures(self.vision(pixel_values=pixels).pooler_output), dim=-1)

    def texts(self, encoder: Encoder, ids: torch.Tensor) -> torch.Tensor:
        """Unit vectors [texts, hidden] of padded ids: the mean of the encoder's last layer, projected."""
        pooled = pool(encoder.hidden(ids), ids, encoder.tokenizer.pad_token_id, "mean")
        return torch.nn.functional.normalize(self.of_texts(pooled), dim=-1)


def new_tower(encoder: Encoder, seed: int) -> PictureTower:
    """A tower with random weights, as wide as the encoder, for the microworld's pictures."""
    torch.manual_seed(seed)
    return PictureTower(encoder.config.hidden_size, encoder.config.num_attention_heads, pictures.SIZE, pictures.ICON).to(encoder.device)


def pixels(captions: list[dict], device) -> torch.Tensor:
    """Pictures as [pictures, 3, size, size] in [-1, 1]."""
    stacked = np.stack([caption["picture"] for caption in captions]).transpose(0, 3, 1, 2)
    return moved(stacked, device).float() / 127.5 - 1


def caption_stream(encoder: Encoder, tower: PictureTower, captions: list[dict]) -> Stream:
    """A training stream over {text, picture}: within a batch each text is to find its picture and each picture its text.

    The loss is the mean of both directions' cross-entropies over the batch's similarities times a learnt scale (Radford et al. 2021,
    figure 3). Captions of like length share a batch, so that length gives little away.
    """
    encoded = encoder.tokenizer([caption["text"] for caption in captions])["input_ids"]

    def loss(indices: list[int]) -> torch.Tensor:
        ids = pad([encoded[i] for i in indices], encoder.tokenizer.pad_token_id)
        texts, pictures = tower.texts(encoder, ids), tower.pictures(pixels([captions[i] for i in indices], encoder.device))
        similar = texts @ pictures.T * tower.scale.exp().clamp(max=100)
        gold = torch.arange(len(indices), device=encoder.device)
        return (torch.nn.functional.cross_entropy(similar, gold) + torch.nn.functional.cross_entropy(similar.T, gold)) / 2

    return Stream(CAPTIONS, [len(ids) for ids in encoded], loss)


@torch.inference_mode()
def found(encoder: Encoder, tower: PictureTower, captions: dict[str, list[dict]]) -> dict[str, float]:
    """Percent of captions whose own picture is the most similar of all that language's, per language. Chance is 100 / their number."""
    shares = {}
    for language, some in captions.items():
        ids = pad(encoder.tokenizer([caption["text"] for caption in some])["input_ids"], encoder.tokenizer.pad_token_id)
        similar = tower.texts(encoder, ids) @ tower.pictures(pixels(some, encoder.device)).T
        shares[language] = 100 * float((similar.argmax(1).cpu() == torch.arange(len(some))).double().mean())
    return shares
