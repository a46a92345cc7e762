"""Starts a Ray node with its dashboard and deploys the application of ray_app.py, as `serve deploy` would.

Only for a network namespace of its own (in_namespace.py): Ray listens on every interface. The dashboard is on port 8265,
the HTTP proxy on port 8000, the page of metrics on port 8080.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

DASHBOARD = "http://127.0.0.1:8265"
APPLICATIONS = f"{DASHBOARD}/api/serve/applications/"
CONFIGURATION = {
    "http_options": {"host": "127.0.0.1", "port": 8000},
    "applications": [
        {
            "name": "tumours",
            "route_prefix": "/tumours",
            "import_path": "ray_app:app",
            "deployments": [
                {
                    "name": "Tumours",
                    "num_replicas": 1,
                    "ray_actor_options": {"num_cpus": 0.5},
                    "user_config": {"version": "1"},
                }
            ],
        }
    ],
}


def deployed() -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = json.dumps(CONFIGURATION).encode()
    request = urllib.request.Request(APPLICATIONS, body, {"Content-Type": "application/json"}, method="PUT")
    try:
        opener.open(request, timeout=60).close()
    except OSError:
        return False
    return True


def main() -> int:
    ray = Path(sys.executable).parent / "ray"
    # Not with --block: then the end of one process ends all, and the server of Ray's own client, which nobody needs here,
    # ends when the node takes more than thirty seconds to register, as on a busy machine.
    started = subprocess.run(
        [
            ray, "start", "--head", "--disable-usage-stats", "--num-cpus=2",
            "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--dashboard-port=8265",
            "--metrics-export-port=8080", "--object-store-memory=200000000", f"--temp-dir={Path.cwd() / 'ray'}",
        ]
    )
    if started.returncode != 0:
        return started.returncode
    while not deployed():
        time.sleep(0.5)
    # The node's processes are daemons, and are ended by whoever started this one.
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
