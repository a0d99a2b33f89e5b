"""Environments of any trainer, shown while they train.

``Broadcast`` in the trainer's process writes what an episode starts from and every action into a
ring in shared memory. A shadow in another process repeats them in a copy of the environment, and
draws that (ADR 15). Nothing here imports more than numpy, Gymnasium and the standard library.

In the trainer:

``wrapper``       ``Broadcast``, the Gymnasium wrapper
``vector``        ``BroadcastVector``, for simulators that step many environments at once
``stream``        ``Stream``, for pictures of anything else
``channel``       what they share: a ring when it is needed, and no failure that hurts
``hub``           finding the hub of the user, and starting it
``notebook``      ``watch``, the hub's page in a cell
``thought_slot``  thoughts of a policy in another process
``device_copies`` numbers and images from a GPU, without waiting for it
``budget``        how often drawing in the trainer keeps to its share of the time
``ring_writer``   the ring's only writer

In other processes:

``ring_reader``   the rings of this user, and their records
``shadow``        the copy of an environment, which repeats episodes
``playback``      which episode is shown, and its pace
``shadow_player`` what a shadow's process does: both of these, into a ring of its own
``shadow_process`` forks the processes of shadows; run by the trainer's interpreter
``shadow_link``   connection between a shadow and the one who shows it
``trainer_speed`` steps per second of the trainer

Both:

``ring_layout``   bytes of a ring file
``places``        folders of ring files
``meeting``       where trainers find the hub
``announcement``  what a ring says of its environment
``action_names``  what its actions are called
``recipe``        how a copy of an environment is made
``known_wrappers`` of other packages, which say too little of themselves
``records``       what happened in it
``values``        Python values as bytes
``carried``       random states that an episode starts from
``pixels``        images of environments as frames
``version``       of MetaBonk in this process
"""
