"""A browser signs in through the deployed API, as an unmodified OpenID client has it: from `/authorize` to the end of the session."""

import base64
import hashlib
import json
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

SIGN_IN, SIGN_OUT = "https://portal.example.org/sign-in", "https://portal.example.org/sign-out"
TOOL = "https://tools.example.org/mcp"
BACK, AFTERWARDS = "https://chat.example.org/oauth/openid/callback", "https://chat.example.org/login"


def parameters(url):
    return dict(parse_qsl(urlsplit(url).query))


class Browser:
    """One browser on its way through one sign-in at `librechat`, and the client's part of it."""

    def __init__(self, suite):
        self.suite, self.api = suite, suite.api
        self.verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.query = {
            **{"client_id": suite.client[0], "redirect_uri": BACK, "response_type": "code", "scope": "openid email offline_access"},
            **{"state": secrets.token_urlsafe(16), "nonce": secrets.token_urlsafe(16)},
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        suite.secret_texts.add(self.verifier)

    def begin(self, **changed):
        answer = self.api.get("/authorize?" + urlencode(self.query | changed))
        assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer", answer
        return answer

    def sent_on(self):
        """To the issuer, with a ticket and a cookie."""
        answer = self.begin()
        location = answer.headers["location"]
        assert answer.status == 302 and location.startswith(f"{SIGN_IN}?"), answer
        self.ticket, self.cookie = parameters(location)["ticket"], answer.headers["set-cookie"].split(";")[0]
        self.suite.secret_texts |= {self.ticket, self.cookie.partition("=")[2]}
        return self

    def told(self, what, **members):
        """What the issuer's back end asks or says of the ticket."""
        answer = self.api.request("POST", f"/authorize/{what}", {"ticket": self.ticket, **members}, self.suite.portal)
        assert answer.status == 200, answer
        return answer.json()

    def back(self, redirect_to, cookie=None):
        """The answer to the browser that the issuer sends back."""
        parts = urlsplit(redirect_to)
        assert redirect_to.startswith(f"{self.suite.issuer}/authorize/return?"), redirect_to
        self.suite.secret_texts.add(parameters(redirect_to)["answer"])
        return self.api.get(f"{parts.path}?{parts.query}", **{"Cookie": cookie or self.cookie})

    def at_client(self, answer):
        """The parameters with which the browser is back at the client."""
        location = answer.headers["location"]
        assert answer.status == 302 and location.startswith(f"{BACK}?"), answer
        told = parameters(location)
        assert (told.pop("state"), told.pop("iss")) == (self.query["state"], self.suite.issuer), told
        return told

    def exchange(self, code, **changed):
        self.suite.secret_texts.add(code)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": self.verifier}
        return self.api.request("POST", "/token/renew", form | changed, self.suite.client)

    def signed_in(self, **members):
        """The code, at the client."""
        redirect_to = self.told("accept", subject="alice", **members)["redirect_to"]
        return self.at_client(self.back(redirect_to))["code"]


def passed_on(suite, access_token):
    """The user's token is exchanged for the tool's, as LibreChat asks for it on behalf of a user."""
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": access_token, "scope": "tools"}
    tool = suite.keep(suite.api.request("POST", "/token/renew", {**form, "requested_token_use": "on_behalf_of"}, suite.client))
    told = suite.verify(tool["access_token"], audience=TOOL)
    assert (told["sub"], told["act"], tool["expires_in"]) == ("alice", {"sub": suite.client[0]}, 300), told
    info = suite.api.get("/userinfo", Authorization=f"Bearer {tool['access_token']}")
    assert info.status == 401, info
    return tool["access_token"]


def check(suite):
    """The whole way, and then what must not work."""
    api, table = suite.api, suite.emulator.client("dynamodb")

    def records():
        return table.scan(TableName=suite.outputs["TableName"], Select="COUNT")["Count"]

    before = records()
    browser = Browser(suite).sent_on()
    asked = browser.told("inspect")
    assert (asked["client_id"], asked["scope"], asked["redirect_uri"]) == (suite.client[0], "openid email", BACK), asked
    rejected = browser.told("reject", error="access_denied")["redirect_to"]
    assert browser.at_client(browser.back(rejected))["error"] == "access_denied"
    assert records() == before, "nothing is written before the issuer accepts"

    claims = {"email": "alice@example.org", "shoe_size": 38}
    accepted = browser.told("accept", subject="alice", claims=json.dumps(claims), amr="pwd")
    assert accepted["ignored_claims"] == ["shoe_size"], accepted
    assert records() == before + 1, "one session"
    stranger = Browser(suite).sent_on()
    refused = browser.back(accepted["redirect_to"], stranger.cookie)
    assert refused.status == 400 and refused.headers["content-type"].startswith("text/html"), "another browser"
    code = browser.at_client(browser.back(accepted["redirect_to"]))["code"]
    wrong = browser.exchange(code, code_verifier=stranger.verifier)
    assert (wrong.status, wrong.json()["error"]) == (400, "invalid_grant"), wrong
    tokens = suite.keep(browser.exchange(code))
    told = suite.verify(tokens["id_token"])
    assert (told["sub"], told["nonce"], told["sid"]) == ("alice", browser.query["nonce"], tokens["session_id"]), told
    assert (told["email"], told["amr"]) == ("alice@example.org", ["pwd"]), told

    info = api.get("/userinfo", Authorization=f"Bearer {tokens['access_token']}")
    assert (info.status, info.json()["sub"], info.json()["email"]) == (200, "alice", "alice@example.org"), info
    tool = passed_on(suite, tokens["access_token"])
    assert api.introspect(suite.client, tool).json()["aud"] == [TOOL]
    nobody = api.get("/userinfo")
    assert nobody.status == 401 and nobody.headers["www-authenticate"].startswith("Bearer"), nobody
    renewed = suite.keep(api.renew(suite.client, tokens))
    hint = {"id_token_hint": renewed["id_token"], "post_logout_redirect_uri": AFTERWARDS, "state": "s"}
    signed_out = api.get("/sign-out?" + urlencode(hint))
    away = signed_out.headers["location"]
    assert signed_out.status == 302 and away.startswith(f"{SIGN_OUT}?"), signed_out
    assert parameters(away) == {"return_to": f"{AFTERWARDS}?state=s"}, away
    assert api.introspect(suite.client, tool).json() == {"active": False}, "it ends with the session"
    over = api.renew(suite.client, renewed)
    assert (over.status, over.json()["error"]) == (400, "invalid_grant"), over
    assert api.get("/userinfo", Authorization=f"Bearer {renewed['access_token']}").status == 401

    twice(suite)
    no_redirect(browser)
    faults = api.get("/.well-known/openid-configuration/prod")
    assert (faults.status, faults.json()["error"]) == (404, "invalid_request"), "the issuer has no path"


def twice(suite):
    """A code that is used a second time ends its session."""
    browser = Browser(suite).sent_on()
    code = browser.signed_in()
    tokens = suite.keep(browser.exchange(code))
    again = browser.exchange(code)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant"), again
    assert suite.api.renew(suite.client, tokens).json()["error"] == "invalid_grant"


def no_redirect(browser):
    """To an address that is not the client's own, nobody is sent."""
    for changed in ({"redirect_uri": "https://elsewhere.example.org/"}, {"client_id": "nobody"}):
        page = browser.begin(**changed)
        assert page.status == 400 and "location" not in page.headers, page
        assert "elsewhere" not in page.text and "nobody" not in page.text, page
    told = parameters(browser.begin(code_challenge_method="plain").headers["location"])
    assert told["error"] == "invalid_request", told
