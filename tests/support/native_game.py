"""A small program with a window, in C, that knows nothing of MetaBonk."""

import shutil
import subprocess
from pathlib import Path

from tests.support.desktop import write_definition
from tests.support.requirements import require, require_desktop

SOURCE = """
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct player { short level; double score; };
static struct player *player;
int presses = 0;

static int connected(void) {
  struct sockaddr_un address = {AF_UNIX};
  const char *path = getenv("METABONK_REWARDS");
  if (!path) return -1;
  strcpy(address.sun_path, path);
  int end = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(end, (struct sockaddr *)&address, sizeof address) ? -1 : end;
}

int main(void) {
  Display *display = XOpenDisplay(NULL);
  Window root = XDefaultRootWindow(display);
  Window window = XCreateSimpleWindow(display, root, 0, 0, 160, 120, 0, 0, 0);
  XSelectInput(display, window, KeyPressMask);
  XMapWindow(display, window);
  player = calloc(1, sizeof *player);
  int rewards = connected();
  for (;;) {
    XEvent event;
    XNextEvent(display, &event);
    if (event.type != KeyPress) continue;
    char key = 0;
    XLookupString(&event.xkey, &key, 1, NULL, NULL);
    presses++;
    player->score += 0.5;
    if (rewards >= 0) dprintf(rewards, key == 'q' ? "done\\n" : "reward 2.5\\n");
    if (key == 'q') return 0;
    if (rewards >= 0 && key == 'x') dprintf(rewards, "jackpot\\n");
  }
}
"""

DEFINITION = """
name = "A program in C"
command = ["{program}"]
sizes = [[160, 120]]

[clock]
kind = "real"
tics_per_step = 6

[actions]
press = ["space"]
wait = []
quit = ["q"]
fail = ["x"]

[episode]
begin = [0.1, ["space"], 0.2]

[reward]
"""


def native_game(folder: Path, reward: str) -> str:
    """Compile the program, and write its definition; return the game's id.

    Args:
        folder: to write to.
        reward: lines of the section of that name.
    """
    require_desktop(apt="")
    compiler = require(shutil.which("gcc"), "gcc", apt="gcc")
    require(Path("/usr/include/X11/Xlib.h").exists() or None, "Xlib.h", apt="libx11-dev")
    source, program = folder / "game.c", folder / "game"
    source.write_text(SOURCE, encoding="utf-8")
    subprocess.run([compiler, "-o", program, source, "-lX11"], check=True)
    return write_definition(folder, DEFINITION.format(program=program) + reward)
