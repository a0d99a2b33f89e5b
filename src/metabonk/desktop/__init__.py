"""Any Linux program as a game: its definition, its display, its clock. A library below ``games``.

``definition``   the schema of a game's TOML file
``catalog``      finding and reading definitions, and what they need
``game_folder``  the private folder of one running game
``child``        programs that end with this process
``display``      an X display of a game's own, without a screen
``adapter``      requests to code inside a game
``love``         preparation of a LÖVE game
``engine``       a running game
``cleanup``      removing what dead owners left behind
"""
