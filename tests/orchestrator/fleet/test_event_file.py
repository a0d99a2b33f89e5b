from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.messages.alerts import Incident, IncidentKind, Severity
from metabonk.orchestrator.fleet.event_file import NAME, EventFile
from metabonk.orchestrator.fleet.event_log import EventLog
from metabonk.system.log_files import previous
from tests.support.statuses import status
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


@pytest.fixture
def file(path: Path) -> Iterator[EventFile]:
    file = EventFile(path)
    file.start()
    yield file
    file.close()


def die(log: EventLog, *numbers: int) -> None:
    for number in numbers:
        log.on_exit("omega-0", f"death {number}")


def messages(log: EventLog) -> list[str]:
    return [event.message for event in log.since(0)]


def test_events_and_their_ids_go_on_after_a_restart(path: Path):
    file = EventFile(path)
    die(EventLog(file=file), 1, 2)
    file.start()
    file.close()
    restarted = EventLog(file=EventFile(path))
    die(restarted, 3)
    assert messages(restarted) == ["death 1", "death 2", "death 3"]
    assert [event.id for event in restarted.since(1)] == [2, 3]


def test_an_event_is_on_disk_within_seconds_however_the_process_ends(file: EventFile, path: Path):
    die(EventLog(file=file), 1)
    until("it is written", lambda: path.exists() and "death 1" in path.read_text(), 5)


def test_the_file_is_bounded_and_its_previous_part_is_read_too(path: Path):
    file = EventFile(path, max_bytes=1_000)
    log = EventLog(file=file)
    for number in range(30):
        die(log, number)
        file._write()
    assert path.stat().st_size <= 1_000
    assert previous(path).stat().st_size <= 1_000
    kept = [event.message for event in file.read()]
    assert kept == [f"death {number}" for number in range(30 - len(kept), 30)]
    assert len(kept) > path.read_text().count("\n")


def test_a_line_that_a_power_cut_has_torn_costs_no_other(path: Path):
    file = EventFile(path)
    die(EventLog(file=file), 1)
    file._write()
    with path.open("a") as stream:
        stream.write('{"id": 2, "at": 1')
    restarted = EventFile(path)
    log = EventLog(file=restarted)
    die(log, 3)
    restarted._write()
    assert [event.message for event in EventFile(path).read()] == ["death 1", "death 3"]


def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "logs"
    file = EventFile(folder / NAME)
    die(EventLog(file=file), 1)
    file._write()
    file._write()
    assert caplog.text.count("can't be written") == 1
    folder.mkdir()
    file._write()
    assert [event.message for event in file.read()] == ["death 1"]


def test_pages_lead_back_to_events_that_are_on_disk_only(path: Path):
    file = EventFile(path)
    log = EventLog(file=file)
    die(log, *range(450))
    file._write()
    pages = []
    before = None
    while page := log.page(before, 200, Severity.INFO):
        pages.append(len(page))
        before = page[-1].id
    assert pages == [200, 200, 50]
    assert before == 1


def test_a_page_has_the_severity_that_it_is_asked_for_and_worse():
    log = EventLog(lambda: 12.0)
    log.on_status(status(0), "")
    die(log, 1)
    disk = Incident(
        kind=IncidentKind.DISK,
        subject="/runs",
        severity=Severity.CRITICAL,
        message="3 MB are free",
        action="free some",
    )
    log.on_incident(disk)
    found = {
        severity: [event.message for event in log.page(None, 10, severity)] for severity in Severity
    }
    assert found == {
        Severity.CRITICAL: ["3 MB are free; free some"],
        Severity.WARNING: ["3 MB are free; free some", "death 1"],
        Severity.INFO: ["3 MB are free; free some", "death 1", "omega-0 plays doom:basic"],
    }
