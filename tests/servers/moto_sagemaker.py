"""Makes a user with an access key and a SageMaker endpoint in a running moto server, and prints what was made as JSON.

The server was started to check every signature and every policy; it does not for as long as this runs. Moto's random
numbers are seeded, so that a server that was started again gives out the same key: the one in the file that is named.
Usage: moto_sagemaker.py URL KEY_FILE
"""

import json
import sys
import urllib.request
from pathlib import Path

import boto3

REGION = "us-east-1"
ACCOUNT = "123456789012"
ENDPOINT = "tumours"
VARIANTS = [("v1", 0.9), ("v2", 0.1)]
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["sagemaker:*", "sts:*"], "Resource": "*"}],
}


def post(url: str, body: object = None) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener.open(request, timeout=30).close()


def main() -> None:
    server, key_file = sys.argv[1], Path(sys.argv[2])
    known = key_file.read_text(encoding="ascii") if key_file.exists() else None

    # Moto runs no model: it gives these answers, for two rows, to the first calls that differ, and repeats one for an
    # equal call.
    answer = {
        "Body": json.dumps({"predictions": [0, 1]}),
        "ContentType": "application/json",
        "InvokedProductionVariant": "v1",
        "CustomAttributes": "",
    }
    results = {"account_id": ACCOUNT, "region": REGION, "results": [answer] * 50}
    post(f"{server}/moto-api/static/sagemaker/endpoint-results", results)

    # So many calls may come without a good signature: as many as it takes.
    post(f"{server}/moto-api/reset-auth", 1_000_000)

    def client(service: str, key: str, secret: str):
        return boto3.client(
            service, endpoint_url=server, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
        )

    iam = client("iam", "unchecked", "unchecked")
    iam.create_user(UserName="watcher")
    while True:
        post(f"{server}/moto-api/seed?a=1")
        key = iam.create_access_key(UserName="watcher")["AccessKey"]
        if known in (None, key["AccessKeyId"]):
            break
        # A check of the endpoint came in between and drew a number.
        iam.delete_access_key(UserName="watcher", AccessKeyId=key["AccessKeyId"])
    key_file.write_text(key["AccessKeyId"], encoding="ascii")
    iam.put_user_policy(UserName="watcher", PolicyName="serving", PolicyDocument=json.dumps(POLICY))

    sagemaker = client("sagemaker", key["AccessKeyId"], key["SecretAccessKey"])
    for variant, _ in VARIANTS:
        image = {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/tumours:{variant}"}
        role = f"arn:aws:iam::{ACCOUNT}:role/serving"
        sagemaker.create_model(ModelName=f"tumours-{variant}", PrimaryContainer=image, ExecutionRoleArn=role)
    sagemaker.create_endpoint_config(
        EndpointConfigName="tumours-config",
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": f"tumours-{variant}",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.t2.medium",
                "InitialVariantWeight": weight,
            }
            for variant, weight in VARIANTS
        ],
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="tumours-config")

    # And from now on none.
    post(f"{server}/moto-api/reset-auth", 0)
    print(
        json.dumps(
            {
                "region": REGION,
                "access_key_id": key["AccessKeyId"],
                "secret_access_key": key["SecretAccessKey"],
                "endpoint": ENDPOINT,
                "variants": VARIANTS,
            }
        )
    )


if __name__ == "__main__":
    main()
