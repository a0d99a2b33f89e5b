"""Definitions of desktop games: what is read, and the sentence for each mistake."""

from pathlib import Path

import pytest

from metabonk.desktop.catalog import (
    embedded_names,
    install_command,
    load,
    missing_needs,
    package_versions,
    require,
)
from metabonk.errors import GameStartError, UnknownGame
from tests.support.desktop import DEFINITION, pygame_game, small_game, write_definition

TEXT = DEFINITION.format(source="/tmp")


def mistake(folder: Path, text: str) -> str:
    """Return what is said about a definition, without the file's name."""
    game_id = write_definition(folder, text)
    with pytest.raises(GameStartError) as raised:
        load(game_id)
    sentence = str(raised.value)
    assert sentence.startswith(game_id.removeprefix("desktop:")) or "can't read" in sentence
    return sentence.removeprefix(f"{folder / 'game.toml'}: ")


@pytest.mark.parametrize("name", embedded_names())
def test_every_embedded_definition_is_valid(name: str):
    entry = load(f"desktop:{name}")
    assert entry.game_id == f"desktop:{name}"
    assert entry.definition.packages or entry.definition.modules


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownGame, match=r"desktop:nope.*mrrescue.*desktop:<file>\.toml"):
        load("desktop:nope")


def test_a_name_that_contains_a_path_is_unknown():
    with pytest.raises(UnknownGame):
        load("desktop:../definitions/mrrescue")


@pytest.mark.parametrize(
    ("given", "instead", "sentence"),
    [
        ("60, 120]", "60, 120", "is not valid TOML: "),
        ('name = "A small game"', "", "name is missing"),
        ("[clock]\n", "[clock]\nspeed = 2\n", "there is no key clock.speed; known there are kind"),
        ('kind = "adapter"', 'kind = "sundial"', "clock.kind is 'sundial': input should be "),
        ("tics_per_step = 4", "tics_per_step = 0", "clock.tics_per_step is 0: input should be gre"),
        ("[160, 120]", "[160, 12]", "sizes.0.1 is 12: input should be greater than or equal to 64"),
        (
            "{game}",
            "{gone}",
            "command.1 is '{gone}': {gone} is unknown; known are {game}, {home}, {py",
        ),
        ("{game}", "{game", "command.1 is '{game': it has a single brace"),
        ('right = ["right"]', 'right = "right"', "actions.right is 'right': input should be a val"),
        ("wait = []", '"wait!" = []', "actions.wait! is 'wait!': it must be a name of letters"),
        (
            'from = "adapter"',
            'from = "luck"',
            "reward.from is 'luck': input should be 'adapter' or",
        ),
        ('from = "adapter"', "", "reward.from is missing"),
        (
            'value = "x"',
            "values = 1",
            "reward.value is missing; there is no key reward.values; known",
        ),
        ("scale = 0.5", "scale = 0", "reward.scale is 0: input should be greater than 0"),
        ("limit_s = 1", 'limit_s = "long"', "episode.limit_s is 'long': input should be a valid n"),
        (
            'engine = "love"',
            'engine = "hate"',
            "adapter.engine is 'hate': input should be 'love', 'pygame' or 'retro'",
        ),
        ("[adapter]", "[adaptor]", "there is no key adaptor; known there are name, command"),
        (
            'resize = "love.window.setMode(width, height)"',
            "",
            "several sizes need adapter.resize, which changes the size",
        ),
    ],
)
def test_every_mistake_is_a_sentence(tmp_path: Path, given: str, instead: str, sentence: str):
    text = TEXT.replace("[[160, 120]]", "[[160, 120], [80, 64]]")
    assert given in text
    assert sentence in mistake(tmp_path, text.replace(given, instead))


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("count", r"reward.pattern is 'count': it has no group, such as (\d+), for the number"),
        ("(", "reward.pattern is '(': it is no regular expression: missing )"),
    ],
)
def test_a_pattern_needs_a_group(tmp_path: Path, pattern: str, sentence: str):
    text = TEXT.replace('from = "adapter"\nvalue = "x"', f'from = "output"\npattern = "{pattern}"')
    assert sentence in mistake(tmp_path, text)


@pytest.mark.parametrize(
    ("reward", "sentence"),
    [
        (
            'type = "i32"',
            "reward is {'from': 'memory', 'type': 'i32'}: symbol or offset is missing",
        ),
        ('symbol = "score"', "reward.type is missing"),
        ('symbol = "score"\ntype = "int"', "reward.type is 'int': input should be 'i8', 'i16', "),
        ('symbol = "score"\ntype = "i32"\nsize = 4', "no key reward.size; known there are scale, "),
        (
            'symbol = "score"\ntype = "i32"\npointers = 8',
            "reward.pointers is 8: input should be a ",
        ),
        ('symbol = "score"\ntype = "i32"', "reward.from must be 'adapter' where clock.kind is "),
    ],
)
def test_a_place_in_memory_needs_a_symbol_or_an_offset_and_a_type(
    tmp_path: Path, reward: str, sentence: str
):
    text = TEXT.replace('from = "adapter"\nvalue = "x"\nscale = 0.5', f'from = "memory"\n{reward}')
    assert sentence in mistake(tmp_path, text)


def test_all_mistakes_are_said_at_once(tmp_path: Path):
    said = mistake(tmp_path, TEXT.replace("scale = 0.5", "scale = 0").replace("= 60", "= 600"))
    assert "clock.tics_per_second is 600" in said
    assert "reward.scale is 0" in said


def test_a_file_that_is_missing_or_no_text_is_a_sentence(tmp_path: Path):
    with pytest.raises(GameStartError, match=r"can't read .*/none\.toml: no such file"):
        load(f"desktop:{tmp_path / 'none.toml'}")
    (tmp_path / "game.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GameStartError, match=r"game\.toml is not a text file in UTF-8"):
        load(f"desktop:{tmp_path / 'game.toml'}")


def test_a_missing_program_is_named_with_the_line_that_adds_it(tmp_path: Path):
    needs = 'needs = ["no-such-program", "/no/such/file", "sh"]\npackages = ["what-has-it"]\n'
    entry = small_game(tmp_path, replace=('needs = ["love"]\npackages = ["love"]\n', needs))
    assert list(missing_needs(entry.definition))[-2:] == ["no-such-program", "/no/such/file"]
    assert install_command(entry.definition) == "sudo apt install util-linux what-has-it xvfb"
    with pytest.raises(GameStartError, match=r"without .*no-such-program.*sudo apt install util"):
        require(entry)


def test_a_missing_module_is_named_with_the_line_that_adds_it(tmp_path: Path):
    entry = pygame_game(tmp_path, replace=("sizes =", 'modules = ["no_such_module"]\nsizes ='))
    message = r"without the Python module no_such_module: .*pip install --no-deps no_such_module"
    with pytest.raises(GameStartError, match=message):
        require(entry)


def test_versions_are_those_of_the_installed_packages(tmp_path: Path):
    entry = small_game(tmp_path, replace=('packages = ["love"]', 'packages = ["dpkg", "none-"]'))
    assert package_versions(entry.definition).keys() <= {"dpkg"}
