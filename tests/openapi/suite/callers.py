"""How issuers and clients call: credentials, and tokens that are really theirs."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def client_of(access_token):
    payload = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["client_id"]


class Callers:
    def __init__(self, url, issuers, assertion_secret, clients, kinds):
        self.url, self.issuers, self.clients, self.kinds = url, issuers, clients, kinds
        self.assertion_secret = assertion_secret

    def issuer(self, name="portal"):
        return basic(name, self.issuers[name])

    def client(self, name):
        return basic(name, self.clients.get(name, ""))

    def assertion(self, subject="alice"):
        """What "old-portal" says of a user (RFC 7523), once."""
        now = int(time.time())
        claims = {"iss": "old-portal", "aud": "latchkey", "sub": subject, "iat": now, "exp": now + 600}
        claims["jti"] = secrets.token_hex(16)
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = hmac.digest(self.assertion_secret.encode(), text, hashlib.sha256)
        return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    def next(self, query):
        """Where the second page of a list begins; nothing if it has no second page."""
        whose = {name: query[name] for name in ("subject", "client_id") if query.get(name)}
        url = f"{self.url}/sessions?{urllib.parse.urlencode({**whose, 'limit': 1})}"
        request = urllib.request.Request(url, headers={"Authorization": self.issuer()})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer).get("next", "")
        except urllib.error.HTTPError:
            return ""

    def issue(self, client, subject="alice", **members):
        """A new session; its first tokens."""
        body = json.dumps({"client_id": client, "subject": subject, **members}).encode()
        headers = {"Content-Type": "application/json", "Authorization": self.issuer()}
        request = urllib.request.Request(f"{self.url}/token", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
