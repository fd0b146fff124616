"""A grid home with small objects and algorithms made of shell scripts: fixture ``field``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.grid import Grid
from medgrid.actions.transfer import Uploads
from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.config import load_settings
from medgrid.crypto.vault import Whose
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    Job,
    ObjectKind,
    Site,
    StorageElement,
    Worker,
    new_object_id,
)
from tests.lab.prompt import Prompt
from tests.lab.waiting import wait_for


class Field:
    """A grid home, its prompt, and what tests of jobs need again and again."""

    def __init__(self, prompt: Prompt, directory: Path) -> None:
        self.prompt = prompt
        self.directory = directory
        self.runs_file = directory / "runs"
        self.runs_file.touch()
        self.env = prompt.env
        self.env["MEDGRID_BROKER_AUTOSTART"] = "0"
        self.env["MEDGRID_BROKER_IDLE_S"] = "1"

    def grid(self) -> Grid:
        """The grid, opened in this process."""
        environ = {name: value for name, value in self.env.items() if name != "MEDGRID_HOME"}
        return Grid(load_settings(self.prompt.home, environ))

    @property
    def catalog(self) -> Catalog:
        """A catalog opened for one look."""
        return Catalog.open(f"sqlite:///{self.prompt.home / 'catalog.db'}")

    def put(
        self,
        *names: str,
        se: str = "local",
        data_class: DataClass = DataClass.PUBLIC,
        contents: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Make one small object for each name; return their LFNs.

        It is this user's, and encrypted unless it is public. It holds its name where `contents`
        says nothing else.
        """
        lfns = [f"/t/{name}" for name in names]
        with self.grid() as grid, Uploads(grid) as uploads:
            owner = grid.settings.user
            new = []
            for name, lfn in zip(names, lfns, strict=True):
                object_id = new_object_id()
                data = ((contents or {}).get(name) or f"{name}\n").encode()
                digest = None
                if data_class is DataClass.PUBLIC:
                    replica = uploads.put(object_id, se, [data])
                else:
                    sealed = uploads.seal(object_id, se, [data], Whose(data_class, None, (owner,)))
                    grid.keep([sealed.sealing])
                    replica, digest = sealed.replica, sealed.digest
                item = GridObject(
                    object_id,
                    LFN(lfn),
                    ObjectKind.FILE,
                    "image.txt",
                    len(data),
                    replica.sha256,
                    data_class=data_class,
                    owner=owner,
                    digest=digest,
                )
                new.append(Registration(item, (replica,)))
            grid.catalog.objects.register(new, uploaded=True)
        return lfns

    def lent(self) -> dict[int, list[int]]:
        """Jobs for which the key store has keys lent, by submission."""
        with self.grid() as grid:
            return grid.vault.lent()

    def algorithm(
        self,
        name: str,
        script: str,
        *,
        outputs: Sequence[str] = (),
        is_list: bool = False,
        inputs: Sequence[dict[str, Any]] = (),
        custom: dict[str, Any] | None = None,
    ) -> None:
        """Add an algorithm that runs a shell script.

        ``$1`` is its input file (with `is_list`, ``$@`` are its files); each output is a file of
        that name in the working directory. Calling ``ran`` in the script notes the run.
        """
        folder = self.directory / name
        folder.mkdir()
        note = f'ran() {{ echo "$(cat "$1")" >> "{self.runs_file}"; }}\n'
        (folder / "run.sh").write_text(note + script)
        keys = "".join(f" [{one['id'].upper()}]" for one in inputs)
        descriptor = {
            "name": name,
            "tool-version": "1",
            "schema-version": "0.5",
            "description": "A script of the tests.",
            "command-line": f"sh [BUNDLE]/run.sh [FILE]{keys}",
            "inputs": [
                {
                    "id": "file",
                    "name": "File",
                    "type": "File",
                    "value-key": "[FILE]",
                    "list": is_list,
                },
                *({"value-key": f"[{one['id'].upper()}]", **one} for one in inputs),
            ],
            "custom": {"medgrid": {"bundle": name, **(custom or {})}},
        }
        if outputs:
            descriptor["output-files"] = [
                {
                    "id": one.split(".")[0].split("/")[0],
                    "name": one,
                    "path-template": one,
                    "list": "*" in one,
                }
                for one in outputs
            ]
        file = self.directory / f"{name}.json"
        file.write_text(json.dumps(descriptor))
        self.prompt.ok("algorithm", "add", file)

    def worker(self, worker: Worker) -> None:
        """Add or change a worker, with its site."""
        with self.grid() as grid:
            if worker.site not in [site.name for site in grid.catalog.places.sites()]:
                grid.catalog.places.put_site(Site(worker.site))
            grid.catalog.places.put_worker(worker)

    def without_local(self) -> None:
        """Take the local worker out."""
        with self.grid() as grid:
            grid.catalog.places.remove_worker("local")

    def se(self, element: StorageElement) -> None:
        """Add a storage element, with its site."""
        with self.grid() as grid:
            if element.site not in [site.name for site in grid.catalog.places.sites()]:
                grid.catalog.places.put_site(Site(element.site))
            grid.catalog.places.put_se(element)

    def submit(self, *words: str | Path) -> list[str]:
        """Submit; return the job ids."""
        return self.prompt.ok("submit", *words).lines

    def answered(self, *workers: str) -> None:
        """Wait until a broker that runs has heard of workers, which were new."""

        def all_have() -> bool:
            with self.grid() as grid:
                links = grid.catalog.jobs.desk.links()
            return all(name in links and links[name].agent_id for name in workers)

        wait_for(all_have, f"answers of {' and '.join(workers)}")

    def once(self) -> None:
        """Let a broker do all there is to do."""
        self.prompt.ok("broker", "once")

    def jobs(self, *words: str) -> list[Job]:
        """Jobs as the catalog has them now."""
        catalog = self.catalog
        try:
            return catalog.jobs.jobs(words or ["1"])
        finally:
            catalog.close()

    def job(self, word: str = "1.1") -> Job:
        """One job as the catalog has it now."""
        return self.jobs(word)[0]

    def wait_for(self, condition: Callable[[list[Job]], object], *words: str) -> list[Job]:
        """Look at jobs until `condition` is true of them."""
        found: list[Job] = []

        def look() -> object:
            found[:] = self.jobs(*words)
            return condition(found)

        def told() -> str:
            states = [(str(job.id), str(job.state), job.reason) for job in found]
            return f"what does not come: {states}\n{self.log()}"

        wait_for(look, told)
        return found

    @property
    def runs(self) -> list[str]:
        """What scripts noted with ``ran``, sorted."""
        return sorted(self.runs_file.read_text().split())

    def log(self) -> str:
        """What the background broker logged."""
        file = self.prompt.home / "log" / "broker.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def field(grid_prompt: Prompt, tmp_path: Path) -> Iterator[Field]:
    """A grid home with a local worker of two slots; no broker starts by itself."""
    found = Field(grid_prompt, tmp_path)
    yield found
    grid_prompt("broker", "stop")
