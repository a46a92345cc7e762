"""Writes a model repository for MLServer: one model, one folder per version, and the server's settings.

Every version is a scikit-learn logistic regression on the breast cancer data set that ships with scikit-learn. A `good`
version separates the classes; a `bad` one is regularised until it answers 1 (benign) for every row. So the answer itself
tells which version served. Seeded and offline; prints one JSON object with what was written.
"""

import argparse
import json
from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 0
INVERSE_REGULARISATION = {"good": 1.0, "bad": 1e-5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder of the model repository; made if missing")
    parser.add_argument("--model", default="bc")
    parser.add_argument("--versions", default="good,bad", help="kinds in order, `good` or `bad`, separated by commas")
    parser.add_argument("--http-port", required=True, type=int)
    parser.add_argument("--grpc-port", required=True, type=int)
    parser.add_argument("--metrics-port", required=True, type=int)
    arguments = parser.parse_args()

    features, target = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(features, target, random_state=SEED)
    # Three malignant rows that a good model calls 0 and a bad one 1.
    probe = features[target == 0][:3]

    written = []
    for number, kind in enumerate(arguments.versions.split(","), start=1):
        folder = arguments.out / arguments.model / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        classifier = LogisticRegression(C=INVERSE_REGULARISATION[kind], random_state=SEED)
        pipeline = make_pipeline(StandardScaler(), classifier).fit(train_x, train_y)
        joblib.dump(pipeline, folder / "model.joblib")
        settings = {
            "name": arguments.model,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "platform": "sklearn",
            "versions": [],
            "inputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, int(features.shape[1])]}],
            "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
            "parameters": {"version": str(number), "uri": "./model.joblib"},
        }
        (folder / "model-settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        written.append(
            {
                "version": str(number),
                "kind": kind,
                "accuracy": float(pipeline.score(test_x, test_y)),
                "predictions": pipeline.predict(probe).tolist(),
            }
        )

    server = {
        "host": "127.0.0.1",
        "http_port": arguments.http_port,
        "grpc_port": arguments.grpc_port,
        "metrics_port": arguments.metrics_port,
        "parallel_workers": 0,
    }
    (arguments.out / "settings.json").write_text(json.dumps(server, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"model": arguments.model, "versions": written, "rows": probe.tolist()}))


if __name__ == "__main__":
    main()
