"""Size of the page that is built, as a browser that opens it for the first time receives it."""

import gzip
import re
from pathlib import Path

from metabonk.orchestrator.page import PAGE_DIR
from metabonk.orchestrator.servers import COMPRESSION
from tests.support.requirements import require

MAX_PAGE, MAX_TILE = 150_000, 100_000
FILE = re.compile(r'(?:src|href)="/([^"]+)"')


def weight(name: str) -> int:
    """Return the bytes of a document and the files that it names, compressed."""
    index = require(PAGE_DIR / name if (PAGE_DIR / name).is_file() else None, "page", apt="npm")
    files = [index, *(PAGE_DIR / file for file in FILE.findall(index.read_text()))]
    return sum(_compressed(file) for file in files)


def _compressed(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), COMPRESSION))


def test_the_first_page_is_at_most_150_kb_until_its_picture():
    assert 50_000 < weight("index.html") <= MAX_PAGE


def test_a_tile_is_lighter_than_the_page():
    assert 20_000 < weight("embed.html") <= MAX_TILE
