"""The process of a guest: an environment of another trainer, shown beside the fleet's workers.

``process``              the guest: what is wanted, who draws it, what it reports
``shadow_source``        pictures of a shadow, which repeats the trainer's episodes
``inline_source``        pictures that the trainer draws itself
``trainer_environment``  the trainer's variables, which its shadow has too
``description``          what is said of an environment
``episode``              the episode that is shown, with the policy's thoughts
``screen``               pictures on their way into the stream, at its pace
``picture``              pictures in the shape of the stream
"""
