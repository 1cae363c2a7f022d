"""Blocks of whitespace-separated decimal numbers (bytes) -> float64 arrays, with the count of numbers on every line.

Plain decimals (`-12.345678`) are converted eight digits at a time with integer arithmetic on whole arrays; the result
is the correctly rounded one, since an integer below 2^53 is divided by an exact power of ten. Exponents and longer
numbers go to numpy's own parser. Either way there are as many numbers as tokens: nothing is skipped, and two numbers
are never read out of one token (`1.5-2`).
"""

import re
import warnings
from collections.abc import Iterator

import numpy as np

from .base import MotionFileError


BLOCK_BYTES = 1 << 18  # lines are taken in blocks of this size: temporaries stay in the cache whatever the file's size
MAX_LINE_BYTES = 1 << 20  # 6 channels of 1024 joints with 25 characters each take less than a fifth
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SLOW_SHARE = 1 / 8  # of tokens that are no plain decimals, above which the whole block goes to numpy's parser
_POWERS = 10.0 ** np.arange(9)
_INTEGER_POWERS = 10 ** np.arange(9, dtype=np.uint64)


def is_number(token: bytes | str) -> bool:
    """Whether a token is a complete decimal number as C's `%f`, `%e` or `%d` prints it."""
    return bool(_NUMBER.fullmatch(token.encode("latin-1", "replace") if isinstance(token, str) else token))


def line_blocks(data: bytes, path: str, start: int = 0, line: int = 1) -> Iterator[tuple[bytes, int]]:
    """Cuts `data[start:]` into blocks of whole lines, each with the number of its first line.

    Raises:
        MotionFileError: A line is longer than `MAX_LINE_BYTES`.
    """
    while start < len(data):
        stop = data.find(b"\n", start + BLOCK_BYTES) + 1 if start + BLOCK_BYTES < len(data) else len(data)
        stop = stop or len(data)
        if stop - start > BLOCK_BYTES + MAX_LINE_BYTES:
            line += data.count(b"\n", start, start + BLOCK_BYTES)
            raise MotionFileError(
                f"{path}: line {line}: longer than {MAX_LINE_BYTES:,} bytes; this is no row of numbers."
            )
        block = data[start:stop]
        yield block, line
        line += block.count(b"\n")
        start += len(block)


def count_tokens(data: bytes, path: str) -> np.ndarray:
    """Whitespace-separated tokens on each line, `(lines,)` int64; text behind the last line end is a line too."""
    counts = []
    for block, _ in line_blocks(data, path):
        codes = np.frombuffer(block, dtype=np.uint8)
        first, _ = _token_bounds(codes)
        before = np.searchsorted(first, np.flatnonzero(codes == 10))  # tokens before each line end
        behind = [] if block.endswith(b"\n") else [len(first)]
        counts.append(np.diff(np.append(before, behind), prepend=0).astype(np.int64))
    return np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)


def parse_numbers(text: bytes, count: int, path: str, line: int) -> np.ndarray:
    """Text that holds `count` tokens -> `(count,)` float64.

    Args:
        text (`bytes`): The text.
        count (`int`): The number of its tokens, as [`count_tokens`] found it.
        path (`str`): What errors call the file.
        line (`int`): Number of the first line, for errors.

    Raises:
        MotionFileError: A token is no finite number; the message names its line.
    """
    parts = [_parse_block(block, path, number) for block, number in line_blocks(text, path, 0, line)]
    values = np.concatenate(parts) if len(parts) != 1 else parts[0]
    if len(values) != count:
        raise MotionFileError(f"{path}: lines from {line}: {len(values)} numbers where {count} should be.")
    return values


def _parse_block(block: bytes, path: str, line: int) -> np.ndarray:
    try:
        values = _parse(block)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    for number, text in enumerate(block.split(b"\n"), start=line):
        for token in text.split():
            if not is_number(token):
                hint = " Decimal commas are not read." if b"," in token else ""
                raise MotionFileError(f"{path}: line {number}: {_show(token)} is no finite number.{hint}")
            if not np.isfinite(float(token)):
                raise MotionFileError(f"{path}: line {number}: {_show(token)} is too large.")
    raise MotionFileError(f"{path}: lines from {line}: not all of the text could be read as numbers.")


