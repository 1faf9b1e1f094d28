"""Built functions under AWS's own Lambda runtime interface emulator, which comes with the SAM CLI."""

import base64
import hashlib
import http.client
import json
import os
import platform
import re
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import samcli
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from processes import ROOT, Started, free_port, listens

PROGRAM = "aws-lambda-rie-arm64" if platform.machine() in ("arm64", "aarch64") else "aws-lambda-rie-x86_64"

# Sample events that are not to be answered with 200.
REFUSED = {
    "discovery-oauth-authorization-server-of-path": 404,
    "discovery-openid-configuration-of-path": 404,
    "introspect-userinfo-unauthenticated": 401,
    "issue-accept-sign-in-forged": 400,
    "issue-accept-sign-in-unauthenticated": 401,
    "issue-assertion-forged": 400,
    "issue-base64-lie": 400,
    "issue-duplicate": 400,
    "issue-malformed": 400,
    "issue-multipart": 415,
    "issue-oversized": 413,
    "issue-query": 400,
    "issue-wrong-secret": 401,
    "introspect-unauthenticated": 401,
    "authorize-register-elsewhere": 400,
    "renew-code-forged": 400,
    "renew-code-wrong-verifier": 400,
    "renew-forged": 400,
    "renew-malformed": 400,
    "renew-no-body": 400,
    "renew-oversized": 413,
    "renew-token-exchange-other-target": 400,
    "renew-without-access-token": 400,
    "renew-wrong-grant": 400,
    "revoke-unauthenticated": 401,
    "sessions-malformed": 400,
}
# What has been made.
CREATED = {
    "authorize-register": 201,
    "authorize-register-secret": 201,
}
# Those of browsers: sent on, or shown a page.
REDIRECTED = {
    "authorize": 302,
    "authorize-again": 302,
    "authorize-form": 302,
    "authorize-form-without-cookie": 303,
    "authorize-return": 302,
    "authorize-without-challenge": 302,
    "revoke-sign-out": 302,
    "revoke-sign-out-form": 302,
    "revoke-sign-out-without-hint": 302,
}
PAGES = {
    "authorize-return-another-browser": 400,
    "authorize-return-forged": 400,
    "authorize-unknown-client": 400,
    "revoke-sign-out-forged": 400,
}


