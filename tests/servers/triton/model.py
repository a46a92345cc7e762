"""The model of the small servers on Triton's Python backend; each version's folder holds a copy of this file."""

import os
import sys
from pathlib import Path

# The backend's process does not read PYTHONPATH, and numpy lives in the environment.
sys.path[:0] = [os.environ["TUMOURS_SITE_PACKAGES"], str(Path(__file__).parent)]

import numpy
import triton_python_backend_utils as backend

import tumours


class TritonPythonModel:
    def initialize(self, args):
        self.version = args["model_version"]

    def execute(self, requests):
        responses = []
        for request in requests:
            rows = backend.get_input_tensor_by_name(request, "rows").as_numpy()
            answer = numpy.array(tumours.predict(rows.tolist(), self.version), dtype=numpy.int64)
            responses.append(backend.InferenceResponse([backend.Tensor("predict", answer)]))
        return responses
