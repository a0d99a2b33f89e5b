"""Runs on disk: the only place that knows how a run's folder is laid out.

``layout``    names of its files; finding, creating and discarding runs
``episodes``  the database of episodes
``curve``     the learning curve at bounded resolution
``catalog``   all runs, read only
"""
