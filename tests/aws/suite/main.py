"""The deployment's test: checks, builds, deploys to the emulator, and uses what it has deployed."""

import argparse
import base64
import hashlib
import hmac
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from samcli.yamlhelper import yaml_parse

import interface
import monitoring
import roles
import rotation
import sign_in
import template
import tokens
from api import Api
from emulator import Emulator
from processes import REGION, ROOT, run

STACK = "latchkey-test"
# What an operator starts from; nobody's own answers.
SAM_CONFIG = ("--config-file", ROOT / "samconfig.example.toml")
# What the test changes of the template's defaults: caches so short that a key's change can be waited for.
PARAMETERS = {"SecretsTtlSeconds": 2, "JwksSeconds": 3}
# What LibreChat's environment would hold; this one is used nowhere else.
JWT_SECRET = "of-no-use-anywhere-" + os.urandom(24).hex()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--arm64", action="store_true", help="also build for arm64 (not run here)")
    options.add_argument("--skip-build", action="store_true", help="take what the last build has left in .aws-sam")
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="latchkey-aws-") as folder:
        Suite(Path(folder), options).run()


class Suite:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.times = [("tools", float(os.environ.get("TOOLS_SECONDS", 0)))]
        self.notes = []
        self.stack = STACK
        self.built = ROOT / ".aws-sam/build"
        self.architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        # Everything that must never be in a log.
        self.secret_texts = {JWT_SECRET}

    def stage(self, name, work, *arguments):
        print(f"== {name}", flush=True)
        start = time.monotonic()
        result = work(*arguments)
        self.times.append((name, time.monotonic() - start))
        return result

    def note(self, text):
        print(f"   {text}", flush=True)
        self.notes.append(text)

    def run(self):
        self.stage("sam validate --lint", run, "sam", "validate", "--lint")
        self.stage("cfn-lint", run, "cfn-lint", "template.yaml")
        self.stage("checkov", run, "tests/aws/judges/run")
        self.stage("policies, statement by statement", template.check)
        if not self.options.skip_build:
            self.stage(f"sam build, {self.architecture}", self.build, self.architecture, self.built)
        if self.options.arm64:
            self.stage("sam build, arm64", self.build, "arm64", ROOT / ".aws-sam/arm64")
        self.stage("latchkey, the operator's command", run, "cargo", "build", "-q", "-p", "latchkey")
        self.sizes()
        with Emulator(self.folder) as self.emulator:
            self.stage("emulator", self.emulator.wait)
            self.stage("runtime interface emulator, every event", self.interface)
            self.stage("refused parameters", self.refused_parameters)
            self.stage("sam deploy", self.deploy_first)
            self.stage("roles, enforced", self.roles)
            self.stage("clients, by the operator's command", self.register)
            self.stage("two operators at once", self.two_operators)
            self.stage("without keys", self.without_keys)
            self.stage("first rotation, step by step", self.first_rotation)
            self.stage("issue, verify, renew, retry, reuse", self.life_of_a_session)
            self.stage("sign in, renew, sign out", sign_in.check, self)
            self.stage("refused rotation events", self.refused_rotations)
            self.stage("two rotations under traffic", self.rotations_under_traffic)
            self.stage("a leaked key taken out", self.leaked_key)
            self.stage("logs", self.logs)
            self.stage("dashboard, alarms, saved queries", self.monitoring)
            self.stage("sam deploy, changed parameters", self.deploy_again)
            self.stage("sam delete", self.delete)
            self.stage("a new stack with the data of the old one", self.adopt)
            self.stage("a REST API instead", self.rest)
        print("\nnotes")
        for text in self.notes:
            print(f"  {text}")
        print("stages")
        for name, seconds in self.times:
            print(f"  {seconds:8.1f} s  {name}")
        print(f"  {sum(seconds for _, seconds in self.times):8.1f} s  in all")

    # -- building -----------------------------------------------------------------------------------------------------

    def build(self, architecture, folder):
        path = template.for_architecture(architecture)
        run("sam", "build", *SAM_CONFIG, "--template-file", path, "--base-dir", ROOT, "--build-dir", folder)

    def sizes(self):
        for bootstrap in sorted(self.built.glob("*/bootstrap")):
            octets = bootstrap.read_bytes()
            # "\x7fELF" and the machine: 62 is x86-64, 183 is arm64.
            machine = int.from_bytes(octets[18:20], "little")
            assert octets[:4] == b"\x7fELF" and machine == {"x86_64": 62, "arm64": 183}[self.architecture]
            self.note(f"size of {bootstrap.parent.name}: {len(octets) / 1e6:.1f} MB")

    def interface(self):
        counts = interface.check(self.emulator, self.built, self.folder, rotation)
        self.note(f"events under the runtime interface emulator: {counts}")

    # -- deploying ----------------------------------------------------------------------------------------------------

    def sam(self, *arguments):
        return run("sam", *arguments, env=self.emulator.environment())

    def deploy(self, **parameters):
        overrides = {
            "JwtSecretArn": self.jwt_secret,
            "AlarmTopicArn": self.topic,
            "KmsKeyArn": self.kms_key,
            **PARAMETERS,
            **parameters,
        }
        path, self.missing = template.for_the_emulator(self.built / "template.yaml", overrides)
        self.note(f"not deployed, unknown to the emulator: {', '.join(self.missing)}")
        self.sam(
            "deploy",
            *("--template-file", path, *SAM_CONFIG, "--stack-name", self.stack),
            *("--region", REGION, "--no-confirm-changeset", "--parameter-overrides"),
            *(f"{name}={value}" for name, value in overrides.items()),
        )
        formation = self.emulator.client("cloudformation")
        (stack,) = formation.describe_stacks(StackName=self.stack)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=self.stack)
        resources = [item for page in pages for item in page["StackResourceSummaries"]]
        self.resources = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in resources}

    def refused_parameters(self):
        formation = self.emulator.client("cloudformation")
        # The parameters alone say no; with them goes the least that makes a template.
        parameters = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
        resources = {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
        body = json.dumps({"Parameters": parameters, "Resources": resources})
        for name, value in (
            ("AccessTokenSeconds", "299"),
            ("RetrySeconds", "301"),
            ("CorsOrigins", "*"),
            ("CorsOrigins", "https://Chat.example.org"),
            ("CorsOrigins", "https://chat.example.org:443"),
            ("JwtSecretKmsKeyArn", "alias/librechat"),
            ("KmsKeyArn", "alias/latchkey"),
            ("SecretReaderArns", "operator"),
            ("JwtSecretArn", "jwt-secret"),
            ("SignInRequestsPerSecond", "0"),
            ("RegistrationRequestsPerSecond", "0"),
            ("IssueConcurrency", "-1"),
            ("FrontDoor", "alb"),
            ("CallerAddresses", "192.0.2.10"),
            ("ClientsSecretArn", "clients"),
            ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:role/boundary"),
            ("RolePath", "/service"),
            ("LogGroupSuffix", "/new"),
            ("AlarmTopicArn", "alarms"),
            ("ServerErrorPercent", "101"),
            ("LatencyMilliseconds", "9"),
        ):
            try:
                formation.create_change_set(
                    StackName="refused",
                    ChangeSetName="refused",
                    ChangeSetType="CREATE",
                    TemplateBody=body,
                    Parameters=[{"ParameterKey": name, "ParameterValue": value}],
                    Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
                )
                raise AssertionError(f"{name}={value} is accepted")
            except formation.exceptions.ClientError as fault:
                assert name in str(fault), fault

    def deploy_first(self):
        self.jwt_secret = self.emulator.client("secretsmanager").create_secret(
            Name="librechat/jwt-secret", SecretString=JWT_SECRET
        )["ARN"]
        self.kms_key = self.emulator.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.topic = self.emulator.client("sns").create_topic(Name="alarms")["TopicArn"]
        self.deploy()
        self.api = Api(self.outputs["ApiUrl"], self.emulator.port)
        self.issuer = self.outputs["Issuer"]
        table = self.emulator.client("dynamodb").describe_table(TableName=self.outputs["TableName"])["Table"]
        # The emulator hands the parameter through as text.
        assert table["DeletionProtectionEnabled"] in (True, "true"), table
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST", table
        self.own_key_and_tags()

    def own_key_and_tags(self):
        """Secrets and logs are under the key of KmsKeyArn (the emulator does not tell the table's), and what can have a tag has those of the configuration."""
        secrets = self.emulator.client("secretsmanager")
        kept = {
            "secrets": [secrets.describe_secret(SecretId=arn).get("KmsKeyId") for name, arn in self.outputs.items() if name.endswith("SecretArn")],
            "logs": [
                group.get("kmsKeyId")
                for group in self.emulator.client("logs").describe_log_groups()["logGroups"]
                if STACK in group["logGroupName"]
            ],
        }
        assert all(keys and set(keys) == {self.kms_key} for keys in kept.values()), kept
        tagged = self.emulator.client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "application", "Values": ["latchkey"]}])
        kinds = {item["ResourceARN"].split(":")[2] for item in tagged["ResourceTagMappingList"]}
        # CloudFormation hands the stack's tags on by itself; the emulator does for these.
        assert {"dynamodb", "lambda"} <= kinds, kinds

    def roles(self):
        count = roles.check(self.emulator, STACK, self.resources, self.outputs)
        self.note(f"calls tried with the functions' roles, each allowed or refused as it should be: {count}")

    # -- using it -----------------------------------------------------------------------------------------------------

    def latchkey(self, *arguments):
        return self.told(*arguments, "--secret-id", self.outputs["ClientsSecretArn"])

    def keys(self, *arguments):
        """A command that changes the key ring, and what is derived from it."""
        names = ("SigningKeys", "VerificationKeys", "TicketKeys", "PublicKeys")
        flags = ("--secret-id", "--verification-keys", "--ticket-keys", "--public-keys")
        places = [part for flag, name in zip(flags, names) for part in (flag, self.outputs[f"{name}SecretArn"])]
        return self.told("keys", *arguments, *places)

    def told(self, *arguments):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        output = run(target / "debug/latchkey", *arguments, "--json", env=self.emulator.environment())
        # The secret is one JSON object among what else the operator is told.
        (line,) = [line for line in output.splitlines() if line.startswith("{")]
        return json.loads(line)

    def register(self):
        pages = ("--sign-in-url", sign_in.SIGN_IN, "--sign-out-url", sign_in.SIGN_OUT)
        self.portal = self.credentials(self.latchkey("issuer", "add", "portal", *pages), "issuer")
        addresses = ("--redirect-uri", sign_in.BACK, "--post-logout-redirect-uri", sign_in.AFTERWARDS)
        passes_on = ("--exchange", f"{sign_in.TOOL} tools")
        scopes = ("--issuer", "portal", "--scope", "openid", "profile", "email")
        self.client = self.credentials(
            self.latchkey("client", "add", "librechat", *scopes, "--claim", "email", "name", *addresses, *passes_on), "client"
        )
        graceful = self.latchkey("client", "add", "graceful", *scopes, "--grace-seconds", "3600")
        self.graceful = self.credentials(graceful, "client")
        self.librechat = self.credentials(
            self.latchkey(
                *("client", "add", "librechat-own", *scopes, "--claim", "id", "email"),
                *("--profile", "librechat", "--kid", "librechat-hs"),
            ),
            "client",
        )

    def two_operators(self):
        """Of two changes made at once, both are there. The emulator checks RemoveFromVersionId as Secrets Manager does;
        the answers that get lost are local/tests/operator.rs's."""
        self.latchkey("client", "add", "edited", "--issuer", "portal")
        before = self.registrations()
        (edited,) = [client for client in before["clients"] if client["client_id"] == "edited"]
        with ThreadPoolExecutor(2) as operators:
            for number in range(8):
                self.latchkey("issuer", "add", f"passing-{number}")
                disabled = operators.submit(self.latchkey, "issuer", "disable", f"passing-{number}")
                rotated = operators.submit(self.latchkey, "client", "rotate-secret", "edited")
                assert disabled.result() == {"issuer_id": f"passing-{number}"}, disabled.result()
                (passing,) = [issuer for issuer in self.registrations()["issuers"] if issuer["issuer_id"] == f"passing-{number}"]
                assert passing["disabled"] is True, passing
                before["issuers"].append(passing)
                _, secret = self.credentials(rotated.result(), "client")
                edited["secret_sha256"].append(hashlib.sha256(secret.encode()).hexdigest())
                assert self.registrations() == before, f"pair {number}: a change is lost"
        self.latchkey("client", "disable", "edited")
        stages = self.emulator.client("secretsmanager").describe_secret(SecretId=self.outputs["ClientsSecretArn"])
        labels = {label for labels in stages["VersionIdsToStages"].values() for label in labels}
        assert labels == {"AWSCURRENT", "AWSPREVIOUS", "latchkey-edit"}, labels

    def registrations(self):
        return json.loads(rotation.current(self.emulator, self.outputs["ClientsSecretArn"]))

    def credentials(self, printed, party):
        identity = (printed[f"{party}_id"], printed[f"{party}_secret"])
        self.secret_texts.add(identity[1])
        return identity

    def keep(self, answer):
        """The tokens of a success, which must not turn up in a log."""
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store", answer
        issued = answer.json()
        for name in ("access_token", "refresh_token", "id_token"):
            if name in issued:
                # The signature alone says enough; headers of tokens are alike.
                self.secret_texts.add(issued[name].rpartition(".")[2])
        return issued

    def without_keys(self):
        verified = self.api.introspect(self.client, "no token at all")
        for answer in (self.api.issue(self.portal, client_id="librechat", subject="early"), self.api.jwks(), verified):
            assert answer.status == 503, answer
            assert "retry-after" in answer.headers, answer
            assert answer.json()["error"] == "temporarily_unavailable", answer
        assert "max-age" not in self.api.jwks().headers.get("cache-control", ""), "an error would be cached"
        page = sign_in.Browser(self).begin()
        assert page.status == 503 and "retry-after" in page.headers, page

    def rotation(self):
        return rotation.Rotation(self.emulator, f"{self.stack}-rotate-keys", self.outputs["SigningKeysSecretArn"])

    def ring(self):
        return json.loads(rotation.current(self.emulator, self.outputs["SigningKeysSecretArn"]))

    def derived(self, name):
        return json.loads(rotation.current(self.emulator, self.outputs[f"{name}SecretArn"]))

    def first_rotation(self):
        public = self.outputs["PublicKeysSecretArn"]
        first = self.rotation().stage()
        before = self.ring()
        first.step("createSecret")
        assert self.ring() == before and rotation.current(self.emulator, public) is None
        first.step("setSecret")
        published = self.derived("PublicKeys")
        assert self.ring() == before, "only finishSecret makes the new ring current"
        first.step("testSecret")
        first.step("finishSecret")
        ring = self.ring()
        asymmetric = {key["kid"] for key in ring["signing"] if key["alg"] != "HS256"}
        assert asymmetric == {key["kid"] for key in published["keys"]} and asymmetric, (published, len(asymmetric))
        (symmetric,) = [key for key in ring["signing"] if key["alg"] == "HS256"]
        assert (symmetric["kid"], symmetric["secret"]) == ("librechat-hs", JWT_SECRET)
        assert ring["tagging"], "a tag key"
        verification, tickets = self.derived("VerificationKeys"), self.derived("TicketKeys")
        assert {key["kid"] for key in verification["keys"]} == asymmetric | {"librechat-hs"}, "all that verifies"
        assert not re.search(r'PRIVATE KEY|private_key|"d"', json.dumps(verification)), "and nothing that signs"
        assert verification["tagging"] == ring["tagging"], "tags are verified"
        assert verification["audit"] == ring["audit"], "and names are the same in every function's log"
        assert [key["kid"] for key in tickets["keys"]] == [key["kid"] for key in ring["tagging"]]
        for key in tickets["keys"]:
            self.secret_texts |= {key["ticket_key"], key["registration_key"]}
        self.audit = ring["audit"]
        self.secret_texts |= {key["secret"] for key in [*ring["tagging"], self.audit]}
        # Functions that found no keys look again by themselves.
        deadline = time.monotonic() + 90
        while self.api.jwks().status != 200 or self.api.issue(self.portal, client_id="librechat", subject="early").status != 200:
            assert time.monotonic() < deadline, "the functions do not find their keys"
            time.sleep(1)
        served = self.api.jwks()
        assert served.headers["cache-control"] == "public, max-age=3", served
        assert {key["kid"] for key in served.json()["keys"]} == asymmetric, served
        assert "private_key" not in served.text and '"d"' not in served.text, "only public members"
        etag = served.headers["etag"]
        assert self.api.get("/.well-known/jwks.json", **{"If-None-Match": etag}).status == 304
        for document in ("openid-configuration", "oauth-authorization-server"):
            metadata = self.api.get(f"/.well-known/{document}").json()
            assert metadata["issuer"] == self.issuer, metadata
            assert metadata["token_endpoint"] == f"{self.issuer}/token/renew", metadata
            assert metadata["jwks_uri"] == self.outputs["JwksUrl"], metadata
            assert metadata["authorization_endpoint"] == self.outputs["AuthorizationEndpoint"], metadata
            assert metadata["end_session_endpoint"] == self.outputs["EndSessionEndpoint"], metadata

    def issue(self, subject, client="librechat", **more):
        return self.keep(self.api.issue(self.portal, client_id=client, subject=subject, **more))

    def verify(self, token, audience="librechat", jwks=None):
        return tokens.verify(token, jwks or self.api.jwks().json(), self.issuer, audience)

    def life_of_a_session(self):
        first = self.issue("alice", claims=json.dumps({"email": "alice@example.org"}))
        claims = self.verify(first["access_token"])
        assert (claims["sub"], claims["email"]) == ("alice", "alice@example.org"), claims
        assert first["expires_in"] == 86400 == claims["exp"] - claims["iat"], first
        assert self.verify(first["id_token"])["sub"] == "alice"

        second = self.keep(self.api.renew(self.client, first))
        assert second["refresh_token"] != first["refresh_token"]
        assert self.verify(second["access_token"])["sid"] == claims["sid"]
        retried = self.keep(self.api.renew(self.client, first))
        assert retried["refresh_token"] == second["refresh_token"], "a retry gives the same successor"
        third = self.keep(self.api.renew(self.client, second))

        for stolen in (first, third):
            answer = self.api.renew(self.client, stolen)
            assert (answer.status, answer.json()["error"]) == (400, "invalid_grant"), answer
        wrong = (self.client[0], "not-the-secret")
        assert self.api.renew(wrong, third).status == 401
        assert self.api.issue(("portal", "not-the-secret"), client_id="librechat", subject="mallory").status == 401
        forged = {**third, "refresh_token": third["refresh_token"][:-4] + "AAAA"}
        assert self.api.renew(self.client, forged).status == 400

        short = self.issue("bob", expires_in="1")
        time.sleep(1.5)
        answer = self.api.renew(self.client, short)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant"), "an expired access token does not renew"
        try:
            self.verify(short["access_token"])
            raise AssertionError("an expired access token verifies")
        except tokens.Refused:
            pass

        own = self.issue("carol", "librechat-own", claims=json.dumps({"id": "64f0c0ffee64f0c0ffee64f0", "email": "carol@example.org"}))
        claims = tokens.verify_hs256(own["access_token"], JWT_SECRET, self.issuer, "librechat-own")
        assert claims["id"] == "64f0c0ffee64f0c0ffee64f0", claims
        self.keep(self.api.renew(self.librechat, own))

        live = self.api.introspect(self.portal, own["access_token"])
        assert live.json()["active"] is True and live.json()["sub"] == "carol", live
        listed = self.api.sessions("GET", self.portal, "carol")
        assert [item["client_id"] for item in listed.json()["sessions"]] == ["librechat-own"], listed
        assert self.authorized(own["access_token"]) is False, "for another audience"
        erin = self.issue("erin")
        assert self.authorized(erin["access_token"]) is True
        assert self.api.revoke(self.client, erin["refresh_token"]).status == 200
        assert self.api.introspect(self.portal, erin["access_token"]).json() == {"active": False}
        assert self.api.renew(self.client, erin).json()["error"] == "invalid_grant"
        assert self.api.sessions("DELETE", self.portal, "carol").json() == {"ended": 1}

        assert self.api.get("/token").status == 404
        assert self.api.get("/").status == 404
        assert self.api.issue(self.portal, client_id="librechat", subject="x" * 20_000).status == 413

    def authorized(self, token):
        """What the authorizer says of a bearer, asked as API Gateway does."""
        event = {
            "version": "2.0",
            "type": "REQUEST",
            "routeArn": "arn:aws:execute-api:us-east-1:123456789012:api/$default/GET/x",
            "identitySource": [f"Bearer {token}"],
            "routeKey": "GET /x",
            "rawPath": "/x",
            "rawQueryString": "",
            "headers": {"authorization": f"Bearer {token}"},
            "requestContext": {"http": {"method": "GET", "path": "/x", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}},
        }
        answer = self.emulator.client("lambda").invoke(FunctionName=self.outputs["AuthorizerArn"], Payload=json.dumps(event))
        text = answer["Payload"].read()
        assert "FunctionError" not in answer, text
        return json.loads(text)["isAuthorized"]

    def refused_rotations(self):
        before = self.ring()
        started = self.rotation()
        for step, changed, reason in (
            ("createSecret", {}, "no version"),
            ("createSecret", {"SecretId": self.outputs["ClientsSecretArn"]}, "rotates"),
        ):
            self.refused(started, step, reason, **changed)
        started.stage()
        self.refused(started, "sellSecret", "unknown step")
        self.refused(started, "setSecret", "createSecret comes first")
        self.refused(started, "finishSecret", "createSecret comes first")
        started.step("createSecret")
        self.refused(started, "finishSecret", "setSecret comes first")
        assert self.ring() == before, "nothing has changed"
        # This one is left as it is, stuck half-way. The next one takes over.

    def refused(self, started, step, reason, **changed):
        try:
            started.step(step, **changed)
        except rotation.StepFailed as fault:
            assert reason in str(fault), f"{step}: {fault}"
        else:
            raise AssertionError(f"{step} {changed} was not refused")

    # -- rotating under traffic ---------------------------------------------------------------------------------------

    def rotations_under_traffic(self):
        old = self.issue("dave")
        traffic = Traffic(self)
        traffic.start()
        for _ in range(2):
            self.rotation().run()
            # The promoted key's time; the next key's is at the end of time.
            soon = time.time() + 3600
            signs = max(key.get("sign_from", 0) for key in self.ring()["signing"] if key.get("sign_from", 0) < soon)
            time.sleep(max(signs - time.time(), 0) + PARAMETERS["SecretsTtlSeconds"] + 2)
        traffic.stop()
        assert not traffic.faults, traffic.faults[:5]
        assert len(traffic.kids) == 3, f"three keys have signed, one after the other: {traffic.kids}"
        jwks = self.api.jwks().json()
        for token in [old["access_token"], *traffic.access_tokens]:
            self.verify(token, jwks=jwks)
        self.keep(self.api.renew(self.client, old))
        assert self.ring()["audit"] == self.audit, "a rotation leaves the names in the log as they are"
        self.secret_texts |= {key["secret"] for key in self.ring()["tagging"]}
        self.note(f"two rotations under traffic: {len(traffic.access_tokens)} tokens by {len(traffic.kids)} keys, 0 failed verifications")

    def leaked_key(self):
        """As docs/deployment.md has it."""
        session = self.issue("grace")
        leaked = tokens.parts(session["access_token"])[0]["kid"]
        assert self.api.introspect(self.portal, session["access_token"]).json()["active"] is True
        self.keys("revoke", leaked, "--clients-secret", self.outputs["ClientsSecretArn"])
        for name in ("VerificationKeys", "PublicKeys"):
            assert leaked not in {key["kid"] for key in self.derived(name)["keys"]}, name
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        jwks = self.api.jwks().json()
        assert leaked not in {key["kid"] for key in jwks["keys"]}, "still published"
        assert self.api.introspect(self.portal, session["access_token"]).json() == {"active": False}
        answer = self.api.renew(self.client, session)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant"), answer
        after = self.issue("grace")
        assert tokens.parts(after["access_token"])[0]["kid"] != leaked
        self.verify(after["access_token"])
        self.rotation().run()
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)

    # -- logs ---------------------------------------------------------------------------------------------------------

    def messages(self, group):
        pages = self.emulator.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def logs(self):
        wanted = {
            "issue": {"token_issued": "INFO", "client_rejected": "INFO", "sign_in_accepted": "INFO", "sign_in_rejected": "INFO"},
            "authorize": {"sign_in_rejected": "INFO"},
            "renew": {
                "token_issued": "INFO",
                "token_renewed": "INFO",
                "token_retried": "INFO",
                "token_exchanged": "INFO",
                "reuse_detected": "WARN",
                "client_rejected": "INFO",
                "renewal_rejected": "INFO",
            },
            "revoke": {"session_revoked": "INFO"},
            "introspect": {"access_denied": "INFO"},
            "sessions": {"session_revoked": "INFO"},
            "authorizer": {"access_denied": "INFO"},
            "rotate-keys": {"keys_rotated": "INFO"},
            "discovery": {},
        }
        for function, events in wanted.items():
            group = f"/aws/lambda/{STACK}-{function}"
            lines = self.messages(group)
            assert lines, f"{group} is empty"
            found = {}
            for line in lines:
                for text in self.secret_texts:
                    assert text not in line, f"{group} has a secret: {line}"
                assert not re.search(r"eyJ[\w-]{10,}|lk[tac]?1_[\w-]{10,}|PRIVATE KEY", line), f"{group} has a token: {line}"
                # The platform's own lines are plain text here.
                if re.match(r"(START|END|REPORT|INIT_START) ", line):
                    continue
                entry = json.loads(line)
                assert entry["level"] in ("INFO", "WARN", "ERROR"), line
                assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", entry["timestamp"]), line
                if "event" in entry:
                    # A document is read for whoever comes next, also before the first request.
                    is_of_a_request = entry["event"] != "document_fault"
                    assert entry["service"] == "latchkey" and ("function_request_id" in entry) == is_of_a_request, line
                    found.setdefault(entry["event"], set()).add(entry["level"])
            for event, level in events.items():
                assert found.get(event) == {level}, f"{group}: {event} at {found.get(event)}, all: {sorted(found)}"
            durations = [float(value) for line in lines for value in re.findall(r"^REPORT .*\tDuration: ([\d.]+) ms", line)]
            first, *later = durations
            median = f", later ones {statistics.median(later):.0f} ms (median of {len(later)})" if later else ""
            self.note(f"{function}: first invocation {first:.0f} ms{median}, as the emulator reports them")

    # -- what operators see -------------------------------------------------------------------------------------------

    def monitoring(self):
        """Every metric, dimension and field that the dashboard, the alarms and the saved queries name has been logged."""
        self.rare_events()
        metrics_and_lines = {resource: self.entries(group) for resource, group in self.log_groups().items()}
        metrics = monitoring.Metrics(line for lines in metrics_and_lines.values() for line in lines)
        deployed = {*self.resources.values(), self.outputs["TableName"]}

        cloudwatch = self.emulator.client("cloudwatch")
        body = cloudwatch.get_dashboard(DashboardName=self.resources["Dashboard"])["DashboardBody"]
        shown = monitoring.check_dashboard(body, metrics, deployed)
        by_name = {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
        alarms = {name: by_name.pop(alarm) for name, alarm in self.resources.items() if alarm in by_name}
        assert not by_name, by_name
        # The parameters as they are deployed, or by default; what the emulator does not know by its name in the template.
        names = {**template.parameters(), "AlarmTopicArn": self.topic, "KmsKeyArn": self.kms_key, **PARAMETERS}
        names.update({name: name for name in self.missing}, **self.resources)
        alarms.update(template.alarms_on_arithmetic(names))
        monitoring.check_alarms(alarms.values(), self.topic, metrics, deployed)
        self.key_alarms(alarms, metrics)
        self.document_alarms(alarms, metrics)

        queries = list(template.saved_queries())
        for name, text, groups in queries:
            lines = [line for group in groups for line in metrics_and_lines.get(group, ())]
            # The placeholders.
            text = text.replace("0123456789abcdef", self.audit_name("alice"))
            some_request = next(line["api_request_id"] for line in lines if "api_request_id" in line)
            text = text.replace("AbCdEfGhIjKlMnO=", some_request)
            # The emulator writes no access log.
            known = template.access_log_members() if "AccessLogs" in groups else set()
            monitoring.check_query(name, text, lines, known)
        for body, groups in template.counting_rules():
            monitoring.check_rule(body, [line for group in groups for line in metrics_and_lines[group]])
        self.note(
            f"{metrics.lines} lines of metrics, {metrics.octets / metrics.lines:.0f} bytes each, {len(metrics.values)} metrics;"
            f" the dashboard names {shown}; {len(alarms)} alarms, {len(queries)} saved queries"
        )

    def audit_name(self, subject):
        """The subject's name in the log: an HMAC under the ring's audit key."""
        key = base64.urlsafe_b64decode(self.audit["secret"] + "=")
        return hmac.new(key, subject.encode(), hashlib.sha256).hexdigest()[:16]

    def rare_events(self):
        """What the stages before have not brought about: a renewal in grace, a table that was restored, a last key."""
        for refused in (
            self.api.revoke(("portal", "not-the-secret"), "of-no-use"),
            self.api.introspect(("portal", "not-the-secret"), "of-no-use"),
            self.api.sessions("GET", ("portal", "not-the-secret"), "heidi"),
        ):
            assert refused.status == 401, refused
        session = self.issue("heidi", "graceful", expires_in="1")
        victim = self.issue("ivan")
        key = base64.urlsafe_b64decode(victim["session_id"] + "=")
        self.emulator.client("dynamodb").update_item(
            TableName=self.outputs["TableName"],
            Key={"owner": {"B": key[:16]}, "sid": {"B": key[16:]}},
            UpdateExpression="SET secret_hash = :hash",
            ExpressionAttributeValues={":hash": {"B": bytes(32)}},
        )
        assert self.api.renew(self.client, victim).json()["error"] == "invalid_grant"
        ring, now = self.ring(), int(time.time())
        last = json.loads(json.dumps(ring))
        for signs in last["signing"]:
            # The one that signs now, and the one that is about to take over; not the next, which waits for its promotion.
            if signs["alg"] != "HS256" and signs.get("sign_from", 0) <= now + 86_400:
                signs["retire_at"] = now + 2 * 86_400
        secrets = self.emulator.client("secretsmanager")
        secret = self.outputs["SigningKeysSecretArn"]
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(last))
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        self.keep(self.api.renew(self.graceful, session))
        self.issue("judy")
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(ring))
        self.faulty_registration()

    def faulty_registration(self):
        """One client's entry is faulty and one is gone: the faulty one is answered 503, and the others go on without it."""
        secrets = self.emulator.client("secretsmanager")
        secret = self.outputs["ClientsSecretArn"]
        kept = secrets.get_secret_value(SecretId=secret)["SecretString"]
        faulty = json.loads(kept)
        next(client for client in faulty["clients"] if client["client_id"] == "graceful")["alg"] = "RS512"
        faulty["of_a_newer_version"] = True
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        session, other = self.issue("kate", "graceful"), self.issue("leo")
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(faulty))
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        refused = self.api.renew(self.graceful, session)
        assert refused.status == 503 and "retry-after" in refused.headers, refused.text
        self.keep(self.api.renew(self.client, other))
        self.issue("mia")
        sign_in.Browser(self).sent_on()
        active = self.api.introspect(self.portal, other["access_token"])
        assert active.json()["active"], active.text
        public = self.outputs["PublicKeysSecretArn"]
        published = secrets.get_secret_value(SecretId=public)["SecretString"]
        newer = json.loads(published)
        newer["keys"].append({"kid": "of-a-newer-version", "alg": "ML-DSA-65"})
        secrets.put_secret_value(SecretId=public, SecretString=json.dumps(newer))
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        assert self.api.jwks().json()["keys"], "the others are published"
        secrets.put_secret_value(SecretId=public, SecretString=published)
        secrets.put_secret_value(SecretId=secret, SecretString=kept)
        time.sleep(PARAMETERS["SecretsTtlSeconds"] + 1)
        self.keep(self.api.renew(self.graceful, session))
        self.note("a faulty registration: its client 503, all others served, and its session there when it was mended")

    def document_alarms(self, alarms, metrics):
        """The faulty registration would have rung; nothing has been out of date for long."""
        for name in ("issue", "authorize", "renew", "introspect", "discovery"):
            dimensions = frozenset({("function", f"{STACK}-{name}")})
            faults = metrics.values["Latchkey", "DocumentFaults", dimensions]
            assert max(faults) > alarms["DocumentFaultAlarm"]["Threshold"], faults
            ages = metrics.values["Latchkey", "SecretAge", dimensions]
            assert max(ages) - 2 * PARAMETERS["SecretsTtlSeconds"] <= alarms["SecretAgeAlarm"]["Threshold"], ages

    def key_alarms(self, alarms, metrics):
        """The key that was about to retire would have rung; nothing has been in use long enough to be overdue."""
        for function in (f"{STACK}-issue", f"{STACK}-renew"):
            days = {
                name: [value / 86_400 for value in metrics.values["Latchkey", name, frozenset({("function", function)})]]
                for name in ("SigningKeyTimeLeft", "SigningKeyAge")
            }
            assert min(days["SigningKeyTimeLeft"]) < alarms["KeyRetirementAlarm"]["Threshold"], days
            assert max(days["SigningKeyAge"]) - 30 < alarms["KeyOverdueAlarm"]["Threshold"], days

    def log_groups(self):
        return {name: group for name, group in self.resources.items() if name.endswith("Logs") and name != "AccessLogs"}

    def entries(self, group):
        """The functions' own lines."""
        return [json.loads(line) for line in self.messages(group) if line.startswith("{")]

    # -- changing and ending ------------------------------------------------------------------------------------------

    def deploy_again(self):
        session = self.issue("erin")
        ring, jwks = self.ring(), self.api.jwks().json()
        before, versions = self.without_versions(), self.versions()
        self.deploy(AccessTokenSeconds=600, LogRetentionDays=30)
        replaced = before.items() ^ self.without_versions().items()
        assert not replaced, f"everything is updated in place: {replaced}"
        after = self.versions()
        for name, version in versions.items():
            # These two know nothing of how long an access token lives.
            more = 0 if name in ("AuthorizeFunction", "DiscoveryFunction") else 1
            assert len(after[name]) == len(version) + more, f"{name}: a version for each change: {after[name]}"
            assert after[name][: len(version)] == version, f"{name}: the earlier ones are kept: {after[name]}"
        assert self.ring() == ring and self.api.jwks().json() == jwks, "the keys are kept"
        renewed = self.keep(self.api.renew(self.client, session))
        assert renewed["expires_in"] == 600, "the session goes on, and a shorter life holds for it too"
        assert self.issue("frank")["expires_in"] == 600
        groups = self.emulator.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}")["logGroups"]
        assert {group["retentionInDays"] for group in groups} == {30}, groups

    def without_versions(self):
        return {name: physical for name, physical in self.resources.items() if not re.search(r"FunctionVersion[0-9a-f]{10}$", name)}

    def versions(self):
        """Of each function with an alias: its versions; the last one is `live`."""
        functions = self.emulator.client("lambda")
        found = {}
        for logical in template.ALIASED:
            name = self.resources[logical]
            versions = [item["Version"] for item in functions.list_versions_by_function(FunctionName=name)["Versions"]]
            found[logical] = sorted((version for version in versions if version != "$LATEST"), key=int)
            live = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
            assert live == found[logical][-1], f"{logical}: live is {live} of {versions}"
        return found

    def delete(self):
        self.last = self.issue("olivia")
        self.sam("delete", "--no-prompts", "--stack-name", STACK, "--region", REGION)
        kept = {
            "table": self.emulator.client("dynamodb").list_tables()["TableNames"],
            "secrets": [item["ARN"] for item in self.emulator.client("secretsmanager").list_secrets()["SecretList"]],
        }
        assert self.outputs["TableName"] in kept["table"], kept
        for name in ("SigningKeys", "VerificationKeys", "TicketKeys", "PublicKeys", "Clients"):
            name += "SecretArn"
            assert self.outputs[name] in kept["secrets"], kept
        left = {
            "functions": self.emulator.client("lambda").list_functions()["Functions"],
            "APIs": self.emulator.client("apigatewayv2").get_apis()["Items"],
            "roles": self.emulator.client("iam").list_roles()["Roles"],
        }
        for what, items in left.items():
            mine = [item for item in items if STACK in json.dumps(item, default=str)]
            assert not mine, f"{what} are left: {mine}"
        assert self.kept_logs() == {*self.log_groups().values(), self.resources["AccessLogs"]}, self.kept_logs()

    def kept_logs(self):
        groups = self.emulator.client("logs").describe_log_groups()["logGroups"]
        return {group["logGroupName"] for group in groups if STACK in group["logGroupName"]}

    def adopt(self):
        """A new stack goes on with table and secrets that the old one has left. What is its own goes with it."""
        # Of another name, because the emulator makes up the same names for the same stack's resources.
        self.stack = f"{STACK}-2"
        adopted = {name: value for name, value in self.outputs.items() if name == "TableName" or name.endswith("SecretArn")}
        old_issuer, old_logs = self.issuer, self.kept_logs()
        secrets = self.emulator.client("secretsmanager")
        before = {item["ARN"] for item in secrets.list_secrets()["SecretList"]}
        self.deploy(
            **adopted,
            PreviousIssuers=old_issuer,
            LogGroupSuffix="-2",
            DataDeletionPolicy="Delete",
            TableDeletionProtection="false",
        )
        assert f"/aws/lambda/{self.stack}-renew-2" in self.kept_logs(), self.kept_logs()
        assert {name: self.outputs[name] for name in adopted} == adopted, self.outputs
        self.api = Api(self.outputs["ApiUrl"], self.emulator.port)
        self.issuer = self.outputs["Issuer"]
        assert self.issuer != old_issuer
        self.verify(self.keep(self.api.renew(self.client, self.last))["access_token"])
        self.rotation().run()
        self.sam("delete", "--no-prompts", "--stack-name", self.stack, "--region", REGION)
        assert {item["ARN"] for item in secrets.list_secrets()["SecretList"]} == before, "no secret is made, and none deleted"
        assert self.emulator.client("dynamodb").list_tables()["TableNames"].count(adopted["TableName"]) == 1
        assert self.kept_logs() == old_logs, "Delete deletes the new stack's logs"


    def rest(self):
        """One front door or the other: the REST API has every route of the HTTP API, which is not there."""
        self.stack = f"{STACK}-3"
        certificate = self.emulator.client("acm").request_certificate(DomainName="id.example.org")["CertificateArn"]
        self.deploy(FrontDoor="rest", DomainName="id.example.org", CertificateArn=certificate, TableDeletionProtection="false")
        assert self.outputs["Issuer"] == self.outputs["ApiUrl"] == "https://id.example.org", self.outputs
        assert "HttpApi" not in self.resources and not self.emulator.client("apigatewayv2").get_apis()["Items"]
        gateway = self.emulator.client("apigateway")
        resources = gateway.get_resources(restApiId=self.resources["RestApi"], limit=500)["items"]
        found = {f"{method} {item['path']}" for item in resources for method in item.get("resourceMethods", {})}
        assert found == template.routes(), found ^ template.routes()
        stages = [stage["stageName"] for stage in gateway.get_stages(restApiId=self.resources["RestApi"])["item"]]
        assert stages == ["live"], stages


