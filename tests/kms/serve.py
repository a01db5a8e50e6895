"""Starts a KMS (moto) on a free port of the loopback interface, makes two keys, and runs the command given with
KMS_ENDPOINT, KMS_KEY_ID and KMS_OTHER_KEY_ID set."""

import os
import subprocess
import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
account = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "eu-central-1"}
kms = boto3.client(
    "kms",
    endpoint_url=endpoint,
    region_name=account["AWS_REGION"],
    aws_access_key_id=account["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=account["AWS_SECRET_ACCESS_KEY"],
)
key, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
settings = {"KMS_ENDPOINT": endpoint, "KMS_KEY_ID": key, "KMS_OTHER_KEY_ID": other}
try:
    sys.exit(subprocess.run(sys.argv[1:], env=os.environ | account | settings, check=False).returncode)
finally:
    server.stop()
