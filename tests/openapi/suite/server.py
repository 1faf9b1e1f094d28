"""The local server, with registrations and keys of its own."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs/openapi.yaml"

SCOPES = ["openid", "profile", "email"]
CLAIMS = ["email", "name"]
# Of every client that has none of its own.
AUDIENCE = ["librechat", "https://api.example.org"]
# Where browsers may go. Nobody is there: the suite reads where it is sent, and does not follow.
SIGN_IN, SIGN_OUT = "https://portal.example.org/sign-in", "https://portal.example.org/sign-out"
# What users' tokens are exchanged for.
TOOLS, FILES = "https://tools.example.org/mcp", "https://files.example.org/mcp"
# Where clients may want them that register themselves.
REGISTERED = ["http://127.0.0.1:33418/callback", "https://chat.example.org/api/mcp/github/oauth/callback"]
BACK, AFTERWARDS = "https://chat.example.org/oauth/openid/callback", "https://chat.example.org/login"


class Registrations:
    """Two issuers, and a client for every way of renewing."""

    def __init__(self):
        self.issuers = {name: secrets.token_hex(32) for name in ("portal", "back-office")}
        # A third one signs assertions with it.
        self.assertion_secret = secrets.token_hex(32)
        # What a renewal must bring, the algorithm, the scopes; a client with a secret is confidential.
        self.kinds = {
            "librechat": {
                "requires": "access_token",
                "alg": "RS256",
                "post_logout_redirect_uris": [AFTERWARDS],
                "exchange": [target(TOOLS, "tools", "read"), target(FILES, "files", "read")],
            },
            "oauth": {"requires": "refresh_token", "alg": "RS256"},
            "browser": {"requires": "access_token", "alg": "ES256", "is_public": True},
            "app": {"requires": "refresh_token", "alg": "EdDSA", "is_public": True, "redirect_uris": ["http://127.0.0.1/callback"]},
            "actions": {"requires": "refresh_token", "alg": "RS256", "pkce": "optional"},
            "plain": {"requires": "access_token", "alg": "RS256", "scopes": [], "sign_in_issuer": "back-office"},
            "early": {"requires": "access_token", "alg": "RS256", "window_seconds": 60},
            "keyless": {"requires": "access_token", "alg": "PS256"},
            # The first of the targets: it passes on what it is given.
            "tools": {"requires": "refresh_token", "alg": "ES256", "audience": [TOOLS], "exchange": [target(FILES)]},
        }
        for name in ("librechat", "actions"):
            self.kinds[name]["redirect_uris"] = [BACK]
        confidential = [name for name, kind in self.kinds.items() if not kind.get("is_public")]
        self.clients = {name: secrets.token_hex(32) for name in confidential}

    def parties(self):
        return vars(self)

    def document(self):
        def hashed(secret):
            return [hashlib.sha256(secret.encode()).hexdigest()]

        def client(name, kind):
            registration = {
                "client_id": name,
                "type": "confidential" if name in self.clients else "public",
                "alg": kind["alg"],
                "audience": kind.get("audience", AUDIENCE),
                "scopes": kind.get("scopes", SCOPES),
                "claims": CLAIMS,
                "renewal": {key: kind[key] for key in ("requires", "window_seconds") if key in kind},
            }
            optional = ("redirect_uris", "post_logout_redirect_uris", "pkce", "sign_in_issuer", "exchange")
            registration |= {key: kind[key] for key in optional if key in kind}
            return registration | ({"secret_sha256": hashed(self.clients[name])} if name in self.clients else {})

        may = {"portal": list(self.kinds), "back-office": ["plain"]}
        issuers = [
            {"issuer_id": name, "secret_sha256": hashed(secret), "clients": may[name]}
            for name, secret in self.issuers.items()
        ]
        # Both sign users of "plain" in, so it says whose they are; after a sign-out they have nowhere to go.
        issuers[0] |= {"sign_in_url": SIGN_IN, "sign_out_url": SIGN_OUT}
        issuers[1] |= {"sign_in_url": f"{SIGN_IN}/office"}
        asserting = {"assertion_iss": "old-portal", "assertion_aud": "latchkey", "hs256_secret": self.assertion_secret}
        return {
            "issuers": [*issuers, {"issuer_id": "old-portal", "clients": list(self.kinds), **asserting}],
            "clients": [client(name, kind) for name, kind in self.kinds.items()],
            "dynamic_clients": {
                "redirect_uris": ["http://127.0.0.1/callback", "https://chat.example.org/api/mcp/*/oauth/callback"],
                "scopes": SCOPES,
                "audience": AUDIENCE,
                "sign_in_issuer": "portal",
            },
        }


def target(audience, *scopes):
    return {"audience": audience, "scopes": scopes, "access_token_seconds": 300}


class Server:
    """`latchkey serve` on ports that the system chooses, ended with the block."""

    def __init__(self, latchkey, folder, name, *arguments, env=None):
        self.log = Path(folder) / f"{name}.log"
        self.output = self.log.open("w")
        command = [latchkey, "serve", "--listen", "127.0.0.1:0", "--data", ":memory:", *arguments]
        # Nothing that happens to be set decides what the server does. It is to be as talkative as it can.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("LATCHKEY_", "AWS_"))}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=clean | {"RUST_LOG": "debug"} | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        self.url = self._wait()

    def _wait(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if line.startswith("listening on "):
                    return line.removeprefix("listening on ")
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise SystemExit(f"the server does not start:\n{self.log.read_text()[-4000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def write_private(path, value):
    path.touch(mode=0o600)
    path.write_text(json.dumps(value))
    return path
