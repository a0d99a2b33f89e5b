"""Any Linux program as a game: its definition, its display, its clock. A library below ``games``.

``definition``      the schema of a game's TOML file
``catalog``         finding and reading definitions, and what they need
``engine``          the interface of running games
``engines``         starting one, whatever moves its clock
``adapter_engine``  games that code inside them moves
``adapter``         requests to that code
``adapters``        that code, by engine
``retro``           definitions of games of consoles
``love``            preparation of a LÖVE game
``screen_engine``   games that know nothing of MetaBonk
``clock``           holding their clock
``keys``            a keyboard and a mouse
``frame_buffer``    what is on a display
``digits``          reading a number from a picture
``output_reader``   reading a number from what a program prints
``memory_reader``   reading a number from its memory
``reward_socket``   taking rewards that it writes
``reward_sources``  where a definition says that the reward comes from
``stage``           folder, display and program of one game
``game_folder``     its private folder
``display``         its display, without a screen
``child``           programs that end with this process
``cleanup``         removing what dead owners left behind
"""
