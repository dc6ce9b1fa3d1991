"""Encoders: create one from nothing, load a published one, save one, run one, pool its hidden states."""

import contextlib
import copy
import warnings
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
import transformers
import yaml
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedTokenizerFast, XLMRobertaConfig
from transformers.utils import logging

from xtools import ROOT, packing, snapshots, words
from xtools.batching import moved
from xtools.problems import Problem

logging.disable_progress_bar()
NARROW = 96  # hidden size below which bf16 does not pay on a CPU
# Classes of models by name: transformers imports them when they are asked for, which takes seconds that `make plan` need not wait.
TOWERS = {"altclip_text_model": "AltCLIPTextModel", "siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
WITH_HEAD = "AutoModelForMaskedLM"
FROM_PADDING = ("xlm-roberta", "roberta", "camembert", "altclip_text_model")  # architectures that count positions from pad id + 1


@dataclass
class Encoder:
    """A masked language model of transformers or the text tower of a multimodal one, its tokenizer, and how to run it.

    `model.base_model` is the encoder proper; a language-model head that its checkpoint has stays attached, so that masked-LM training can
    go on.
    """

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerFast
    precision: str = "fp32"
    body: torch.nn.Module | None = None  # what runs in place of `model.base_model`: a compiled or quantized form of it
    packed: bool = False  # whether sequences run as one row without padding
    changed: torch.Tensor | None = None  # ids whose embeddings training has changed since its cells began; None: not known, maybe all

    @property
    def config(self):
        return self.model.config

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def predicts_words(self) -> bool:
        """Whether there is a language-model head; text towers of multimodal models and encoders published without one have none."""
        return self.model.get_output_embeddings() is not None

    def autocast(self):
        """Autocast context for the forward pass: bf16 where chosen; master weights stay fp32."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """The last layer's hidden states [sequences, tokens, hidden] in fp32 for padded ids [sequences, tokens], best in the host's memory."""
        return self._outputs(ids).last_hidden_state.float()

    def hidden_layers(self, ids: torch.Tensor, layers: list[int]) -> list[torch.Tensor]:
        """As `hidden`, of several layers, counted from 1 (0 = embeddings)."""
        states = self._outputs(ids, output_hidden_states=True).hidden_states
        return [states[layer].float() for layer in layers]

    def _outputs(self, ids: torch.Tensor, **more):
        """What the encoder proper returns, however it runs."""
        with self.autocast():
            if self.packed:
                first = packing.FIRST_POSITION[self.config.model_type](self.config)
                return packing.run(self._running, self._described(ids), first, self.device, **more)
            return self._running(**self.inputs(ids), **more)

    @property
    def _running(self) -> torch.nn.Module:
        return self.model.base_model if self.body is None else self.body

    @property
    def attention(self) -> str:
        """How attention is computed, for the records: eager, sdpa or packed, and whether the encoder is compiled."""
        return self.config._attn_implementation + (" compiled" if self.body is not None else "")

    def pack(self, on: bool) -> "Encoder":
        """Let sequences run packed, or padded; returns the encoder itself."""
        if on != self.packed:
            self.packed = on
            self.model.set_attn_implementation(packing.register() if on else choose_attention(self.device) or "sdpa")
        return self

    def exact(self) -> "Encoder":
        """The same weights in fp32, uncompiled: scores in bf16 differ by up to half a point in a language, so scoring and timing use fp32."""
        return replace(self, precision="fp32", body=None)

    def variant(self, name: str) -> "Encoder":
        """The same weights under the settings that a Variant names; int8 is dynamic quantization, on a CPU alone.

        Raises ValueError for a name that is not of the form, or a setting that the architecture does not have.
        """
        from xtools.settings import Variant  # `make gpu` has not what it imports

        asked = Variant.parse(name)
        packed = asked.attention == packing.NAME
        if packed and self.config.model_type not in packing.FIRST_POSITION:
            raise ValueError(f"packed: not known how for {self.config.model_type}")
        if asked.precision == "int8" and self.device.type != "cpu":
            raise ValueError("int8: dynamic quantization runs on a CPU alone")
        body = copy.deepcopy(self.model.base_model)
        body.set_attn_implementation(packing.register() if packed else asked.attention)
        if asked.precision == "int8":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch points to another package for this
                body = torch.ao.quantization.quantize_dynamic(body, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
        if asked.compiled:
            body = torch.compile(body, dynamic=True)
        return Encoder(self.model, self.tokenizer, "bf16" if asked.precision == "bf16" else "fp32", body, packed)

    def inputs(self, ids: torch.Tensor) -> dict:
        """What the model is called with, on its device: ids, a mask where there is padding, segments where the architecture knows them.

        The mask is given as transformers would make it for fused attention: making it, transformers asks the device whether there is
        padding, and the host would wait for the answer at every step.
        """
        given = self._described(ids)
        if given["attention_mask"].all():
            del given["attention_mask"]
        elif self._running.config._attn_implementation in ("sdpa", packing.NAME) and self.config.model_type in packing.FIRST_POSITION:
            given["attention_mask"] = given["attention_mask"][:, None, None, :]
        return {name: moved(value, self.device) for name, value in given.items()}

    def _described(self, ids: torch.Tensor) -> dict:
        """Ids, the mask of what is not padding, and segments where the architecture tells them apart."""
        given = {"input_ids": ids, "attention_mask": ids != self.tokenizer.pad_token_id}
        if getattr(self.config, "type_vocab_size", 0) > 1:
            given["token_type_ids"] = self._segments(ids) * given["attention_mask"]
        return given

    def _segments(self, ids: torch.Tensor) -> torch.Tensor:
        """The segment of each token [sequences, tokens] as the tokenizer gives it, 1 for the second text of a pair; 0 for all where it gives
        none (Multilingual MiniLM: BERT's architecture, XLM-R's tokenizer): the other rows of its table were never trained."""
        if self._separators_of_first is None:
            return torch.zeros_like(ids)
        separators = (ids == self.tokenizer.sep_token_id).long()
        return (separators.cumsum(1) - separators >= self._separators_of_first).long()

    @cached_property
    def _separators_of_first(self) -> int | None:
        """After how many separators a pair's second segment starts, BERT's after one; None where the tokenizer makes no segments."""
        if "token_type_ids" not in self.tokenizer.model_input_names:
            return None
        pair = self.tokenizer("a", "b")
        first = [token for token, segment in zip(pair["input_ids"], pair["token_type_ids"], strict=True) if segment == 0]
        return first.count(self.tokenizer.sep_token_id) if len(first) < len(pair["input_ids"]) else None


def choose_precision(asked: str, device: torch.device, width: int) -> str:
    """`auto` becomes bf16 where the device computes it natively (CUDA from Ampere on, AVX512-BF16 or AMX on a CPU), else fp32.

    On a CPU an encoder narrower than `NARROW` stays in fp32: its products are too small to win back what conversions cost (a training
    step of 4 x 48 took 12 ms in fp32 and 15 in bf16, one of 4 x 128 32 and 22).
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() and width >= NARROW else "fp32"


def choose_attention(device: torch.device) -> str | None:
    """The attention implementation: on a GPU transformers' choice (None), the fused one where an architecture has it; on a CPU eager,
    which under bf16 trains several times faster there."""
    return None if device.type == "cuda" else "eager"


def choose_batches(asked: str, encoder: Encoder) -> Encoder:
    """The encoder, set to train on batches `padded`, `packed`, or padded and `compiled`; `auto` packs on a GPU where a trial finds no
    reason against it, and prints the reason where there is one.

    Compiling costs a minute or so at the first step and is worth it in long training on a GPU (`make bench` there compares): one graph
    serves all batches that are padded, another those that need not be. Scoring runs uncompiled.

    Raises Problem when packing is asked for and the architecture cannot be packed.
    """
    if asked == "compiled":
        return replace(encoder.pack(False), body=torch.compile(encoder.model.base_model, dynamic=True))
    if asked == "packed" and encoder.config.model_type not in packing.FIRST_POSITION:
        raise Problem(f"batches: {encoder.config.model_type} cannot be packed ({', '.join(packing.FIRST_POSITION)} can); set batches: auto")
    if asked == "auto" and encoder.device.type == "cuda":
        if against := packing.trial(encoder):
            print(f"batches are padded: {against}")
        return encoder.pack(not against)
    return encoder.pack(asked == "packed")


def choose_device(asked: str) -> torch.device:
    """The device of a run: `auto` takes the GPU where there is one.

    Raises Problem when a GPU is asked for by name and there is none.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise Problem("device: a GPU was asked for and torch sees none; set device: auto or cpu")
    return torch.device(asked)


def create(tokenizer, layers: int, hidden: int, heads: int, max_length: int, seed: int) -> Encoder:
    """A new encoder of XLM-R's architecture with random weights; feed-forward layers are 4 x hidden wide, as in all BERT sizes."""
    torch.manual_seed(seed)
    config = new_config(len(tokenizer), layers, hidden, heads, max_length)
    config.update({name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")})
    return Encoder(transformers.XLMRobertaForMaskedLM(config), tokenizer)


def new_config(vocabulary: int, layers: int, hidden: int, heads: int, max_length: int) -> XLMRobertaConfig:
    """The config of a new encoder: XLM-R's, without dropout, feed-forward layers 4 x hidden wide."""
    return XLMRobertaConfig(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=max_length + 2,  # XLM-R counts positions from padding_idx + 1 = 2
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )


def at_random(where: str, texts, revision: str | None = None, layers: int | None = None) -> tuple[Encoder, str]:
    """A published architecture with random weights, for timing: no weights are downloaded. Returns it and where its tokenizer is from.

    Where its own tokenizer is not at hand, one is trained on `texts`, so lengths are then not the encoder's own.
    """
    config = config_of(where, revision, layers)
    reads, origin = tokenizer_at_hand(where, revision), "its own"
    if reads is None:
        reads, origin = words.train_tokenizer(texts, 8000, 512), "made here"
        config.update({"pad_token_id": reads.pad_token_id})
    torch.manual_seed(0)
    config._attn_implementation = choose_attention(choose_device("auto"))
    return Encoder(of_config(config), reads), origin


def of_config(config) -> torch.nn.Module:
    """A model of a config with random weights: a masked language model, or a multimodal model's text tower."""
    kind = TOWERS.get(config.model_type)
    return getattr(transformers, kind)(config) if kind else transformers.AutoModelForMaskedLM.from_config(config)


@cache
def known_shapes() -> dict[str, dict]:
    """Configs of published encoders by their Hub id (params/ledgers/encoders.yaml), known without a download."""
    return yaml.safe_load((ROOT / "params" / "ledgers" / "encoders.yaml").read_text())


def config_of(where: str, revision: str | None = None, layers: int | None = None):
    """A published encoder's config (of a multimodal one its text tower's), from its folder, the cache, or params/ledgers/encoders.yaml; with
    `layers`, that of its lowest ones (`lowest`).

    Raises Problem when it is in none of them, or has not so many layers.
    """
    if snapshots.is_local(where) and not (ROOT / where).exists():
        raise Problem(f"{where}: not there; run make backbones PROFILE=<study>")
    if where in known_shapes() and not snapshots.is_local(where):
        return lowest(AutoConfig.for_model(**known_shapes()[where]), layers, where)
    name, options = snapshots.place(where, revision)
    try:
        config = AutoConfig.from_pretrained(name, **options)
        return lowest(getattr(config, "text_config", config), layers, where)
    except (OSError, ValueError) as error:
        told = (
            "is not here; make fetch PROFILE=<study> fetches it" if options else f"cannot be loaded ({str(error).strip().splitlines()[0]})"
        )
        raise Problem(f"backbone {where}: its config {told}") from error


def lowest(config, layers: int | None, where: str):
    """The config of an encoder's lowest layers (None: all), in place: sizes of one family that differ in nothing else, the top-layer
    dropping of Sajjad et al. 2020.

    Raises Problem where it has fewer, or where the architecture's depth is no one number.
    """
    if layers is None:
        return config
    key = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    depth = config.to_dict().get(key)
    if depth is None:  # Perceiver's config has no such number, and Funnel's depth is that of its blocks
        raise Problem(f"backbone {where}: layers: it is not known how to cut {config.model_type}; take them out of its entry")
    if layers > depth:
        raise Problem(f"backbone {where}: layers: {layers}, and it has {depth}")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    return config


def tokenizer_at_hand(where: str, revision: str | None = None):
    """An encoder's tokenizer where no download is needed, else None."""
    try:
        name, options = snapshots.place(where, revision)
        return words.read(name, **options | {"local_files_only": True}) if where else None
    except (OSError, ValueError):
        return None


def longest(config) -> int | None:
    """How many tokens an encoder can read; None where its positions have no end."""
    positions = getattr(config, "max_position_embeddings", None)
    return positions - config.pad_token_id - 1 if positions and config.model_type in FROM_PADDING else positions


def check_length(encoder: Encoder, max_length: int, task: str) -> None:
    """Raises Problem when an encoder cannot read as many tokens as a task may have."""
    if (most := longest(encoder.config)) and max_length > most:
        raise Problem(
            f"{task}: max_length is {max_length}, and {encoder.config.model_type} reads {most} tokens at most; "
            f"set tasks.{task}.max_length to {most} where that is enough for the task, or take the task or the encoder out of the study"
        )


def _load_model(where: str, revision: str | None, layers: int | None):
    """A masked language model; the encoder proper where the checkpoint lacks any of the head's weights; of a multimodal one the text tower;
    of any the lowest `layers`.

    Raises Problem when weights of the encoder itself are not there: they would be random.
    """
    name, options = snapshots.place(where, revision)
    config = AutoConfig.from_pretrained(name, **options)
    lowest(getattr(config, "text_config", config), layers, where)
    whole = hasattr(config, "text_config")  # loaded whole: a tower's own class finds none of its weights in it
    kind = TOWERS.get(config.model_type, "AutoModel" if whole else WITH_HEAD)
    model, missing = _weights(getattr(transformers, kind), name, options | {"config": config})
    proper = model.text_model if whole else model.base_model
    own = set(map(id, proper.parameters()))
    if lacking := [name for name, weight in model.named_parameters() if name in missing and id(weight) in own]:
        raise Problem(f"backbone {where}: its checkpoint lacks {len(lacking)} of its weights ({lacking[0]}); is it the whole encoder?")
    return proper if whole or (missing and kind == WITH_HEAD) else model


def _weights(kind, name: str, options: dict) -> tuple[torch.nn.Module, set[str]]:
    """A model of a class, and the names of its weights that the checkpoint lacks, for the caller to judge: transformers' own page on them,
    and on weights that the class has no use for (a pooler, another head), is not printed."""
    options = options | dict(use_safetensors=True, dtype=torch.float32, attn_implementation=choose_attention(choose_device("auto")))
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, found = kind.from_pretrained(name, output_loading_info=True, **options)
    finally:
        logging.set_verbosity(level)
    return model, set(found["missing_keys"])


def load(where: str, revision: str | None = None, tokenizer: str | None = None, layers: int | None = None) -> Encoder:
    """An encoder from a local folder or the Hub's cache: safetensors only, fp32 weights, no remote code.

    `tokenizer` names another place for the tokenizer; of the encoder's layers the lowest `layers` are kept.

    Raises Problem when it cannot be had.
    """
    try:
        name, options = snapshots.place(tokenizer) if tokenizer else snapshots.place(where, revision)
        reads = words.read(name, **options)
        model = _load_model(where, revision, layers)
    except (OSError, ValueError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise Problem(f"backbone {where}: cannot be loaded ({first}); is the name right, is it downloaded whole? (make fetch)") from error
    return Encoder(model, reads)


def save(encoder: Encoder, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write config, tokenizer and weights (safetensors, in `dtype`) to a folder; the encoder itself keeps its fp32 weights."""
    copies: dict[int, torch.Tensor] = {}  # tied weights stay one tensor, and are written once
    state = {
        name: copies.setdefault(tensor.data_ptr(), tensor.detach().to("cpu", dtype)) for name, tensor in encoder.model.state_dict().items()
    }
    encoder.model.save_pretrained(folder, state_dict=state)
    encoder.tokenizer.save_pretrained(folder)


def pool(hidden: torch.Tensor, ids: torch.Tensor, pad_id: int, how: str) -> torch.Tensor:
    """One vector per sequence [sequences, hidden]: `first` token, or `mean` over all tokens but padding (as XTREME's Tatoeba does)."""
    if how == "first":
        return hidden[:, 0]
    mask = moved((ids != pad_id).unsqueeze(-1).float(), hidden.device)
    return (hidden * mask).sum(1) / mask.sum(1)
