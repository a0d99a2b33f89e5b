"""Replays of episodes, rendered on request.

``finder``     the episodes and policies that they are made of
``queue``      order in which they are rendered
``renderers``  processes that render them
``cache``      rendered ones on disk
``service``    all of that, in a thread
``response``   responses that follow a replay as it grows
``errors``     the reasons for which a viewer gets none
``routes``     HTTP routes
``highlights`` routes over the videos of runs' best live episodes
"""
