"""Saves a scikit-learn model in MLflow's format, for a scoring server without any registry.

It is a logistic regression on the columns `mean radius` and `mean texture` of the breast cancer data set that ships with
scikit-learn; 0 is malignant, 1 benign. Seeded and offline.
"""

import argparse
import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import mlflow.sklearn
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the model; must not exist")
    arguments = parser.parse_args()
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    features = features[["mean radius", "mean texture"]]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(random_state=0)).fit(features, target)
    mlflow.sklearn.save_model(
        pipeline,
        path=arguments.out,
        signature=infer_signature(features, pipeline.predict(features)),
        pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
    )


if __name__ == "__main__":
    main()
