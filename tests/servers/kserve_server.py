"""A model on KServe's own Python server, V1 and V2, on loopback only.

KServe 0.21.0 binds every interface and has no option for it, so the host is put into uvicorn's configuration here.
"""

import argparse

import kserve
import numpy
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

import tumours

configure = uvicorn.Config.__init__


def on_loopback(self, *arguments, **options):
    options["host"] = "127.0.0.1"
    configure(self, *arguments, **options)


uvicorn.Config.__init__ = on_loopback


class Tumours(Model):
    def load(self) -> bool:
        self.ready = True
        return True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            rows = payload.inputs[0].as_numpy()
            answer = tumours.predict(rows.tolist())
            output = InferOutput(name="predict", shape=[len(answer)], datatype="INT64", data=answer)
            return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])
        return {"predictions": tumours.predict(numpy.asarray(payload["instances"]).tolist())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    arguments, _ = parser.parse_known_args()
    model = Tumours(arguments.model_name)
    model.load()
    ModelServer().start([model])