def last_line(data: bytes, start: int, path: str) -> bytes:
    """The text behind the last line end of `data[start:]`.

    Raises:
        MotionFileError: It is longer than `MAX_LINE_BYTES`.
    """
    begin = max(data.rfind(b"\n", start) + 1, start)
    if len(data) - begin > MAX_LINE_BYTES:
        number = data.count(b"\n", 0, begin) + 1
        raise MotionFileError(
            f"{path}: line {number}: longer than {MAX_LINE_BYTES:,} bytes; this is no row of numbers."
        )
    return data[begin:]


def _show(token: bytes) -> str:
    text = token.decode("latin-1")
    return repr(text if len(text) <= 24 else text[:24] + "...")


def _token_bounds(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first character of every token, and of the one behind its last."""
    inside = np.empty(len(codes) + 2, dtype=bool)
    inside[0] = inside[-1] = False
    np.greater(codes - np.uint8(9), 4, out=inside[1:-1])  # all but tab, line feed, vertical tab, form feed, return ...
    inside[1:-1] &= codes != 32  # ... and blank: other control characters are no separators
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return edges[::2], edges[1::2]


def _parse(block: bytes) -> np.ndarray:
    """All tokens of a block as float64; ValueError when numpy's parser meets something that is no number."""
    padded = b"00000000" + block  # so that eight characters end at every index of the block
    codes = np.frombuffer(padded, dtype=np.uint8)
    first, last = _token_bounds(codes[8:])
    first, last = first + 8, last + 8
    if not len(first):
        return np.empty(0)
    words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))  # word i: characters i ... i + 7

    dots = np.append(np.flatnonzero(codes == ord(".")), len(codes))
    dot = np.minimum(dots[np.searchsorted(dots, first)], last)
    sign = codes[first]
    negative = sign == ord("-")
    whole_digits = dot - first - (negative | (sign == ord("+")))
    part_digits = np.maximum(last - dot - 1, 0)
    plain = (whole_digits <= 8) & (part_digits <= 8) & (whole_digits + part_digits > 0)
    exponents = np.count_nonzero((codes | 32) == ord("e"))
    if exponents + len(plain) - np.count_nonzero(plain) > _SLOW_SHARE * len(plain):
        return _parse_by_numpy(block, len(first))
    whole, whole_good = _eight_digits(words[dot - 8], whole_digits)
    part, part_good = _eight_digits(words[last - 8], part_digits)
    digits = np.where(plain, part_digits, 0)
    mantissa = whole * _INTEGER_POWERS[digits] + part
    plain &= whole_good & part_good & (mantissa < np.uint64(1 << 53))

    values = mantissa.astype(np.float64) / _POWERS[digits]
    np.negative(values, out=values, where=negative)
    slow = np.flatnonzero(~plain)
    if len(slow):
        text = b" ".join([padded[first[index] : last[index]] for index in slow.tolist()])
        values[slow] = _parse_by_numpy(text, len(slow))
    return values


def _parse_by_numpy(text: bytes, count: int) -> np.ndarray:
    with warnings.catch_warnings():  # numpy before 2.3 only warns where it stops reading
        warnings.simplefilter("ignore", DeprecationWarning)
        values = np.fromstring(text, dtype=np.float64, sep=" ")
    if len(values) != count:
        raise ValueError("not every token is one number")
    return values


def _eight_digits(words: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The decimal number in the last `count` of eight ASCII characters, and whether they are all digits.

    The characters are the bytes of a little-endian word, so the last one is the most significant byte. Neighbours are
    joined in three steps: digits to pairs, pairs to fours, fours to eights, all lanes of a word in one multiplication.
    """
    drop = (8 * np.clip(8 - count, 0, 8)).astype(np.uint64)
    words = ((words ^ np.uint64(0x3030303030303030)) >> drop) << drop  # digits become 0 ... 9, the rest 0
    good = (((words + np.uint64(0x7676767676767676)) | words) & np.uint64(0x8080808080808080)) == 0
    words = words * np.uint64(10) + (words >> np.uint64(8))
    low, high = np.uint64(0x000000FF000000FF), np.uint64(16)
    upper = (words & low) * np.uint64(1_000_000 << 32 | 100)
    lower = ((words >> high) & low) * np.uint64(10_000 << 32 | 1)
    return (upper + lower) >> np.uint64(32), good
