"""Replays: episodes drawn from their logs, with the policy's thoughts in step with them.

``track``      the policy's thoughts by media time
``video``      an MP4 file that plays while it is written
``saliency``   saliency maps by media time, where the policy is still there
``renderer``   repeats an episode, drawn, and compares it with its log
``rematch``    the newest policy on the seed of an episode
"""
