"""Archives that follow the disk: with archives that cost nothing, and with a real index that grows."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from imageclef import stages
from imageclef.config import Config
from imageclef.errors import ArtifactError
from imageclef.service import reload as live
from imageclef.service.answers import Profile
from imageclef.service.app import create_app
from imageclef.service.auth import Auth
from imageclef.service.hosts import Hosts
from imageclef.service.reload import Archives, Live, NoProfile, Unopened
from imageclef.service.served.archive import Archive
from imageclef.storage.manifests import MANIFEST
from imageclef.workspace import Workspace
from tests.service.conftest import Walked, client_of, opener
from tests.walking import with_tables


class Stand:
    """In the place of an archive."""


@dataclass
class Disk:
    """What can be opened: changed, and broken, as a test wants it."""

    state: int = 0
    there: bool = True
    fault: Exception | None = None
    opened: list[int] = field(default_factory=list)
    looks: int = 0
    about: Profile = field(default_factory=lambda: Profile(name="", features=["a"], weights=[1.0]))

    def stamp(self) -> int:
        self.looks += 1
        return self.state

    def open(self) -> Archive:
        if self.fault is not None:
            raise self.fault
        self.opened.append(self.state)
        return cast(Archive, Stand())


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is looked at whenever anything is asked."""
    monkeypatch.setattr(live, "PAUSE", 0.0)
    monkeypatch.setattr(live, "PAUSE_AFTER_FAILURE", 0.0)


def settled(thread: ThreadPoolExecutor) -> None:
    """Wait for whatever was begun in the thread."""
    thread.submit(int).result(20)


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.mark.usefixtures("at_once")
def test_a_change_is_taken_up_and_the_one_before_goes(thread: ThreadPoolExecutor) -> None:
    disk = Disk()
    one = Live(disk, thread)
    assert one.now() is None
    before = weakref.ref(one.open())
    assert one.now() is before()
    settled(thread)
    assert disk.opened == [0], "nothing has changed"
    disk.state = 1
    held = one.now()
    settled(thread)
    assert held is before(), "a question ends on what it began with"
    assert one.now() is not held
    del held
    gc.collect()
    assert before() is None
    settled(thread)
    assert disk.opened == [0, 1]


@pytest.mark.usefixtures("at_once")
def test_what_cannot_be_opened_is_left_alone_until_it_can(
    thread: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    one = Live(disk, thread)
    before = one.open()
    disk.state, disk.fault = 1, ArtifactError("index.json: damaged")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            one.now()
            settled(thread)
    assert caplog.messages == [
        "the index has changed and cannot be opened: index.json: damaged; the one before is served on"
    ]
    assert one.now() is before
    settled(thread)
    disk.fault = None
    one.now()
    settled(thread)
    assert one.now() is not before


def test_the_disk_is_looked_at_once_in_a_while(
    thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    disk = Disk()
    one = Live(disk, thread)
    one.open()
    for _ in range(50):
        one.now()
    settled(thread)
    assert disk.looks == 1
    now[0] += live.PAUSE
    for _ in range(50):
        one.now()
    settled(thread)
    assert disk.looks == 2
    now[0] += live.PAUSE
    disk.state, disk.fault = 1, OSError("stale")
    one.now()
    settled(thread)
    now[0] += live.PAUSE
    one.now()
    settled(thread)
    assert disk.looks == 3, "after a failure it waits longer"


def test_profiles_are_opened_when_they_are_asked_for() -> None:
    first, other, never, broken = Disk(), Disk(), Disk(there=False), Disk(fault=ArtifactError("damaged"))
    archives = Archives({"": first, "other": other, "never": never, "broken": broken})
    archives.open()

    async def main() -> None:
        assert other.opened == []
        found = await asyncio.gather(*(archives.of("other") for _ in range(5)))
        assert other.opened == [0]
        assert len(set(map(id, found))) == 1
        assert await archives.of(None) is await archives.of("") is archives.now()
        for name in ("nobody", "never"):
            with pytest.raises(NoProfile, match=name):
                await archives.of(name)
        with pytest.raises(Unopened, match="broken"):
            await archives.of("broken")

    asyncio.run(main())
    assert [one.name for one in archives.listed()] == ["", "other", "broken"]
    archives.close()
    assert archives.now() is not None, "requests that are at work when the service ends are answered"


# ---- A real index


@pytest.fixture
def own(walked: Walked, tmp_path: Path) -> Config:
    """A workspace of one's own."""
    shutil.copytree(walked.config.workspace, tmp_path / "artifacts")
    return with_tables(walked.config, workspace=tmp_path / "artifacts")


class Visitors:
    """They ask without a pause, and note what they were answered."""

    def __init__(self, client: httpx.Client, image_id: str) -> None:
        self.client, self.image_id = client, image_id
        self.statuses: set[int] = set()
        self.answered = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            for response in (
                self.client.post("/similar", data={"id": self.image_id, "k": 5}),
                self.client.get(f"/images/{self.image_id}?size=64"),
                self.client.get("/map"),
            ):
                self.statuses.add(response.status_code)
            self.answered += 1

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


def test_an_index_that_grows_is_served_as_it_grows(own: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.05)
    archives = Archives({"": opener(own)})
    archives.open()
    archive = archives.now()
    assert archive is not None
    n, image_id, before = len(archive.index), archive.index.names[3], weakref.ref(archive)
    state = archive.state
    del archive
    with client_of(create_app(archives, Auth(None), Hosts("127.0.0.1"))) as client:

        def size() -> int:
            return int(client.get("/collection").json()["images"])

        with Visitors(client, image_id) as visitors:
            added = stages.index_add(own, "test").figures["added"]
            until(lambda: size() == n + added)
            until(lambda: visitors.answered > 5)
        assert visitors.statuses == {200}
        assert client.get("/map").json()["total"] == n + added
        assert client.get("/collection").json()["state"] != state
        new = Workspace(own).features("test").ids[0]
        assert client.get(f"/images/{new}?size=64").status_code == 200
        until(lambda: gc.collect() >= 0 and before() is None)


def test_an_index_that_is_damaged_is_not_taken_up(
    own: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.01)
    archives = Archives({"": opener(own)})
    archives.open()
    manifest = Workspace(own).index_path / MANIFEST
    with client_of(create_app(archives, Auth(None), Hosts("127.0.0.1"))) as client:
        images = client.get("/collection").json()["images"]
        manifest.write_bytes(manifest.read_bytes()[:-20])
        until(lambda: client.get("/collection").status_code == 200 and caplog.messages)
        assert client.get("/collection").json()["images"] == images
    assert "the one before is served on" in caplog.messages[0]
