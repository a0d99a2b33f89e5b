"""What the machine has left: cores that idle, or work at the lowest priority."""

import psutil

from metabonk.settings.schema import available_cores


class SpareCores:
    """Cores that a stream could still take, as the kernel counts them for the whole machine.

    Training beside what is live gives way to it, so its time counts as spare. In a container whose
    processor time is limited the kernel counts that of the machine all the same.
    """

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def since_last(self) -> float:
        """Spare cores on average since the last call, of those that this process may use."""
        before, self._before = self._before, psutil.cpu_times()
        spent = {
            name: getattr(self._before, name) - getattr(before, name)
            for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        }
        total = sum(spent.values())
        spare = spent["idle"] + spent["iowait"] + spent["nice"]
        return available_cores() * spare / total if total > 0 else 0.0
