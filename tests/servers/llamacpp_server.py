"""llama.cpp's own HTTP server, as its package xllamacpp brings it. Usage: llamacpp_server.py MODEL.gguf PORT KEY"""

import sys
import threading

import xllamacpp


def main() -> None:
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.port, settings.api_keys = sys.argv[1], int(sys.argv[2]), [sys.argv[3]]
    settings.hostnames = ["127.0.0.1"]
    settings.model_alias = {"tiny"}
    settings.n_ctx = 256
    settings.endpoint_metrics = True
    settings.warmup = False
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)
    print(f"listening on {server.listening_address}", flush=True)
    # It serves on threads of its own until the process is ended.
    threading.Event().wait()


if __name__ == "__main__":
    main()
