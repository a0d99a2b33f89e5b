"""Processes, files, locks and clocks: what every other room builds on.

``process``          stop signal, parent-death signal, priority, logging
``process_ids``      processes and process groups that are never confused with later ones
``left_behind``      processes that outlived those they belong to, and their shared memory
``contact``          whether another process answers, said once
``descriptors``      how many files and sockets a process may open
``log_filter``       repeated warnings, folded
``files``            atomic writes
``file_lock``        kernel locks on files
``private_folder``   folders that belong to this user alone
``fork_server``      children that fork from a process that has imported PyTorch
``peers``            connections and memory between processes of one user
``periodic_thread``  a thread that does one thing at regular intervals
``rate``             rates measured over the last few seconds
``cgroup``           limits of CPU time and memory, as containers set them
``shared_core``      one core for a thread and a process that it calls
``shared_memory``    size of /dev/shm, and how much of it is needed
"""
