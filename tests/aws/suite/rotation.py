"""Secrets Manager's part of a rotation, which the emulator does not play."""

import json
import uuid

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class StepFailed(Exception):
    """The function answered with an error; its text."""


class Rotation:
    """One rotation, from its token on."""

    def __init__(self, emulator, function, secret, token=None):
        self.secrets = emulator.client("secretsmanager")
        self.functions = emulator.client("lambda")
        self.function, self.secret = function, secret
        self.token = token or str(uuid.uuid4())

    def stage(self):
        """What Secrets Manager does before the first step: a new version without a value takes AWSPENDING over."""
        stuck = [version for version, stages in self.stages().items() if "AWSPENDING" in stages]
        for version in stuck:
            self.secrets.update_secret_version_stage(
                SecretId=self.secret, VersionStage="AWSPENDING", RemoveFromVersionId=version
            )
        self.secrets.put_secret_value(
            SecretId=self.secret, ClientRequestToken=self.token, VersionStages=["AWSPENDING"]
        )
        return self

    def stages(self):
        return self.secrets.describe_secret(SecretId=self.secret).get("VersionIdsToStages", {})

    def step(self, name, **changed):
        event = {"Step": name, "SecretId": self.secret, "ClientRequestToken": self.token, **changed}
        answer = self.functions.invoke(FunctionName=self.function, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read().decode()
        if answer.get("FunctionError"):
            raise StepFailed(json.loads(payload).get("errorMessage", payload))

    def run(self):
        self.stage()
        for name in STEPS:
            self.step(name)
        assert "AWSCURRENT" in self.stages()[self.token], self.stages()
        return self


def current(emulator, secret):
    """The current text of a secret, or None."""
    client = emulator.client("secretsmanager")
    try:
        return client.get_secret_value(SecretId=secret).get("SecretString") or None
    except client.exceptions.ResourceNotFoundException:
        return None
