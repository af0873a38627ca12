"""Whether a directory's files are as they were written: SHA256SUMS, as ``sha256sum`` writes it.

``sha256sum -c SHA256SUMS`` compares the files by hand. The first line, a comment to that program,
holds the digest of the lines below it, so that none of them is changed or lost unnoticed.
"""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write(directory: Path) -> None:
    """Lists every file below ``directory`` with its digest; the list is there whole or not at all.

    Raises:
      OSError: a file cannot be read, or the list cannot be written.
    """
    files = {p.relative_to(directory).as_posix(): p for p in directory.rglob("*") if p.is_file()}
    files.pop(NAME, None)
    lines = "".join(f"{_digest(files[name])}  {name}\n" for name in sorted(files)).encode()
    temporary = directory / f"{NAME}.tmp"
    temporary.write_bytes(_header(lines) + lines)
    temporary.replace(directory / NAME)


def fault(directory: Path) -> str | None:
    """The first file that is not as ``write`` found it, and what is wrong; None if there is none.

    Files that came later do not count.
    """
    if not directory.is_dir():
        return "is missing"
    try:
        header, _, lines = (directory / NAME).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return f"{NAME} is missing: the save was cut short, or older than checksums are"
    except OSError as error:
        return f"{NAME} cannot be read ({error.strerror})"
    if header + b"\n" != _header(lines):
        return f"{NAME} is not as it was written"
    for line in lines.decode().splitlines():
        digest, name = line.split("  ", 1)
        try:
            if _digest(directory / name) != digest:
                return f"{name} is not as it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def _header(lines: bytes) -> bytes:
    return f"# sha256 of what follows: {hashlib.sha256(lines).hexdigest()}\n".encode()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
