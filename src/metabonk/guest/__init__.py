"""The process of a guest: an environment of another trainer, shown beside the fleet's workers.

``process``        the guest: what is wanted, from whom its pictures come, what it reports
``shadow_source``  pictures of a shadow, which repeats the trainer's episodes
``inline_source``  pictures that the trainer draws itself
``episode``        the episode that is shown, with the policy's thoughts
``screen``         pictures on their way into the stream, at its pace
``picture``        pictures in the size and shape of the stream
"""
