"""A BentoML service, served from its source: the answer is a bare array."""

import bentoml

import tumours


@bentoml.service(resources={"cpu": "1"}, metrics={"enabled": True})
class Tumours:
    @bentoml.api
    def predict(self, instances: list[list[float]]) -> list[int]:
        return tumours.predict(instances)
