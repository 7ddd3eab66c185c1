"""Getting a named dataset: from a mirror or its public sources, every image verified.

Downloads gather in ``.NAME.incoming`` beside the dataset's folder, where an interrupted run
continues; the folder itself is filled from there when every image is proven, its manifest last.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from reflash.core.errors import ReflashError, StopError
from reflash.core.lock import only_one
from reflash.core.progress import say
from reflash.datasets.download import (
    Network,
    NotFoundError,
    address_parts,
    download,
    hash_problem,
    in_turn,
    new_session,
)
from reflash.datasets.folder import filling, require_own
from reflash.datasets.images import is_image_name
from reflash.datasets.manifest import MANIFEST, Entry, write_manifest
from reflash.datasets.matching import Found, Match, best_match, image_files, scan, take_all
from reflash.datasets.meter import transfer_meter
from reflash.datasets.mirror import address_patterns, folder_places
from reflash.datasets.registry import (
    ArchiveSource,
    FilesSource,
    GithubSource,
    ManualSource,
    Source,
    find,
    shipped_manifests,
)
from reflash.datasets.space import disk_errors, require_space
from reflash.datasets.unpack import FORMATS, OTHER_ARCHIVES, unpack
from reflash.datasets.verify import SUMS, read_sums, verify, write_sums

_ARCHIVES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz"),
    *(".tar.bz2", ".tbz2", ".tbz", ".tar.lzma", ".tlz"),
)


def fetch(
    name: str,
    source: Path | str | None = None,
    dst: Path | str = "data/raw",
    *,
    accept_terms: bool = False,
    network: Network | None = None,
) -> Path:
    """Get the dataset ``name`` into ``dst/name``, verify every image, return its manifest.

    Parameters
    ----------
    name
        A name of the registry.
    source
        A mirror: a folder (see ``mirror.folder_places``), an archive, or the http(s) address of
        an archive or of a folder of images. By default the sources of the registry are tried in
        their order until one has the whole set.
    dst
        Folder of all datasets.
    accept_terms
        Whether the user accepts the terms of a dataset that may not be passed on.
    network
        How patient downloads are.

    Images are recognised by their pixels and stored under the names of the shipped manifest, in
    their own format. Where no manifest is shipped, the number of images must fit, and the hash of
    an archive that is named as one of the registry's. A dataset that is there already is only
    verified; of an incomplete one, what is right is kept. Two processes that fetch the same dataset
    take turns.

    Raises
    ------
    ReflashError
        The dataset or folder is unknown, its terms are not accepted, or no source has it whole.
        ``dst/name`` then holds nothing that it did not hold before.
    """
    job = _Job(name, Path(dst), network or Network())
    with disk_errors(job.dst):
        job.dst.mkdir(parents=True, exist_ok=True)
        with only_one(
            job.dst / f".{name}.lock", f"{name}: another process is fetching it; waiting for that"
        ):
            if (job.target / MANIFEST).is_file() and not verify(name, dst):
                say(f"{name}: is there already")
                return job.target / MANIFEST
            try:
                if source is not None and "://" not in str(source):
                    job.from_local(Path(source))
                else:
                    job.from_network(None if source is None else str(source).strip(), accept_terms)
                job.done = True
            finally:
                job.tidy()
    return job.target / MANIFEST


class _Job:
    """Getting one dataset."""

    def __init__(self, name: str, dst: Path, network: Network) -> None:
        self.name, self.dataset, self.dst, self.network = name, find(name), dst, network
        self.target, self.staging = dst / name, dst / f".{name}.incoming"
        self.manifests = shipped_manifests(name)
        self.done = False

    def match(self, found: Sequence[Found], where: Path | str) -> Match:
        found = [item for item in found if item.path.stem not in self.dataset.exclude]
        if self.manifests:
            return best_match(self.manifests, found, where)
        return take_all(self.name, self.dataset.images, found, where)

    def tidy(self) -> None:
        """Remove what gathered, unless the next run can continue with it."""
        if self.done or all(
            path.suffix == ".json" or path.is_dir() for path in self.staging.rglob("*")
        ):
            shutil.rmtree(self.staging, ignore_errors=True)

    def from_local(self, source: Path) -> None:
        """Copy the dataset from a mirror folder or an archive on disk."""
        require_own(self.target)
        if source.is_file():
            self._from_local_archive(source)
            return
        if not source.is_dir():
            raise ReflashError(
                f"{source}: no such file or folder; give the folder of a mirror or of the images, "
                "an archive, or an address that begins with http:// or https://"
            )
        best: Match | None = None
        for place, files in folder_places(self.name, self.dataset, source):
            match = self.match(scan(files), place)
            if not match.problems:
                self._put(match)
                return
            if best is None or len(match.problems) < len(best.problems):
                best = match
        for archive in (source / self._file_name(o) for o in self._archives()):
            if archive.is_file():
                self._from_local_archive(archive)
                return
        if best is None:
            raise ReflashError(
                f"{source}: holds neither images nor a folder {self.name}; "
                "give the folder of a mirror or of the images"
            )
        raise ReflashError(_first(best.problems))

    def from_network(self, address: str | None, accept_terms: bool) -> None:
        """Download the dataset from ``address``, or from the first source that has it whole."""
        if self._adopt():
            return
        require_own(self.target)
        for source in self.dataset.sources:
            if address is None and isinstance(source, ManualSource):
                raise ReflashError(
                    f"{self.name}: is never downloaded; {source.instructions}: "
                    f"reflash data fetch {self.name} --source FOLDER"
                )
        self._terms(accept_terms)
        sources = self.dataset.sources if address is None else [self._at(address)]

        def get(source: Source) -> None:
            if isinstance(source, ArchiveSource):
                self._from_archive(source)
            elif not isinstance(source, ManualSource):
                self._from_files(source)

        by_hand = f"get it by hand and run: reflash data fetch {self.name} --source FOLDER"
        in_turn(self.name, sources, get, by_hand)

    def _terms(self, accepted: bool) -> None:
        say(f"{self.name}: terms of use: {self.dataset.terms}")
        if self.dataset.accept_terms and not accepted:
            raise ReflashError(
                f"{self.name}: its terms ({self.dataset.terms}) must be accepted before it is "
                "downloaded; add --accept-terms or set REFLASH_ACCEPT_TERMS=1, or get it otherwise "
                "and give --source FOLDER"
            )

    def _at(self, address: str) -> Source:
        """Return the source that the user's ``address`` is."""
        path = PurePosixPath(address_parts(address).path)
        if path.name.lower().endswith(_ARCHIVES):
            known = self._known(path.name) or ArchiveSource(kind="archive", url=address)
            return known.model_copy(update={"url": address})
        if path.suffix.lower() in OTHER_ARCHIVES:
            raise ReflashError(f"{address}: {FORMATS}")
        if not self.manifests:
            raise ReflashError(
                f"{address}: the names of the images of {self.name} are not known; "
                "give the address of an archive"
            )
        return FilesSource(kind="files", url=self._probe(address))

    def _probe(self, base: str) -> str:
        """Return where below ``base`` the first image lies."""
        first = next(iter(self.manifests.values()))[0].name
        session, refused = new_session(), ""
        for pattern in address_patterns(self.name, self.dataset, base):
            url = pattern.replace("{name}", quote(first))
            try:
                download(
                    url,
                    self.staging / "files" / f"{first}{Path(pattern).suffix}",
                    network=self.network,
                    session=session,
                )
                return pattern
            except NotFoundError as error:
                if error.status not in (404, 410):
                    refused = f" (an answer: {error})"
        places = f"any of the usual places of {self.name}{refused}"
        raise ReflashError(
            f"{base}: has no image {first} in {places}; give the address of the folder with the "
            "images, or of an archive whose name ends in .zip, .tar or the like; download one of "
            "another name by hand and give the file"
        )

    def _adopt(self) -> bool:
        """Complete a folder that holds exactly the right images but no manifest."""
        found = scan(image_files(self.target))
        if not found:
            return False
        match = self.match(found, self.target)
        right = {item.path.name for name, item in match.pairs if item.path.stem == name}
        if match.problems or right != {item.path.name for item in found}:
            return False
        sums = {item.path.name: item.sha256_file for item in found}
        if not self.manifests and read_sums(self.target) != sums:
            return False
        write_sums(self.target, sums)
        write_manifest(self.target, [item.entry for item in found if item.entry])
        return True

    def _from_files(self, source: GithubSource | FilesSource) -> None:
        """Download the images that are not here yet, one file each."""
        images, base = self.staging / "files", source.address("NAME").rpartition("/")[0]
        have = self._scan_here()
        first = {name: self.manifests[name] for name in list(self.manifests)[:1]}
        missing = best_match(first, have, images).missing
        if missing:
            size = (self.dataset.bytes or 0) * len(missing) // self.dataset.images
            what = f"{self.name}: download of {len(missing)} images"
            require_space(self.dst, size, what, announce=size > 0)
            self._download_all(source, missing, images)
            have = self._scan_here()
        match = self.match(have, base)
        if match.problems:
            fitting = {item.path for _, item in match.pairs}
            for path in image_files(images):
                if path not in fitting:
                    path.unlink()
            raise ReflashError(_first(match.problems).replace(f"{images}/", f"{base}/"))
        self._put(match)

    def _scan_here(self) -> list[Found]:
        """Describe all images that are on this disk already, from this run or an earlier one."""
        here = image_files(self.target, deep=self.dataset.folders)
        return scan([*image_files(self.staging, deep=True), *here])

    def _download_all(
        self, source: GithubSource | FilesSource, missing: Sequence[Entry], images: Path
    ) -> None:
        stop = threading.Event()
        session = new_session(self.network.parallel)
        with (
            transfer_meter(self.name, len(missing)) as meter,
            ThreadPoolExecutor(self.network.parallel) as pool,
        ):
            try:
                suffix = PurePosixPath(address_parts(source.address("NAME")).path).suffix
                jobs = [
                    pool.submit(
                        download,
                        source.address(quote(entry.name)),
                        images / f"{entry.name}{suffix}",
                        network=self.network,
                        session=session,
                        meter=meter,
                        stop=stop,
                    )
                    for entry in missing
                ]
                for job in as_completed(jobs):
                    job.result()
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _from_archive(self, source: ArchiveSource) -> None:
        key = hashlib.sha256(source.url.encode()).hexdigest()[:12]
        archive = self.staging / f"{key}-{self._file_name(source)}"
        if not archive.is_file():
            known = source.bytes or 0
            need = known + (self.dataset.bytes or known)
            what = f"{self.name}: download of {source.url}"
            require_space(self.dst, need, what, announce=need > 0)
        download(
            source.url,
            archive,
            size=source.bytes,
            sha256=source.sha256,
            md5=source.md5,
            network=self.network,
        )
        try:
            self._from_archive_file(archive, source)
        except StopError:
            raise
        except ReflashError as error:
            archive.unlink(missing_ok=True)
            raise ReflashError(str(error).replace(str(archive), source.url)) from error

    def _from_local_archive(self, archive: Path) -> None:
        source = self._known(archive.name)
        problem = source and hash_problem(archive, source.sha256, source.md5)
        if problem:
            raise ReflashError(f"{archive}: {problem}; get this file again")
        self._from_archive_file(archive, source)

    def _from_archive_file(self, archive: Path, source: ArchiveSource | None) -> None:
        """Unpack an archive and take its images."""
        folder = PurePosixPath(source.folder) if source and source.folder else None
        state = archive.stat()
        version = f"{archive.absolute()} {state.st_size} {state.st_mtime_ns}"
        unpacked = self.staging / f"{hashlib.sha256(version.encode()).hexdigest()[:12]}-unpacked"

        def wanted(path: PurePosixPath) -> bool:
            return is_image_name(path) and (folder is None or _inside(path.parent, folder))

        files = image_files(unpacked, deep=True) or unpack(archive, unpacked, wanted)
        if not files:
            inside = f" in {folder}" if folder else ""
            raise ReflashError(f"{archive}: holds no image{inside}; get it from another source")
        found = scan(files)
        match = self.match(found, archive)
        if match.problems:
            shutil.rmtree(unpacked, ignore_errors=True)
            raise ReflashError(_first(match.problems).replace(f"{unpacked}/", f"{archive}: "))
        self._put(match)

    def _archives(self) -> Iterator[ArchiveSource]:
        return (s for s in self.dataset.sources if isinstance(s, ArchiveSource))

    def _known(self, file: str) -> ArchiveSource | None:
        """Return the source whose archive is named ``file``, for its hashes and layout."""
        return next((s for s in self._archives() if self._file_name(s) == file), None)

    @staticmethod
    def _file_name(source: ArchiveSource) -> str:
        return PurePosixPath(re.split("[?#]", source.url)[0]).name

    def _out_of_the_way(self, match: Match) -> Match:
        """Copy aside what another image is about to replace, as where two files are exchanged."""
        pairs = []
        for name, item in match.pairs:
            place = self.target / f"{name}{item.suffix}"
            if item.path.is_relative_to(self.target) and item.path != place:
                aside = self.staging / "renamed" / f"{name}{item.suffix}"
                aside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(item.path, aside)
                item = item._replace(path=aside)
            pairs.append((name, item))
        return match._replace(pairs=pairs)

    def _put(self, match: Match) -> None:
        """Fill the dataset's folder with the images of ``match``."""
        match = self._out_of_the_way(match)
        paths = [item.path for _, item in match.pairs]
        own = {path for path in paths if path.is_relative_to(self.staging)}
        copied = sum(item.bytes for _, item in match.pairs if item.path not in own)
        require_space(self.dst, copied, f"{self.name}: {len(paths)} images", announce=copied > 0)
        (self.target / SUMS).unlink(missing_ok=True)
        with filling(self.target) as filler:
            for name, item in match.pairs:
                if item.entry is not None:
                    link = item.path in own
                    filler.copy(name, item.path, item.entry, item.suffix, link)
            hashes = {f"{name}{item.suffix}": item.sha256_file for name, item in match.pairs}
            write_sums(self.target, hashes)


def _inside(path: PurePosixPath, folder: PurePosixPath) -> bool:
    """Tell whether ``folder`` is ``path`` or the end of one of its parents."""
    n = len(folder.parts)
    return any(path.parts[i : i + n] == folder.parts for i in range(len(path.parts) - n + 1))


def _first(problems: Sequence[str]) -> str:
    more = f" ({len(problems) - 1} more like this)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
