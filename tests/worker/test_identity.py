"""Name, index and port of workers."""

from metabonk.messages.workers import WorkerKind
from metabonk.settings import Settings
from metabonk.worker.identity import Identity


def test_a_workers_identity_follows_from_its_index_and_the_settings():
    settings = Settings.model_validate({"ports": {"worker": 6000}})
    identity = Identity.of_worker(settings, 3)
    assert identity == Identity("omega-3", 3, 6003, WorkerKind.FLEET)
