"""Foreign text, made safe for terminals, logs and pages."""


def printable(text: str) -> str:
    """Return ``text`` with everything that is no visible character escaped, but for line ends.

    Games, viewers, other programs and files may hold control sequences that rename or clear a
    terminal, marks that turn the direction of what follows, and halves of characters that can't be
    encoded.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)


def printable_line(text: str) -> str:
    """Return ``text`` as ``printable`` does, with further lines indented: none can pose as ours."""
    return printable(text).replace("\n", "\n    ")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
