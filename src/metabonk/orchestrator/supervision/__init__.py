"""Supervision of what has been started.

``rounds``       one round after another, in the thread that the children end with
``hang_monitor`` finds children that hang
``liveness``     the rule by which a child hangs
``health``       polling of what nobody reports; quarantine of encoders that crash workers
"""
