"""Processes, files, locks and clocks: what every other room builds on.

``process``        stop signal, parent-death signal, priority, logging
``process_ids``    processes and process groups that are never confused with later ones
``files``          atomic writes
``rate``           rates measured over the last few seconds
"""
