"""A small LÖVE game, and its definition."""

import sys
from pathlib import Path

from metabonk.desktop.catalog import Entry, load

MAIN = """
x, fallen = 0, 0
function love.load() wind = 0 end
function love.update(dt)
  if love.keyboard.isDown("right") then x = x + 60 * dt end
  fallen, wind = fallen + dt, math.random()
end
function love.keypressed(key)
  if key == "e" then error("out of luck") end
  if key == "q" then love.event.quit() end
  if key == "x" then os.exit(7) end
  if key == "l" then while true do end end
  if key == "g" then love.window.setMode(320, 240) end
  if key == "p" then print("a word") end
end
function love.draw()
  love.graphics.rectangle("fill", x, 20, 10 + math.random(), 10)
end
"""

DEFINITION = """
name = "A small game"
command = ["love", "{{game}}"]
sizes = [[160, 120]]
needs = ["love"]
packages = ["love"]

[clock]
kind = "adapter"
tics_per_second = 60
tics_per_step = 4

[adapter]
engine = "love"
source = "{source}"
begin = "x, fallen = 0, 0"
resize = "love.window.setMode(width, height)"

[actions]
wait = []
right = ["right"]
fail = ["e"]
leave = ["q"]
exit = ["x"]
hang = ["l"]
grow = ["g"]
speak = ["p"]

[reward]
from = "adapter"
value = "x"
scale = 0.5

[episode]
over = "x >= 20"
limit_s = 1
"""


def small_game(folder: Path, *, replace: tuple[str, str] = ("", "")) -> Entry:
    """Write the game and its definition, and read that.

    Args:
        folder: to write to.
        replace: text of the definition, and what stands in its place.
    """
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "main.lua").write_text(MAIN, encoding="utf-8")
    return load(write_definition(folder, DEFINITION.format(source=source).replace(*replace)))


def write_definition(folder: Path, text: str) -> str:
    """Write a definition; return the game's id."""
    file = folder / "game.toml"
    file.write_text(text, encoding="utf-8")
    return f"desktop:{file}"


COUNTER = """
function love.load()
  love.window.setMode(320, 120, {vsync = 0})
  love.graphics.setNewFont(24)
  count = 123456780
end
function love.keypressed(key)
  if key == "space" then
    count = count + 1
    print("count: " .. count)
    io.stdout:flush()
  end
end
function love.draw() love.graphics.print(count, 20, 40) end
"""

COUNTER_DEFINITION = """
name = "A counter"
command = ["love", "{source}"]
sizes = [[320, 120]]
needs = ["love"]
packages = ["love"]

[clock]
kind = "real"
tics_per_second = 60
tics_per_step = 3

[actions]
count = ["space"]
wait = []

[reward]
from = "digits"
region = [10, 40, 300, 36]
threshold = 128

[episode]
begin = [2.0]
"""


def counter(folder: Path) -> str:
    """Write a game that counts how often space is pressed, without glyphs; return its id.

    It is a LÖVE game without an adapter.
    """
    source = folder / "counter"
    source.mkdir(exist_ok=True)
    (source / "main.lua").write_text(COUNTER, encoding="utf-8")
    return write_definition(folder, COUNTER_DEFINITION.format(source=source))


PYGAME = """
import random, sys, time
import pygame

class Player:
    x = 0.0

def draw(screen, player):
    screen.fill((0, 0, 0))
    screen.fill((255, 255, 255), (player.x, 20, 10, 10))
    pygame.display.flip()

def main():
    pygame.init()
    screen = pygame.display.set_mode((160, 120))
    clock, player, started = pygame.time.Clock(), Player(), time.time()
    while True:
        for event in pygame.event.get():
            if event.type == pygame.KEYDOWN and event.key == pygame.K_e:
                raise RuntimeError("out of luck")
            if event.type == pygame.KEYDOWN and event.key == pygame.K_q:
                sys.exit()
        if pygame.key.get_pressed()[pygame.K_RIGHT]:
            player.x += 60 * clock.tick(60) / 1000
        wind, passed = random.random(), time.time() - started
        draw(screen, player)

main()
"""

PYGAME_DEFINITION = """
name = "A pygame game"
command = ["{python}", "{{game}}"]
sizes = [[160, 120]]

[clock]
kind = "adapter"
tics_per_second = 50
tics_per_step = 5

[adapter]
engine = "pygame"
source = "{source}"

[actions]
wait = []
right = ["right"]
fail = ["e"]
leave = ["q"]

[reward]
from = "adapter"
value = "player.x"

[episode]
over = "player.x >= 20"
"""


def pygame_game(folder: Path, *, replace: tuple[str, str] = ("", "")) -> Entry:
    """Write a pygame game whose state is local to a function, and its definition; read that."""
    source = folder / "game.py"
    source.write_text(PYGAME, encoding="utf-8")
    text = PYGAME_DEFINITION.format(python=sys.executable, source=source)
    return load(write_definition(folder, text.replace(*replace)))
