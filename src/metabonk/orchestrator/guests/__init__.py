"""Environments of other trainers.

``election``    one process of a user that shows them
``ring_finder`` the look for them
``processes``   a child for each of them
"""
