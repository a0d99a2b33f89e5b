"""MetaBonk trains a fleet of game-playing workers and shows every one of them live in the browser.

The folders follow the data::

    games ──frame──▶ encoding ──access unit──▶ streaming ──fragments──▶ viewers
      ▲ action                (only with a lease)
    policy ◀──weights── learner ◀──rollouts── worker
                        orchestrator: who is alive, who is live, one door for the page

``games``, ``policy``, ``encoding``, ``streaming`` and ``doctor`` are libraries and know no process;
``worker``, ``learner`` and ``orchestrator`` are processes and meet only through ``messages``;
``cli`` starts them, and ``validation`` looks at them from outside.
"""
