"""Starts and stops a private PostgreSQL server for studies that several workers share."""

import argparse
import getpass
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

# PostgreSQL refuses to run as root: Debian's package makes this user
SERVICE_USER = "postgres"
DATABASE = "postgres"


def binary(name: str) -> str:
    """
    :param name: A program of the server, such as ``initdb``
    :return: Where it is: on the path, or where Debian keeps it, of the newest version
    :raises FileNotFoundError: When there is no server
    """
    found = shutil.which(name)
    candidates = [found] if found else [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    if not candidates:
        raise FileNotFoundError(f"There is no {name} of PostgreSQL. Install it: apt-get install postgresql")
    return candidates[-1]


def is_installed() -> bool:
    """:return: Whether there is a server to start"""
    try:
        return bool(binary("initdb"))
    except FileNotFoundError:
        return False


class Server:
    """
    A server of one's own.

    :param folder: Where its data are, or are to be
    :param port: On which it listens
    :param host: Address at which it listens. At any other than 127.0.0.1 only with a password
    :param password: Asked of whoever comes over the network; None to trust everybody on this machine
    :raises ValueError: When it would listen to other machines without a password
    """

    def __init__(self, folder: Path, port: int, host: str = "127.0.0.1", password: str | None = None):
        if host not in ("127.0.0.1", "localhost") and not password:
            raise ValueError(f"At {host} others could write what they like into the studies. Give a --password.")
        self.folder, self.port, self.host, self.password = Path(folder).absolute(), port, host, password
        self.user = SERVICE_USER if os.geteuid() == 0 else getpass.getuser()

    @property
    def url(self) -> str:
        """For ``--storage``"""
        host = socket.gethostname() if self.host == "0.0.0.0" else self.host
        secret = f":{self.password}" if self.password else ""
        return f"postgresql+psycopg://{self.user}{secret}@{host}:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Make the data where there are none, and start."""
        data = self.folder / "data"
        if not data.exists():
            self._make(data)
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={self.host if self.host != '0.0.0.0' else '*'}"
        log = self.folder / "server.log"
        self._run("pg_ctl", "start", "-w", "-D", str(data), "-l", str(log), "-o", options)

    def stop(self) -> None:
        """Stop, and keep the data."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.folder / "data"))

    def _make(self, data: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        options = ["--username", self.user, "--auth-local", "trust", "--auth-host", "trust"]
        if self.password:
            options[-1] = "scram-sha-256"
            secret = self.folder / "password"
            secret.touch(0o600)
            secret.write_text(self.password)
            if os.geteuid() == 0:
                os.chown(secret, account.pw_uid, account.pw_gid)
            options += ["--pwfile", str(secret)]
        self._run("initdb", "--pgdata", str(data), "--encoding", "UTF8", "--no-sync", *options)
        if self.password:
            secret.unlink()
            with (data / "pg_hba.conf").open("a") as stream:
                stream.write("host all all all scram-sha-256\n")

    def _run(self, name: str, *arguments: str) -> None:
        """Run a program of the server, as an unprivileged user."""
        user = self.user if os.geteuid() == 0 else None
        group = pwd.getpwnam(user).pw_gid if user else None
        command = [binary(name), *arguments]
        # Not a pipe, which a server that stays would keep open
        with (self.folder / "commands.log").open("ab") as log:
            done = subprocess.run(
                command, user=user, group=group, extra_groups=[] if user else None, cwd=self.folder, stdout=log, stderr=log
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed; see {self.folder}/commands.log and server.log, and its --port")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("folder", type=Path, help="where its data are, or are to be")
    parser.add_argument("--port", type=int, default=5433, help="default: 5433")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines to reach it (default: 127.0.0.1)")
    parser.add_argument("--password", help="asked of whoever comes over the network")
    args = parser.parse_args(arguments)
    server = Server(args.folder, args.port, args.host, args.password)
    if args.action == "stop":
        server.stop()
        return
    server.start()
    print(server.url)


if __name__ == "__main__":
    main()
