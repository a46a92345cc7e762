"""A LitServe server; the environment variable LIT_SERVER_API_KEY makes it demand a key."""

import sys

import litserve

import tumours


class Tumours(litserve.LitAPI):
    def setup(self, device):
        self.version = tumours.VERSION

    def decode_request(self, request):
        return request["instances"]

    def predict(self, rows):
        return tumours.predict(rows, self.version)

    def encode_response(self, output):
        return {"predictions": output, "version": self.version}


if __name__ == "__main__":
    server = litserve.LitServer(Tumours(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
