"""The small servers' model as a Ray Serve deployment; its version comes with the application's configuration."""

import tumours
from ray import serve
from starlette.requests import Request


@serve.deployment(user_config={"version": "1"})
class Tumours:
    def reconfigure(self, config):
        self.version = config["version"]

    async def __call__(self, request: Request):
        body = await request.json()
        return {"predictions": tumours.predict(body["instances"], self.version), "version": self.version}


app = Tumours.bind()