class Traffic(threading.Thread):
    """Sessions without pause, and a verifier that keeps the JWKS exactly as long as it is told."""

    def __init__(self, suite):
        super().__init__(daemon=True)
        self.suite = suite
        self.access_tokens, self.faults, self.kids = [], [], set()
        self.ending = threading.Event()

    def run(self):
        jwks, good_until = None, 0
        while not self.ending.is_set():
            try:
                # Fetched before the token is: a key that signs must have been published for a cache's life.
                if time.monotonic() >= good_until:
                    answer = self.suite.api.jwks()
                    seconds = int(re.search(r"max-age=(\d+)", answer.headers["cache-control"])[1])
                    jwks, good_until = answer.json(), time.monotonic() + seconds
                issued = self.suite.issue(f"traffic-{len(self.access_tokens)}")
                renewed = self.suite.keep(self.suite.api.renew(self.suite.client, issued))
                for token in (issued["access_token"], issued["id_token"], renewed["access_token"]):
                    self.suite.verify(token, jwks=jwks)
                    self.kids.add(tokens.parts(token)[0]["kid"])
                self.access_tokens += [issued["access_token"], renewed["access_token"]]
            except Exception as fault:
                self.faults.append(repr(fault))

    def stop(self):
        self.ending.set()
        self.join(timeout=30)


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as fault:
        raise SystemExit(str(fault)) from fault
