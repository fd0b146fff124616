"""List-match: the ranking of workers for a job, without running it."""

from __future__ import annotations

from collections.abc import Sequence

from medgrid.actions.grid import Grid
from medgrid.actions.troubles import worker_troubles
from medgrid.broker.matching import Candidate, Match, need_of, rank
from medgrid.errors import NotFound
from medgrid.model import LFN, SiteClass

__all__ = ["candidates", "list_match"]


def list_match(grid: Grid, label: str, lfns: Sequence[str]) -> list[Match]:
    """Rank all workers for one job of an algorithm on some LFNs, best first.

    Raises
    ------
    NotFound
        The algorithm or an LFN does not exist.
    """
    catalog = grid.catalog
    algorithm = catalog.algorithms.find(label)
    names = [LFN(lfn) for lfn in lfns]
    found = catalog.objects.get_many(names)
    missing = [name for name in names if name not in found]
    if missing:
        raise NotFound(f"no LFN {', '.join(missing)}", hint="see 'medgrid ls' and 'medgrid query'")
    objects = list(found.values())
    return rank(
        need_of(algorithm.descriptor),
        algorithm.digest,
        objects,
        catalog.objects.replicas([one.id for one in objects]),
        {element.name: element.site for element in catalog.places.ses()},
        candidates(grid),
    )


def candidates(grid: Grid) -> list[Candidate]:
    """All workers, as far as the catalog knows how they are."""
    catalog = grid.catalog
    classes = {site.name: site.site_class for site in catalog.places.sites()}
    links = catalog.jobs.desk.links()
    load = catalog.jobs.desk.load()
    troubles = worker_troubles(catalog)
    found = []
    for worker in catalog.places.workers():
        link = links.get(worker.name)
        info = link.info if link else {}
        runtimes, ciphers = info.get("runtimes"), info.get("ciphers")
        trouble = troubles.get(worker.name)
        found.append(
            Candidate(
                worker,
                classes.get(worker.site, SiteClass.COMPUTE),
                used_slots=load.get(worker.name, 0),
                runtimes=None if runtimes is None else tuple(runtimes),
                ciphers=None if ciphers is None else tuple(ciphers),
                memory_bytes=info.get("memory_bytes"),
                trouble=trouble.text if trouble and trouble.is_out else None,
            )
        )
    return found
