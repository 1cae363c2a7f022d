"""Captions -> a table of distinct captions with their token ids; left and right swapped; a vocabulary of one's own."""

import re
from collections.abc import Iterable

import numpy as np
import torch

from .arguments import TrainingError


_SIDE = r"(?P<side>left|right)(?=s\b|y\b|wards?\b|most\b|hand(?:ed|er)?\b|sides?\b|foot\b|\b)"
_TURN = r"(?P<counter>(?:counter|anti)[- ]?)?(?P<clockwise>clock-?wise)\b"
_PART = (
    r"(?:arm|hand|leg|foot|feet|side|knee|elbow|shoulder|wrist|forearm|hip|heel|toe|palm|fist|thigh|ankle|handed)s?"
)
# "left" and "right" that name no side stay: the verb "to leave" where what is left or an auxiliary verb shows it, and
# "right" as just, correct or perpendicular. "he has left arm up" and "the man left foot ..." do name one.
_NO_SIDE = (
    r"(?:has|have|had) left\b(?! (?:\w+ )?" + _PART + r"\b)"
    r"|left (?:the|his|her|their|its|a) (?:room|place|area|scene|stage|spot|house|building|frame|floor|ground|chair|seat)\b"
    r"|left (?:alone|behind|over)\b|leftovers?\b"
    r"|right[- ]angle[sd]?\b|right side up\b|(?:all|be|is) right\b(?! (?:\w+ )?" + _PART + r"\b)"
)
# "stops right before the wall", but "steps to the right before he stops"
_JUST = r"right (?:away|now|after|before|behind|next to|there|here)\b"
_BEFORE_A_SIDE = re.compile(r"\b(?:the|his|her|their|its|my|your|to|from|on|with|far|and|or|left) $", re.IGNORECASE)
_WORDS = re.compile(rf"\b(?:(?P<keep>{_NO_SIDE})|(?P<just>{_JUST})|{_TURN}|{_SIDE})", re.IGNORECASE)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-'.,!?():;/"


def mirror_caption(caption: str) -> str:
    """The caption of the mirrored motion: left and right, clockwise and counterclockwise change places.

    Compounds are swapped too (leftmost, left-handed, leftwards, lefts), in the case they are written in. What names no side
    stays: "right away", "a right angle", "he has left", "left the room". A bare "the person left" is taken for the side,
    as captions of motions nearly always mean it.

    Example:

    ```python
    >>> from modeling_motionpatch.training import mirror_caption
    >>> mirror_caption("Left hand up, then he turns clockwise right away")
    'Right hand up, then he turns counterclockwise right away'
    ```
    """

    def swap(match: re.Match) -> str:
        word, rest = match.group(), ""
        if match["just"] and _BEFORE_A_SIDE.search(caption[: match.start()]):
            word, rest = word[:5], word[5:]
        elif match["keep"] or match["just"]:
            return word
        if match["clockwise"]:
            other = match["clockwise"] if match["counter"] else "counter" + "-" * ("-" in word) + word
        else:
            other = "right" if word.lower() == "left" else "left"
        if word.isupper():
            return other.upper() + rest
        return (other.capitalize() if word[0].isupper() else other.lower()) + rest

    return _WORDS.sub(swap, caption)


class CaptionTable:
    """Distinct captions, each tokenised once.

    The index of a caption is the same in every process, so it serves as the id by which equal captions are known.

    Args:
        captions (`Iterable[str]`): With repetitions.
        tokenizer (`PreTrainedTokenizerBase`): Text to ids.
        max_tokens (`int`): Longer captions are cut.
    """

    def __init__(self, captions: Iterable[str], tokenizer, max_tokens: int):
        self.captions = list(dict.fromkeys(captions))
        self.index = {caption: index for index, caption in enumerate(self.captions)}
        self.pad_id = tokenizer.pad_token_id
        if self.pad_id is None:
            raise TrainingError(f"The tokenizer {type(tokenizer).__name__} has no padding token; batches need one.")
        encoded = tokenizer(
            self.captions, truncation=True, max_length=max_tokens, padding=False, return_token_type_ids=False
        )["input_ids"]
        self.lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        self.offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(self.lengths)]))
        self.tokens = torch.from_numpy(np.concatenate([np.asarray(ids, dtype=np.int64) for ids in encoded]))

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, indices: np.ndarray, device=None) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64 `(B, L)` with L the longest of these captions."""
        lengths = torch.from_numpy(self.lengths[indices])
        position = torch.arange(int(lengths.max()))
        mask = position < lengths[:, None]
        where = (self.offsets[indices][:, None] + position).clamp_(max=len(self.tokens) - 1)
        ids = self.tokens[where].masked_fill_(~mask, self.pad_id)
        return ids.to(device, non_blocking=True), mask.long().to(device, non_blocking=True)


def train_tokenizer(captions: Iterable[str], vocab_size: int, lower_case: bool = True, max_tokens: int = 77):
    """A WordPiece tokenizer with BERT's special tokens, its vocabulary learned from captions.

    Args:
        captions (`Iterable[str]`): Of the training split.
        vocab_size (`int`): At most this many entries, or as many as the letters need.
        lower_case (`bool`, *optional*, defaults to `True`): Lower-case all text.
        max_tokens (`int`, *optional*, defaults to 77): The tokenizer's `model_max_length`.

    Returns:
        `BertTokenizerFast`
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    captions = sorted(captions)
    alphabet = _ALPHABET if lower_case else _ALPHABET + _ALPHABET.upper()
    letters = sorted(
        {*alphabet, *(c for text in captions for c in tokenizer.normalizer.normalize_str(text) if c > " ")}
    )
    # Every letter is known at the start of and within words, so that no word of a search is wholly unknown. They are
    # handed over as special tokens, in this order: the trainer itself numbers them in the order of a hash table, and
    # by these numbers it settles ties, so that the same captions would give another vocabulary each time.
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size, len(pieces)), special_tokens=pieces, show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    vocabulary = tokenizer.get_vocab()
    return BertTokenizerFast(vocab=vocabulary, do_lower_case=lower_case, model_max_length=max_tokens)


__all__ = ["CaptionTable", "mirror_caption", "train_tokenizer"]
