"""What a disk may hold after a power loss: what was synced, and any part of what was not.

This models a journaling file system. It keeps each change of names whole, but may apply unsynced changes in any
combination, and may hold any part of a file's unsynced data. It sees the events of a job; at any of them
`Disk.after_power_loss` writes one of the possible states to another folder.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.trust.watching.watcher import GO, KILL, Decide, Decision, Event

_BLOCK = 512


@dataclass(eq=False)
class File:
    """A file: the content that is certainly on disk (None: not even its length), and the content last written.

    ``when`` is the time in nanoseconds of a file that existed before: models are named after their files' times.
    """

    durable: bytes | None = None
    written: bytes = b""
    when: int | None = None


@dataclass(eq=False)
class Folder:
    """A folder: its names as programs see them, those certainly on disk, and the changes in between."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    changes: list["Change"] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """One change of names in one folder, applied as a whole: what each name then means (None: it is gone)."""

    names: dict[str, File | Folder | None]


class Disk:
    """The model of one folder on a disk that loses power."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = self._read(root)

    def see(self, event: Event) -> None:
        """Follow one event, just before it happens."""
        path, other = Path(event.path), Path(event.other)
        match event.call:
            case "open" if event.number & os.O_CREAT and self._find(path) is None:
                self._change(path.parent, {path.name: File()})
            case "mkdir" if self._find(path) is None:
                self._change(path.parent, {path.name: Folder()})
            case "unlink" | "rmdir" if self._find(path) is not None:
                self._remember(path)
                self._change(path.parent, {path.name: None})
            case "link" if self._find(path) is not None and self._find(other) is None:
                self._change(other.parent, {other.name: self._find(path)})
            case "rename" | "exchange":
                self._rename(path, other, event.call == "exchange")
            case "sync":
                self._sync(path)

    def after_power_loss(self, target: Path, rng: Random) -> None:
        """Write a state that may be found after power is lost now."""
        for path in self.root.rglob("*"):
            if path.is_file():
                self._remember(path)
        self._write(self.top, target, rng, rng.choice((0.0, 0.5, 0.5, 1.0)))

    def _read(self, path: Path) -> Folder:
        """Take what lies there before the job as synced."""
        folder = Folder()
        for each in path.iterdir():
            folder.names[each.name] = self._read(each) if each.is_dir() else _file(each)
        folder.durable = dict(folder.names)
        return folder

    def _find(self, path: Path) -> File | Folder | None:
        node: File | Folder | None = self.top
        for name in path.relative_to(self.root).parts:
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def _change(self, folder: Path, names: dict[str, File | Folder | None]) -> None:
        node = self._find(folder)
        if isinstance(node, Folder):  # else the system refuses the change
            node.changes.append(Change(names))
            _apply(node.names, names)

    def _rename(self, path: Path, other: Path, swap: bool) -> None:
        old, new = self._find(path), self._find(other)
        if old is None or (swap and new is None):
            return
        assert path.parent == other.parent or not swap
        if isinstance(new, File):
            self._remember(other)
        if path.parent == other.parent:
            self._change(path.parent, {path.name: new if swap else None, other.name: old})
        else:
            self._change(other.parent, {other.name: old})
            self._change(path.parent, {path.name: None})

    def _sync(self, path: Path) -> None:
        node = self._find(path)
        if isinstance(node, File):
            node.durable = node.written = path.read_bytes()
        elif isinstance(node, Folder):
            node.durable, node.changes = dict(node.names), []

    def _remember(self, path: Path) -> None:
        """Note what was written to a file, while it can still be read."""
        node = self._find(path)
        if isinstance(node, File) and path.is_file():
            node.written = path.read_bytes()

    def _write(self, folder: Folder, target: Path, rng: Random, share: float) -> None:
        target.mkdir()
        names = dict(folder.durable)
        for change in folder.changes:
            if rng.random() < share:
                _apply(names, change.names)
        for name, node in names.items():
            if isinstance(node, Folder):
                self._write(node, target / name, rng, share)
            else:
                (target / name).write_bytes(_content(node, rng))
                if node.when is not None:
                    os.utime(target / name, ns=(node.when, node.when))


def _file(path: Path) -> File:
    content = path.read_bytes()
    return File(durable=content, written=content, when=path.stat().st_mtime_ns)


def _apply(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, node in change.items():
        names.pop(name, None)
        if node is not None:
            names[name] = node


def _content(file: File, rng: Random) -> bytes:
    """Return possible content of the file: synced data, or any blocks of what was written since."""
    if file.durable == file.written:
        return file.written
    before, after = file.durable or b"", file.written
    blocks = []
    for start in range(0, len(after), _BLOCK):
        older = before[start : start + _BLOCK].ljust(min(_BLOCK, len(after) - start), b"\0")
        blocks.append(after[start : start + _BLOCK] if rng.random() < 0.5 else older)
    return rng.choice([before, after, b"".join(blocks), b"".join(blocks)[: rng.randrange(len(after) + 1)]])


def losing_power(disk: Disk, at: int, skipped: str = "") -> Decide:
    """End the job at change ``at``; syncs of the kind ``skipped`` ("file" or "folder") are claimed but not done."""

    def decide(event: Event) -> Decision:
        if event.at == at:
            return KILL
        if event.call == "sync" and skipped == ("folder" if Path(event.path).is_dir() else "file"):
            return GO  # the model does not see it
        disk.see(event)
        return GO

    return decide
