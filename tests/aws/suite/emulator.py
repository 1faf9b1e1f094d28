"""MiniStack on a free port of 127.0.0.1, with IAM enforced."""

import os

import boto3
from botocore.config import Config

from processes import REGION, Started, free_port, listens

# The emulator's root user.
ROOT_KEY = "test"


class Emulator(Started):
    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        temporary = folder / "emulator"
        temporary.mkdir(parents=True)
        super().__init__(
            ["ministack"],
            folder / "emulator.log",
            env={
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.port),
                "AUTH": "true",
                "MINISTACK_REGION": REGION,
                # Where the functions find it.
                "AWS_ENDPOINT_URL": self.url,
                "AWS_ACCESS_KEY_ID": ROOT_KEY,
                "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
                # No part of the suite, and ports of their own.
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
                # Without this it keeps what it unpacks where others may look for theirs.
                "TMPDIR": str(temporary),
                "S3_DATA_DIR": str(temporary),
                "STATE_DIR": str(temporary),
            },
        )

    def environment(self):
        """For programs that are to take it for AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # No settings or credentials of whoever runs this.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service, credentials=None):
        credentials = credentials or {"AccessKeyId": ROOT_KEY, "SecretAccessKey": ROOT_KEY, "SessionToken": None}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            config=Config(retries={"max_attempts": 0}, read_timeout=60),
        )

    def wait(self):
        self.wait_for(lambda: listens(self.port))
