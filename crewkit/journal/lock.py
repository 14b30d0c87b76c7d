"""A lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from crewkit.errors import JournalError

try:
    import fcntl
except ImportError:  # not a POSIX system: epochs alone tell owners apart
    fcntl = None


class FileLock:
    """One named lock: a file under `flock`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it; return whether it was taken.

        Raises:
            JournalError: The file cannot be made or locked.
        """
        # `held` of another process holds it for a moment.
        for _ in range(3):
            if self._try():
                return True
            time.sleep(0.01)
        return False

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            # Removed while still locked, so that nobody can have locked the file that goes away.
            with suppress(OSError):
                self._path.unlink()
            os.close(fd)

    def held(self) -> bool:
        """Tell whether someone holds the lock, this process included."""
        if fcntl is None:
            return False
        try:
            fd = os.open(self._path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return False

    def _try(self) -> bool:
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"{self._path} could not be opened for locking: {error.strerror}.") from error
        if fcntl is None or _flock(fd, self._path):
            self._fd = fd
            return True
        os.close(fd)
        return False


def _flock(fd: int, path: Path) -> bool:
    """Lock the file, if it is still the one at the path: its last holder may have removed it."""
    assert fcntl is not None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(fd).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        os.close(fd)
        raise JournalError(
            f"{path} could not be locked: {error.strerror}. Set CREWKIT_HOME to a folder on a local disk."
        ) from error
