"""Runs on disk; nothing else knows how a run's folder is laid out.

``layout``       names in a run's folder; finding, creating and discarding runs
``episodes``     database of finished episodes
``curve``        learning curve at bounded resolution
``checkpoints``  checkpoints as weights to act with
``render_files`` files of one rendering of a replay
``starts``       how often each worker was started in a run
``catalog``      all runs, read-only
"""
