"""Reading a number from the memory of a program that knows nothing of it (proc(5), elf(5))."""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metabonk.errors import GameError

FORMATS = {
    **{"i8": "b", "i16": "h", "i32": "i", "i64": "q"},
    **{"u8": "B", "u16": "H", "u32": "I", "u64": "Q"},
    **{"f32": "f", "f64": "d"},
}
"""Types of numbers, and their formats in ``struct``."""

POINTER = struct.Struct("<Q")
PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")

ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
EXECUTABLE = 2  # e_type: at fixed addresses, unlike what is loaded anywhere.
SECTION = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("address", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("alignment", "<u8"),
        ("entry_size", "<u8"),
    ]
)
SYMBOL = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("section", "<u2"),
        ("value", "<u8"),
        ("size", "<u8"),
    ]
)
SYMBOL_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM


class Place(NamedTuple):
    """Where a number is in a program's memory.

    Attributes:
        module: name of a library's file; empty: the program itself.
        symbol: of the module; empty: its beginning.
        offset: from there, bytes.
        pointers: each: the address is read there, and this offset is added.
        kind: a name of ``FORMATS``.
    """

    module: str
    symbol: str
    offset: int
    pointers: tuple[int, ...]
    kind: str


class MemoryReader:
    """Reads a number of a running program.

    Args:
        pids: of the processes among which the first with the module is read.
        place: of the number.

    Raises:
        GameError: none has the module or the symbol, or the kernel refuses it.
    """

    def __init__(self, pids: Iterable[int], place: Place) -> None:
        self._place = place
        self._number = struct.Struct("<" + FORMATS[place.kind])
        pid, file, base = _find_module(pids, place.module)
        is_fixed = False
        value = 0
        if place.symbol:
            value, is_fixed = _find_symbol(file, place.symbol)
        self._address = (0 if is_fixed else base) + value + place.offset
        try:
            self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:
            raise GameError(f"its memory can't be read: {_refusal()}") from None
        except FileNotFoundError:
            raise GameError("it ended unexpectedly") from None

    def read(self) -> float | None:
        """Return the number; None while the pointers lead nowhere, or to no finite number."""
        address = self._address
        for offset in self._place.pointers:
            pointer = self._unpack(POINTER, address)
            if pointer is None:
                return None
            address = int(pointer) + offset
        number = self._unpack(self._number, address)
        return float(number) if number is not None and np.isfinite(number) else None

    def close(self) -> None:
        """Let go of the memory."""
        os.close(self._memory)

    def _unpack(self, format_: struct.Struct, address: int) -> int | float | None:
        try:
            (number,) = format_.unpack(os.pread(self._memory, format_.size, address))
        except (OSError, OverflowError, struct.error):  # Nothing is mapped there now.
            return None
        assert isinstance(number, int | float)
        return number


def _find_module(pids: Iterable[int], name: str) -> tuple[int, Path, int]:
    """Return the process that has a module, the module's file, and the address of its start."""
    for pid in pids:
        wanted = name
        try:
            wanted = name or Path(f"/proc/{pid}/exe").readlink().name
            for start, file in _mappings(pid):
                if file.name == wanted:
                    return pid, file, start
        except OSError:  # It has ended.
            continue
    raise GameError(
        f"none of its processes has loaded {name}: correct reward.module"
        if name
        else "it ended unexpectedly"
    )


def _mappings(pid: int) -> Iterator[tuple[int, Path]]:
    """Yield addresses and files that begin there."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        addresses, _, offset, _, _, *file = line.split(None, 5)
        if file and file[0].startswith("/") and int(offset, 16) == 0:
            yield int(addresses.partition("-")[0], 16), Path(file[0])


def _find_symbol(file: Path, name: str) -> tuple[int, bool]:
    """Return a symbol's value, and whether that is an address rather than an offset."""
    try:
        data = file.read_bytes()
        header = ELF_HEADER.unpack_from(data)
        sections = np.frombuffer(data, SECTION, header[12], header[6])
        for table in sections[np.isin(sections["type"], SYMBOL_TABLES)]:
            count = int(table["size"]) // SYMBOL.itemsize
            symbols = np.frombuffer(data, SYMBOL, count, int(table["offset"]))
            names = sections[table["link"]]
            start, end = int(names["offset"]), int(names["offset"] + names["size"])
            places = list(_find_all(data[start:end], name.encode() + b"\0"))
            is_named = np.isin(symbols["name"], places) & (symbols["section"] != 0)
            for symbol in symbols[is_named]:
                return int(symbol["value"]), header[1] == EXECUTABLE
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise GameError(f"the symbols of {file} can't be read: {error}") from None
    raise GameError(
        f"{file} has no symbol {name!r}: correct reward.symbol, or give reward.offset where it is "
        "stripped"
    )


def _find_all(data: bytes, words: bytes) -> Iterator[int]:
    """Yield where words are; names that end alike share their end."""
    at = data.find(words)
    while at >= 0:
        yield at
        at = data.find(words, at + 1)


def _refusal() -> str:
    try:
        scope = PTRACE_SCOPE.read_text(encoding="ascii").strip()
    except OSError:
        scope = "none"
    if scope in ("2", "3"):
        return f"kernel.yama.ptrace_scope is {scope}, and parents may read with 0 or 1 only"
    return "the kernel refuses it, as for programs with rights of their own"
