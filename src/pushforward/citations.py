"""Who to cite: every piece carries its references, and `cite` collects the BibTeX of whatever was used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Reference", "cite"]


@dataclass(frozen=True)
class Reference:
    """A paper. A piece lists its papers in the class attribute `references: ClassVar[tuple[Reference, ...]]`."""

    key: str
    title: str
    authors: str
    year: int
    arxiv: str = ""
    venue: str = ""

    def bibtex(self) -> str:
        """Return the BibTeX entry."""
        rows = {"title": "{" + self.title + "}", "author": self.authors, "year": str(self.year)}
        if self.venue:
            rows["journal"] = self.venue
        if self.arxiv:
            rows |= {"eprint": self.arxiv, "archivePrefix": "arXiv"}
        body = ",\n".join(f"  {name} = {{{text}}}" for name, text in rows.items())
        return f"@article{{{self.key},\n{body}\n}}"


def cite(*pieces: Any) -> str:
    """Return the BibTeX of every method used in `pieces`, found by walking their fields, without repetition."""
    found = {reference.key: reference for piece in pieces for reference in _references(piece, set())}
    return "\n\n".join(reference.bibtex() for reference in found.values())


def _references(piece: Any, seen: set[int]) -> Iterator[Reference]:
    if id(piece) in seen:
        return
    seen.add(id(piece))
    yield from getattr(type(piece), "references", ())
    for part in _parts(piece):
        yield from _references(part, seen)


def _parts(piece: Any) -> list[Any]:
    if isinstance(piece, list | tuple):
        return list(piece)
    if isinstance(piece, dict):
        return list(piece.values())
    if dataclasses.is_dataclass(piece):
        return [getattr(piece, field.name) for field in dataclasses.fields(piece)]
    return list(getattr(piece, "_init_args", {}).values())
