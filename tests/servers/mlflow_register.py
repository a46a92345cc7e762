"""Registers versions of one model with a running MLflow tracking server, and points an alias at one of them.

Every version is a scikit-learn logistic regression on the breast cancer data set that ships with scikit-learn. A `good`
version separates the classes; a `bad` one is regularised until it answers 1 (benign) for every row. So the answer itself
tells which version served. Seeded and offline; prints one JSON object with what was registered.
"""

import argparse
import json
import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import mlflow.sklearn
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 0
INVERSE_REGULARISATION = {"good": 1.0, "bad": 1e-5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--model", default="bc")
    parser.add_argument("--versions", default="good,bad", help="kinds in order, `good` or `bad`, separated by commas")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--live", default=None, help="version that the alias points at; by default the last one")
    arguments = parser.parse_args()

    mlflow.set_tracking_uri(arguments.tracking_uri)
    mlflow.set_experiment(arguments.model)
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    train_x, test_x, train_y, test_y = train_test_split(features, target, random_state=SEED)
    # Three malignant rows that a good model calls 0 and a bad one 1.
    probe = features[target == 0].head(3)

    registered = []
    for kind in arguments.versions.split(","):
        classifier = LogisticRegression(C=INVERSE_REGULARISATION[kind], random_state=SEED)
        pipeline = make_pipeline(StandardScaler(), classifier).fit(train_x, train_y)
        accuracy = float(pipeline.score(test_x, test_y))
        with mlflow.start_run():
            mlflow.log_metric("accuracy", accuracy)
            # Given requirements and signature: MLflow would otherwise load the model in a second process to guess them.
            info = mlflow.sklearn.log_model(
                pipeline,
                name="model",
                signature=infer_signature(test_x, pipeline.predict(test_x)),
                pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
                registered_model_name=arguments.model,
            )
        registered.append(
            {
                "version": str(info.registered_model_version),
                "kind": kind,
                "accuracy": accuracy,
                "predictions": pipeline.predict(probe).tolist(),
            }
        )

    live = arguments.live or registered[-1]["version"]
    mlflow.MlflowClient().set_registered_model_alias(arguments.model, arguments.alias, live)
    print(
        json.dumps(
            {
                "model": arguments.model,
                "alias": arguments.alias,
                "live": live,
                "versions": registered,
                "columns": list(probe.columns),
                "rows": probe.to_numpy().tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
