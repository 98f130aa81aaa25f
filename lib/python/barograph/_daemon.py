# SPDX-License-Identifier: Apache-2.0
"""Starting the user's own barod when none answers."""
import os
import shutil
import socket
import subprocess
import time

MAX_SOCKET_PATH = 107
WAIT_S = 0.3

_started = []  # processes of this module: kept, so that they are not reported as leaked


def data_dir():
    """The data folder, as lib/base/paths.h chooses it; None without a home."""
    chosen = os.environ.get("BARO_DIR")
    if chosen:
        return os.path.abspath(chosen)
    data = os.environ.get("XDG_DATA_HOME", "")
    if data.startswith("/"):
        return os.path.join(data, "barograph")
    home = os.path.expanduser("~")
    return os.path.join(home, ".local/share/barograph") if home.startswith("/") else None


def socket_path(endpoint, folder):
    """The Unix socket to look at; None when the endpoint is of another kind, "" if unknown."""
    if endpoint:
        return endpoint[6:] if endpoint.startswith("ipc://") else None
    path = os.path.join(folder, "barod.sock")
    return path if len(os.fsencode(path)) <= MAX_SOCKET_PATH else ""


def is_served(path):
    """Tell whether somebody listens at a Unix socket, without saying anything to him."""
    if not path or not os.path.exists(path):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(path)
            return True
        except BlockingIOError:
            return True  # so many wait to be let in that there is a queue
        except OSError:
            return False


def find_barod(library_path):
    """Path of the daemon's program; None when there is none."""
    chosen = os.environ.get("BARO_BAROD")
    if chosen:
        return chosen if os.access(chosen, os.X_OK) else None
    if os.path.isabs(library_path):
        build = os.path.dirname(os.path.dirname(os.path.dirname(library_path)))
        beside = os.path.join(build, "daemon", "barod")
        if os.access(beside, os.X_OK):
            return beside
    return shutil.which("barod")


def _is_other_first(folder, pid):
    """Tell whether another barod has the folder: trainings that start at once race for it."""
    try:
        with open(os.path.join(folder, "store.lock"), encoding="ascii") as file:
            holder = file.read().strip()
    except (OSError, ValueError):
        return False
    return not holder or (holder != str(pid) and os.path.exists(f"/proc/{holder}"))


def ensure(endpoint, library_path):
    """See that a daemon listens; waits at most WAIT_S, the run does not need it to go on.

    Returns one sentence when there is something to complain about, else None.
    """
    folder = data_dir()
    if folder is None:
        return "there is no home folder for the daemon's data; set BARO_DIR"
    path = socket_path(endpoint, folder)
    if path is None or (endpoint and path != os.path.join(folder, "barod.sock")):
        return None  # somebody else's daemon: not ours to start
    if is_served(path):
        return None
    program = find_barod(library_path)
    if program is None:
        return ("barod was not found, so this run is kept in its ring file alone; set BARO_BAROD "
                "to its path, or bring the ring in later with 'baro recover'")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(folder, "barod.log"),
                         os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "ab") as log:
        process = subprocess.Popen([program, "--dir", folder], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, start_new_session=True, cwd="/")
    _started.append(process)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_served(path):
            return None
        time.sleep(0.01)
    if (process.poll() not in (None, 0) and path and not is_served(path)
            and not _is_other_first(folder, process.pid)):
        return (f"barod ended at once with exit status {process.returncode}; see "
                f"'{os.path.join(folder, 'barod.log')}'")
    return None
