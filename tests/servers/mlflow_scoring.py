"""Starts MLflow's scoring server for a model URI, ending the one it started before, and waits until it answers.

Running it again is how a scoring server is made to follow a moved alias: the server reads the alias only when it starts.
So the tests use this very script as the reload command of a rollback. The server is a process group of its own, named in
the pid file.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end(group: int, port: int) -> None:
    """Ends a process group, and waits until nobody listens: a dead process nobody waits for still has its id."""
    for sign, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(group, sign)
        except ProcessLookupError:
            return
        until = time.monotonic() + seconds
        while answers(port) and time.monotonic() < until:
            time.sleep(0.05)
    # The second signal was sent in any case: what no longer listens may still be at work.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--model-uri", required=True, help="such as models:/bc@champion")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--pid-file", required=True, type=Path)
    parser.add_argument("--log", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="limit for the start")
    arguments = parser.parse_args()

    if arguments.pid_file.exists():
        end(int(arguments.pid_file.read_text(encoding="ascii")), arguments.port)
        arguments.pid_file.unlink()

    folder = Path(sys.executable).parent
    environment = dict(os.environ)
    environment["MLFLOW_TRACKING_URI"] = arguments.tracking_uri
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # `models serve` runs `bash -c 'exec uvicorn …'`, which finds uvicorn along PATH only.
    environment["PATH"] = f"{folder}{os.pathsep}{environment.get('PATH', '')}"
    # Set, it would make every start compile all imports again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with arguments.log.open("ab") as log:
        server = subprocess.Popen(
            [
                folder / "mlflow", "models", "serve", "--model-uri", arguments.model_uri, "--host", "127.0.0.1",
                "--port", str(arguments.port), "--env-manager", "local", "--workers", "1",
            ],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
    arguments.pid_file.write_text(str(server.pid), encoding="ascii")

    until = time.monotonic() + arguments.seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        if server.poll() is not None:
            sys.exit(f"the scoring server ended with {server.returncode}; see {arguments.log}")
        try:
            with opener.open(f"http://127.0.0.1:{arguments.port}/ping", timeout=2):
                print(f"serving {arguments.model_uri} as process group {server.pid}")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    end(server.pid, arguments.port)
    sys.exit(f"the scoring server did not answer within {arguments.seconds} s; see {arguments.log}")


if __name__ == "__main__":
    main()
