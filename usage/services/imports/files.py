"""Log files: open them, compressed or not, and read them line by line in bounded memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

LONGEST_LINE = 1_048_576  # bytes; the rest of the line is skipped
STDIN = Path("-")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 131_072
_UNPACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda packed: gzip.GzipFile(fileobj=packed, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_NAMED = {
    b"\x28\xb5\x2f\xfd": "It is compressed by zstd: import the output of zstdcat, with - for the file.",
    b"\x04\x22\x4d\x18": "It is compressed by lz4: import the output of lz4cat, with - for the file.",
    b"\x1f\x9d": "It is compressed by compress: import the output of zcat, with - for the file.",
    b"PK\x03\x04": "It is a zip archive or a spreadsheet: take the log out of it first.",
    b"\xff\xfe": "It is UTF-16: save it as UTF-8.",
    b"\xfe\xff": "It is UTF-16: save it as UTF-8.",
}
_LONGEST_MAGIC = 6


class UnreadableLog(Exception):
    """This file cannot be read as a log; the message says why."""


@dataclass(frozen=True)
class LogFile:
    """An open log. `lines` include their line breaks; a last line without one may still be being written."""

    lines: Iterator[bytes]
    is_packed: bool  # so it is no longer being written
    size: int | None  # in bytes of `lines`; None: not known beforehand


@contextmanager
def open_log(path: Path) -> Iterator[LogFile]:
    """Open a log; `-` is standard input. gzip, bzip2 and xz are decompressed.

    :raises OSError: if it cannot be read
    :raises UnreadableLog: if it is compressed in another way, or is not text in UTF-8
    """
    with contextlib.ExitStack() as opened:
        file: IO[bytes] = sys.stdin.buffer if path == STDIN else opened.enter_context(path.open("rb"))
        size = None if path == STDIN else path.stat().st_size or None  # a pipe has none
        head = _head_of(file)
        for magic, reason in _NAMED.items():
            if head.startswith(magic):
                raise UnreadableLog(reason)
        whole: Any = io.BufferedReader(_Rejoined(head, file), _BUFFER_BYTES)
        unpack = next((each for magic, each in _UNPACKED.items() if head.startswith(magic)), None)
        if unpack is not None:
            whole, size = io.BufferedReader(unpack(whole), _BUFFER_BYTES), None
        yield LogFile(_lines(whole), is_packed=unpack is not None, size=size)


def _head_of(file: IO[bytes]) -> bytes:
    """Read the first bytes, however few of them a pipe hands over at once."""
    head = b""
    while len(head) < _LONGEST_MAGIC and (more := file.read(_LONGEST_MAGIC - len(head))):
        head += more
    return head


class _Rejoined(io.RawIOBase):
    """A file whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest: Any = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            taken = min(len(self._head), len(buffer))
            buffer[:taken] = self._head[:taken]
            self._head = self._head[taken:]
            return taken
        read = self._rest.readinto1 if hasattr(self._rest, "readinto1") else self._rest.readinto
        return int(read(buffer))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines; of one that is too long, its beginning.

    :raises UnreadableLog: if the compressed data is damaged or truncated
    """
    try:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                line += _end_of_line(file)
            yield line.removeprefix(_BYTE_ORDER_MARK)
    except EOFError:
        raise UnreadableLog("The compressed file ends in the middle: import it again when it is whole.") from None
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise UnreadableLog(f"The compressed file is damaged: {error}.") from None
    except OSError as error:
        if error.errno is not None:  # the disk's, not bzip2's
            raise
        raise UnreadableLog(f"The compressed file is damaged: {error}.") from None


def _end_of_line(file: IO[bytes]) -> bytes:
    """Skip the rest of a line, and return its line break if it has one."""
    while rest := file.readline(LONGEST_LINE):
        if rest.endswith(b"\n"):
            return b"\n"
    return b""