class Function(Started):
    def __init__(self, bootstrap, folder, environment):
        self.port = free_port()
        program = Path(samcli.__file__).parent / "local" / "rapid" / PROGRAM
        program.chmod(0o755)
        super().__init__(
            [
                program,
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{self.port}",
                "--runtime-api-address",
                f"127.0.0.1:{free_port()}",
                bootstrap,
            ],
            folder / f"interface-{bootstrap.parent.name}.log",
            env={**environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": "30"},
        )

    def __enter__(self):
        self.wait_for(lambda: listens(self.port))
        return self

    def invoke(self, event):
        return json.loads(self.send(event))

    def send(self, event):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
        text = connection.getresponse().read().decode()
        connection.close()
        return text


def encode(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def key_ring():
    """A key ring and the documents that are derived from it, made up on the spot."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    numbers = key.public_key().public_numbers()
    public = {"e": encode(numbers.e.to_bytes(3, "big")), "kty": "RSA", "n": encode(numbers.n.to_bytes(256, "big"))}
    kid = encode(hashlib.sha256(json.dumps(public, separators=(",", ":")).encode()).digest())
    librechat = {"kid": "librechat-hs", "alg": "HS256", "secret": secrets.token_hex(32)}
    tag_key = secrets.token_bytes(32)
    tagging = [{"kid": 1, "secret": encode(tag_key)}]
    purposes = {f"{name}_key": HKDF(hashes.SHA256(), 32, None, f"latchkey {name}".encode()) for name in ("ticket", "registration")}
    tickets = {"kid": 1, **{name: encode(purpose.derive(tag_key)) for name, purpose in purposes.items()}}
    ring = {"signing": [{"kid": kid, "alg": "RS256", "private_key": pem.decode()}, librechat], "tagging": tagging}
    jwk = {**public, "kid": kid, "alg": "RS256", "use": "sig"}
    return ring, {"keys": [jwk, librechat], "tagging": tagging}, {"keys": [tickets]}, {"keys": [jwk]}


def check(emulator, built, folder, rotations):
    """Every event of events/ through the function that it belongs to. Gives the number of events per function."""
    files = [folder / f"{name}-keys.json" for name in ("signing", "verification", "ticket", "public")]
    for path, document in zip(files, key_ring()):
        path.write_text(json.dumps(document))
    keys, verification, tickets, public = files
    dynamodb = emulator.client("dynamodb")
    dynamodb.create_table(
        TableName="interface",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "B"} for name in ("owner", "sid")],
        KeySchema=[{"AttributeName": "owner", "KeyType": "HASH"}, {"AttributeName": "sid", "KeyType": "RANGE"}],
    )
    environment = {
        **emulator.environment(),
        "LATCHKEY_ISSUER": "https://id.example.org",
        "LATCHKEY_TABLE": "interface",
        "LATCHKEY_SIGNING_KEYS": f"file:{keys}",
        "LATCHKEY_VERIFICATION_KEYS": f"file:{verification}",
        "LATCHKEY_TICKET_KEYS": f"file:{tickets}",
        "LATCHKEY_PUBLIC_KEYS": f"file:{public}",
        "LATCHKEY_AUDIENCE": "librechat",
        "LATCHKEY_DYNAMIC_CLIENTS": "true",
        "LATCHKEY_CLIENTS": f"file:{ROOT / 'local/examples/clients.json'}",
    }
    counts = {}

    def started(function):
        return Function(built / f"{function}Function/bootstrap", folder, environment)

    with started("Issue") as issue, started("Authorize") as authorize:

        def take(function, prefix):
            for name, event in events(prefix):
                expect(name, function.invoke(filled(event, issue, authorize)))
                counts[prefix] = counts.get(prefix, 0) + 1

        take(issue, "issue")
        take(authorize, "authorize")
        others = {"renew": "Renew", "revoke": "Revoke", "introspect": "Introspect", "sessions": "SubjectSessions"}
        for prefix, function in others.items():
            with started(function) as asked:
                take(asked, prefix)
        with started("Authorizer") as authorizer:
            for name, event in events("authorizer"):
                answer = authorizer.invoke(filled(event, issue, authorize))
                assert answer["isAuthorized"] is (name == "authorizer-allow"), f"{name}: {answer}"
                counts["authorizer"] = counts.get("authorizer", 0) + 1
    with started("Discovery") as discovery:
        for name, event in events("discovery"):
            expect(name, discovery.invoke(event))
            counts["discovery"] = counts.get("discovery", 0) + 1
    counts["rotate-keys"] = rotate(emulator, built, folder, environment, rotations)
    refuse_to_start(built, folder, environment)
    assert sum(counts.values()) == len(list((ROOT / "events").glob("*.json"))), f"no function for some of events/: {counts}"
    return counts


def refuse_to_start(built, folder, environment):
    """Bad settings are named when the function starts, and no request is ever answered with them."""
    faults = {"LATCHKEY_RETRY_SECONDS": "301", "LATCHKEY_TABLE": "", "LATCHKEY_JWKS_SECONDS": "soon"}
    with Function(built / "IssueFunction/bootstrap", folder, {**environment, **faults}) as function:
        answer = function.send({})
        assert "statusCode" not in answer, answer
        function.wait_for(lambda: all(name in function.log.read_text() for name in faults), 10)


def events(function):
    for path in sorted((ROOT / "events").glob(f"{function}*.json")):
        # "authorizer-allow" is none of "authorize".
        if re.match(f"{function}(-|$)", path.stem):
            yield path.stem, json.loads(path.read_text())


def sample(name, **given):
    text = (ROOT / f"events/{name}.json").read_text()
    for placeholder, value in given.items():
        text = text.replace("{{" + placeholder + "}}", value)
    return json.loads(text)


def parameter(answer, name):
    """A parameter of the address that a redirect leads to, or the answer of an issuer's request."""
    address = answer["headers"]["location"] if "location" in answer["headers"] else json.loads(answer["body"])["redirect_to"]
    (value,) = parse_qs(urlsplit(address).query)[name]
    return value


def sign_in(issue, authorize):
    """A sign-in up to the code: what is in the place of the names in braces."""
    begun = authorize.invoke(sample("authorize"))
    (cookie,) = begun["cookies"]
    given = {"ticket": parameter(begun, "ticket"), "cookie": re.match("__Host-latchkey-sign-in=([^;]+);", cookie)[1]}
    given["answer"] = parameter(issue.invoke(sample("issue-accept-sign-in", **given)), "answer")
    given["code"] = parameter(authorize.invoke(sample("authorize-return", **given)), "code")
    return given


def filled(event, issue, authorize):
    """The event with tokens of sessions and sign-ins that exist, in the place of the names in braces."""
    text = json.dumps(event)
    if event["routeKey"] == "POST /token":
        # No token goes in there, and one of these samples lies about its base64.
        return event
    if any("{{" + placeholder + "}}" in text for placeholder in ("ticket", "cookie", "answer", "code")):
        for placeholder, value in sign_in(issue, authorize).items():
            text = text.replace("{{" + placeholder + "}}", value)
    # One sample hides the name in base64.
    if event.get("isBase64Encoded"):
        text = base64.b64decode(event["body"]).decode()
    clients = {"": "librechat", "oauth_": "librechat-oauth", "public_": "spa", "public_oauth_": "spa-oauth"}
    for prefix, client in clients.items():
        if "{{" + prefix not in text:
            continue
        request = json.loads((ROOT / "events/issue-form.json").read_text())
        request["body"] = request["body"].replace("client_id=librechat", f"client_id={client}")
        tokens = json.loads(issue.invoke(request)["body"])
        for token in ("refresh_token", "access_token", "id_token", "session_id"):
            text = text.replace("{{" + prefix + token + "}}", tokens[token])
    if event.get("isBase64Encoded"):
        return {**event, "body": base64.b64encode(text.encode()).decode()}
    return json.loads(text)


def expect(name, answer):
    wanted = (REFUSED | CREATED | REDIRECTED | PAGES).get(name, 200)
    assert answer.get("statusCode") == wanted, f"{name}: expected {wanted}: {answer}"
    if name in REDIRECTED:
        assert "location" in answer["headers"] and not answer.get("body"), f"{name}: {answer}"
    elif name in PAGES:
        assert answer["headers"]["content-type"].startswith("text/html"), f"{name}: {answer}"
    else:
        assert answer["headers"]["content-type"] == "application/json", f"{name}: {answer}"
        json.loads(answer["body"])


def rotate(emulator, built, folder, environment, rotations):
    """The events of a whole rotation in their order, on a ring of their own; before that and beside it, all are refused."""
    client = emulator.client("secretsmanager")
    name = "latchkey/signing-keys"
    ring = client.create_secret(Name=name, SecretString='{"signing":[],"tagging":[]}')["ARN"]
    environment = {**environment, "LATCHKEY_SIGNING_KEYS": name}
    for derived in ("verification", "ticket", "public"):
        arn = client.create_secret(Name=f"latchkey/{derived}-keys")["ARN"]
        environment[f"LATCHKEY_{derived.upper()}_KEYS"] = arn
    samples = dict(events("rotate-keys"))
    wrong = {sample for sample in samples if "unknown" in sample}
    order = {step.lower(): index for index, step in enumerate(rotations.STEPS)}
    right = sorted(samples.keys() - wrong, key=lambda sample: order[samples[sample]["Step"].replace("_", "").lower()])
    assert len(right) == 4, right
    with Function(built / "RotateKeysFunction/bootstrap", folder, environment) as function:

        def take(sample, is_good):
            answer = function.invoke(samples[sample])
            assert (answer is None) if is_good else answer["errorMessage"], f"{sample}: {answer}"

        for sample in samples:
            take(sample, False)
        rotation = rotations.Rotation(emulator, None, ring, samples[right[0]]["ClientRequestToken"]).stage()
        for sample in right:
            for other in wrong:
                take(other, False)
            take(sample, True)
            # Every step may come twice.
            take(sample, True)
    assert "AWSCURRENT" in rotation.stages()[rotation.token], rotation.stages()
    return len(samples)
