"""A PostgreSQL of a test's own: its binaries have to be on the machine, nothing else."""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self


class PostgresServer:
    """A PostgreSQL in a folder of its own, on a free port of loopback, run by a user without rights.

    ```python
    with PostgresServer() as server, server.database() as url:
        journal = PostgresJournal(url)
    ```
    """

    password = "s3cret-%2Fpass"  # noqa: S105  it is not asked for; tests look for it where it must not be
    """Stands in the URL."""

    def __init__(self, *, fsync: bool = False) -> None:
        """Make the server's files; it is not started.

        Args:
            fsync: Survive a loss of power, as a real server does. No test cuts the power, and each commit waits for it.

        Raises:
            FileNotFoundError: PostgreSQL is not on this machine.
        """
        found = postgres_binaries()
        if found is None:
            raise FileNotFoundError(
                "PostgreSQL is missing: no initdb and postgres on PATH or in /usr/lib/postgresql/*/bin."
            )
        self._binaries = found
        self._fsync = fsync
        self._user = _unprivileged()
        self._numbers = itertools.count()
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        # In /tmp: the way to a test's folder may be closed to that user, and a socket's path has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="crewkit-pg-"))
        self.folder.chmod(0o755)
        if self._user:
            shutil.chown(self.folder, self._user)
        data = str(self.folder / "data")
        made = self._start(
            ["initdb", "-N", "-D", data, "-U", "tester", "-E", "UTF8", "--locale=C", "-A", "trust"],
            subprocess.PIPE,
        )
        out, _ = made.communicate()
        if made.returncode:
            raise RuntimeError(out.decode(errors="replace"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://tester:{self.password}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Generator[str]:
        """Make a database and give its URL; afterwards it is dropped, and the server started if it was not."""
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            if self.process is None or self.process.poll() is not None:
                self.start()
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self._fsync else "off",
            "wal_writer_delay": "10s",  # a crash takes what was not synced
            "logging_collector": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = self._start(["postgres", "-D", str(self.folder / "data"), *options], log.fileno())
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is fast, SIGQUIT immediate, SIGKILL a crash of the postmaster alone."""
        process, self.process = self.process, None
        if process and process.poll() is None:
            process.send_signal(how)
            process.wait(30)

    def crash(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop as a crash does, and come back."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute statements, each committed by itself; return the rows of the last."""
        import psycopg

        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url(database), autocommit=True) as db:
            for statement in statements:
                cursor = db.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def _start(self, command: Sequence[str], out: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._binaries / command[0], *command[1:]],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            start_new_session=True,
        )

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                gone = self.process is None or self.process.poll() is not None
                if gone and self._leftovers():
                    # A postmaster that was killed leaves children, and a new one waits until they are gone.
                    self.start()
                    return
                if gone or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"PostgreSQL did not come up:\n{log[-2000:]}") from error
                time.sleep(0.05)

    def _leftovers(self) -> bool:
        log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        left = "pre-existing shared memory block" in log[-1000:]
        if left:
            time.sleep(0.1)
        return left


def postgres_binaries() -> Path | None:
    """Return the folder that holds `initdb` and `postgres`, where there is one."""
    folders = [
        *os.environ.get("PATH", "").split(":"),
        *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
    ]
    has_both = (f for f in folders if all((Path(f) / name).exists() for name in ("initdb", "postgres")))
    found = next(has_both, None)
    return Path(found) if found else None


def _unprivileged() -> str | None:
    """PostgreSQL refuses to be run by root."""
    if os.getuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    """Return a port below those that systems give to clients: while the server is down, none of them takes it."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
