"""Runs a server for as long as standard input stays open, then ends it with everything that it started.

The tests hold the other end. Whatever ends a test, a failure, a time limit, a crash, closes it; so no server survives its
test. Processes that left the server's group (daemons) become children of this one on Linux, and are ended as well.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def children() -> list[int]:
    """The processes whose parent is this one, by proc(5): pid (name) state ppid …."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


def end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end_orphans() -> None:
    """What is left over, generation by generation: the children of what ends here become ours in turn."""
    while orphans := children():
        for orphan in orphans:
            try:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def main() -> int:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def follow_the_test() -> None:
        # The raw descriptor: a buffered reader that another thread still holds is fatal at exit.
        while os.read(0, 4096):
            pass
        end_group(server.pid)

    threading.Thread(target=follow_the_test, daemon=True).start()
    code = server.wait()
    end_group(server.pid)
    end_orphans()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
