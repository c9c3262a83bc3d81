"""Every paper is written down once, wherever it is cited."""

import importlib
import pkgutil
from collections import defaultdict

import pushforward
from pushforward.citations import Reference


def references() -> dict[str, set[int]]:
    """The different objects that cite each paper, by its number on arXiv or its title."""
    found = defaultdict(set)
    for info in pkgutil.walk_packages(pushforward.__path__, "pushforward."):
        if info.name.rpartition(".")[2].startswith(("_triton", "__main__", "_probe")):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            several = value if isinstance(value, Reference) else getattr(value, "references", ())
            for reference in [several] if isinstance(several, Reference) else several:
                found[reference.arxiv or reference.title].add(id(reference))
                found[reference.key].add(id(reference))
    return found


def test_no_paper_is_written_twice():
    found = references()
    assert len(found) > 100
    assert not {paper for paper, objects in found.items() if len(objects) > 1}
