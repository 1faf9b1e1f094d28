"""How issuers, clients and browsers call: credentials, and tokens that are really theirs."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import DefaultCookiePolicy

import requests


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def client_of(access_token):
    payload = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["client_id"]


class Begun:
    """A sign-in on its way: what the browser and the client keep of it."""

    def __init__(self, client, redirect_uri, verifier):
        self.client, self.redirect_uri, self.verifier = client, redirect_uri, verifier
        self.ticket = self.cookie = None

    def query(self, **changed):
        """What the client asks for, with PKCE if there is a verifier; what is changed to None is left out."""
        asked = {"client_id": self.client, "redirect_uri": self.redirect_uri, "response_type": "code"}
        if self.verifier:
            digest = hashlib.sha256(self.verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        return {name: value for name, value in (asked | changed).items() if value is not None}

    def sent_on(self, response):
        """Takes what the browser has got."""
        self.ticket = parameters(response.headers["Location"])["ticket"]
        if "Set-Cookie" in response.headers:
            self.cookie = response.headers["Set-Cookie"].split(";")[0]
        return self

    def exchange(self, code):
        members = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return members | ({"code_verifier": self.verifier} if self.verifier else {})


def parameters(url):
    """Of an address, each of them once."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), "a parameter stands twice"
    return dict(pairs)


class Callers:
    def __init__(self, url, issuers, assertion_secret, clients, kinds):
        self.url, self.issuers, self.clients, self.kinds = url, issuers, clients, kinds
        self.assertion_secret = assertion_secret
        self.http = requests.Session()
        # No proxy, no .netrc.
        self.http.trust_env = False
        # Each request brings the cookies that it says, and no others.
        self.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

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

    def begin(self, client, **changed):
        """A sign-in as far as the issuer's door: its ticket, and the browser's cookie."""
        verifier = secrets.token_urlsafe(32) if self.kinds[client].get("pkce") != "optional" else None
        begun = Begun(client, self.kinds[client]["redirect_uris"][0], verifier)
        response = self.browse("/authorize", params=begun.query(**changed))
        return begun.sent_on(response)

    def accept(self, begun, **members):
        """What the issuer's answer opens with: the address to which the browser is to go."""
        body = {"ticket": begun.ticket, "subject": "alice", **members}
        headers = {"Authorization": self.issuer()}
        response = self.http.post(f"{self.url}/authorize/accept", json=body, headers=headers, timeout=30)
        return response.json()["redirect_to"]

    def answer(self, client):
        """The answer of a sign-in that was accepted, and the cookie that opens it."""
        begun = self.begin(client)
        return parameters(self.accept(begun))["answer"], begun.cookie

    def code(self, client):
        """The members of an exchange that succeeds, once."""
        begun = self.begin(client)
        redirect_to = self.accept(begun)
        response = self.browse(redirect_to.removeprefix(self.url), headers={"Cookie": begun.cookie})
        return begun.exchange(parameters(response.headers["Location"])["code"])

    def browse(self, path, **rest):
        return self.http.get(self.url + path, allow_redirects=False, timeout=30, **rest)
