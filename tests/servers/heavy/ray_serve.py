"""Starts a Ray node with its dashboard and deploys the application of ray_app.py, as `serve deploy` would.

Only for a network namespace of its own (in_namespace.py): Ray listens on every interface. The dashboard is on port 8265,
the HTTP proxy on port 8000.
"""

import json
import subprocess
import sys
import time
import urllib.error
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


def deploy() -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = json.dumps(CONFIGURATION).encode()
    request = urllib.request.Request(APPLICATIONS, body, {"Content-Type": "application/json"}, method="PUT")
    opener.open(request, timeout=60).close()


def main() -> int:
    ray = Path(sys.executable).parent / "ray"
    node = subprocess.Popen(
        [
            ray, "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2",
            "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--dashboard-port=8265",
            "--object-store-memory=200000000", f"--temp-dir={Path.cwd() / 'ray'}",
        ]
    )
    while node.poll() is None:
        try:
            deploy()
            return node.wait()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return node.returncode


if __name__ == "__main__":
    sys.exit(main())
