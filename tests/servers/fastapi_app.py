"""A server as people write it on FastAPI: one route that predicts, one for health; each answer names the version."""

from fastapi import FastAPI
from pydantic import BaseModel

import tumours


class Rows(BaseModel):
    instances: list[list[float]]


class Answer(BaseModel):
    predictions: list[int]
    version: str


app = FastAPI(title="Tumours", version=tumours.VERSION)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(rows: Rows) -> Answer:
    return Answer(predictions=tumours.predict(rows.instances), version=tumours.VERSION)
