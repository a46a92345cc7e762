"""TorchServe's handler of the small servers' model: no weights, so that the archive is a few hundred bytes."""

import json

import tumours
from ts.torch_handler.base_handler import BaseHandler


class Handler(BaseHandler):
    def initialize(self, context):
        self.version = context.manifest["model"]["modelVersion"].split(".")[0]
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for request in data:
            body = request.get("data") or request.get("body")
            if isinstance(body, (bytes, bytearray)):
                body = json.loads(body)
            answers.append({"predictions": tumours.predict(body["instances"], self.version), "version": self.version})
        return answers
